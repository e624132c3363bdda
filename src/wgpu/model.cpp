#include "wgpu/model.h"

#include "base/thread_pool.h"
#include "wgpu/forward.h"
#include "wgpu/gemm.h"
#include "wgpu/load_tested.h"
#include "wgpu/measure.h"
#include "wgpu/token_stream.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace trine::wgpu {

using model::Numerics;

namespace {

// What a device that is too small is told. WebGPU does not say how much memory there is.
Error with_sizes(Error error, const model::Weights& weights, std::int32_t context, KvType kv_type,
                 const Capacity& capacity) {
  if (error.code != ErrorCode::model_load || !error.hint.empty()) return error;
  const auto gib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  error.hint = fmt::format(
      "The model takes {:.2f} GiB of weights, {:.2f} GiB of KV cache for {} positions and {:.2f} GiB of work "
      "space: ask for a smaller context (--ctx), or take a file with smaller weights",
      gib(device_bytes(weights)), gib(KvCache::bytes(weights.config, context, kv_type)), context,
      gib(Workspace::bytes(weights.config, capacity)));
  return error;
}

}  // namespace

struct WgpuModel::State {
  State(const model::Weights& weights, std::unique_ptr<Gpu> opened, Numerics numerics, const Variants& asked,
        const Variants& variants)
      : weights(weights),
        numerics(numerics),
        asked(asked),
        variants(variants),
        gpu(std::move(opened)),
        kernels(*gpu) {}

  const model::Config& config() const { return weights.config; }
  Builder builder() { return {kernels, work, config(), variants.integer_dot ? numerics : Numerics::exact}; }
  Result<void> allocate(std::int32_t context, KvType kv_type);
  Result<void> make_operations();
  Result<void> make_operations_of_many();
  Result<void> make_choosing();
  Result<Pass> begin(const model::Batch& batch, model::TraceSink* trace);
  Result<Pass> open_pass(const model::Batch& batch, model::TraceSink* trace, std::uint32_t n_logits,
                         std::uint32_t positions, bool one_each);
  Result<Pass> record_step(std::uint32_t positions);

  const model::Weights& weights;
  Numerics numerics;
  Variants asked;            // what was not left out
  Variants variants;         // of these, what the self-test did not switch off
  std::unique_ptr<Gpu> gpu;  // outlives all that follows
  KernelCache kernels;
  KvCache kv;
  Workspace work;
  Matrices matrices;
  ForwardOps forward;
  bool has_many = false;            // operations of many rows
  std::optional<ChooseOps> choose;  // at the latest made for the first stream
  bool streams = false;             // one lives
};

Result<void> WgpuModel::State::allocate(std::int32_t context, KvType kv_type) {
  TRINE_TRY(kv, KvCache::create(*gpu, config(), context, kv_type));
  const Capacity capacity = plan_capacity(config(), kernels.tuning(), gpu->limits(), context);
  const auto fits = [&]() -> Result<void> {
    TRINE_TRY(work, Workspace::create(*gpu, config(), capacity));
    TRINE_TRY(matrices, allocate_weights(*gpu, weights));
    return {};
  };
  if (Result<void> done = fits(); !done)
    return fail(with_sizes(std::move(done).error(), weights, context, kv_type, capacity));
  return {};
}

Result<void> WgpuModel::State::make_operations() {
  TRINE_TRY(forward, make_forward(builder(), matrices, kv));
  // A software adapter compiles slowly what few of its runs need.
  return gpu->adapter().type == "software" ? Result<void>() : make_choosing();
}

Result<void> WgpuModel::State::make_choosing() {
  if (choose) return {};
  TRINE_TRY(choose, make_choose(builder()));
  return {};
}

// At load, but for a software adapter, whose compiler takes seconds a kernel: there when they are first
// needed.
Result<void> WgpuModel::State::make_operations_of_many() {
  TRINE_CHECK_OK(add_forward_of_many(builder(), matrices, kv, forward));
  has_many = true;
  return {};
}

WgpuModel::WgpuModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
WgpuModel::~WgpuModel() = default;

Result<std::unique_ptr<WgpuModel>> WgpuModel::load(const model::Weights& weights,
                                                   const WgpuOptions& options) {
  TRINE_TRY(const Variants asked, variants_without(options.without));
  const auto load_some = [&](const model::Weights& some, const Variants& variants) {
    return load_with(some, options, asked, variants);
  };
  return options.self_test ? load_tested(weights, options.numerics, asked, load_some)
                           : load_some(weights, asked);
}

Result<std::unique_ptr<WgpuModel>> WgpuModel::load_with(const model::Weights& weights,
                                                        const WgpuOptions& options, const Variants& asked,
                                                        const Variants& variants) {
  GpuOptions open;
  open.device = options.device;
  open.checked_shaders = options.checked_shaders;
  open.subgroups = variants.subgroups;
  open.f16 = variants.f16;
  open.timestamps = variants.timestamps;
  open.shader_edits = options.shader_edits;
  TRINE_TRY(std::unique_ptr<Gpu> gpu, Gpu::open(open));
  auto state = std::make_unique<State>(weights, std::move(gpu), options.numerics, asked, variants);
  if (options.few_chunks > 0) state->kernels.set_few_chunks(options.few_chunks);
  const bool f16_cache = options.numerics == Numerics::fast && variants.f16;
  TRINE_CHECK_OK(state->allocate(options.context, f16_cache ? KvType::f16 : KvType::f32));
  TRINE_CHECK_OK(state->make_operations());
  if (state->gpu->adapter().type != "software") {
    TRINE_CHECK_OK(state->make_operations_of_many());
  }
  ThreadPool pool(options.threads);
  if (Result<void> sent = upload_weights(*state->gpu, weights, pool, state->matrices); !sent)
    return fail(with_sizes(std::move(sent).error(), weights, options.context, state->kv.type(),
                           state->work.capacity));
  return std::unique_ptr<WgpuModel>(new WgpuModel(std::move(state)));
}

const model::Config& WgpuModel::config() const {
  return state_->config();
}
model::DeviceInfo WgpuModel::describe() const {
  const Adapter& adapter = state_->gpu->adapter();
  model::DeviceInfo info;
  info.backend = "wgpu";
  info.name = adapter.name;
  info.type = adapter.type;
  info.api = adapter.api;
  info.driver = adapter.driver;
  info.numerics = state_->numerics;
  info.stage_place.fill("device");
  info.left_out = names_of_missing(state_->asked);
  info.switched_off = names_of_missing(state_->variants, state_->asked);
  return info;
}
void WgpuModel::lose_device() {
  state_->gpu->lose();
}
std::int32_t WgpuModel::kv_page_size() const {
  return KvCache::page_size;
}
std::int32_t WgpuModel::kv_pages() const {
  return state_->kv.pages();
}
std::int32_t WgpuModel::max_batch_rows() const {
  return static_cast<std::int32_t>(state_->work.capacity.rows);
}

namespace {

// A batch as the device wants it: only sequences that have rows, and of their tables what is read.
struct Inputs {
  std::vector<std::uint32_t> rows;         // [N][4]
  std::vector<std::uint32_t> page_tables;  // [sequences][pages]
  std::uint32_t n_logits = 0;
  std::uint32_t positions = 0;  // of the longest row
  bool one_each = false;        // a sequence has at most one row
};

Result<Inputs> gather_inputs(const model::Batch& batch, std::uint32_t pages) {
  Inputs in;
  std::vector<std::int32_t> index(batch.page_tables.size(), -1);
  for (const model::Row& row : batch.rows) {
    const auto sequence = static_cast<std::size_t>(row.sequence);
    const auto position = static_cast<std::uint32_t>(row.position);
    const std::vector<std::int32_t>& table = batch.page_tables[sequence];
    if (position / KvCache::page_size >= pages) {
      return fail({.code = ErrorCode::inference,
                   .what = "position outside the KV cache",
                   .expected = fmt::format("below {}", std::uint64_t{pages} * KvCache::page_size),
                   .actual = fmt::format("{}", position)});
    }
    if (index[sequence] < 0) {
      index[sequence] = static_cast<std::int32_t>(in.page_tables.size() / pages);
      const auto used = static_cast<std::ptrdiff_t>(std::min<std::size_t>(table.size(), pages));
      in.page_tables.insert(in.page_tables.end(), table.begin(), table.begin() + used);
      in.page_tables.resize((static_cast<std::size_t>(index[sequence]) + 1) * pages);
    }
    in.rows.insert(in.rows.end(), {static_cast<std::uint32_t>(row.token), position,
                                   static_cast<std::uint32_t>(index[sequence]), row.wants_logits ? 1u : 0u});
    in.n_logits += row.wants_logits ? 1 : 0;
    in.positions = std::max(in.positions, position + 1);
  }
  in.one_each = in.page_tables.size() == batch.rows.size() * pages;
  return in;
}

}  // namespace

Result<Pass> WgpuModel::State::begin(const model::Batch& batch, model::TraceSink* trace) {
  TRINE_TRY(const Inputs in, gather_inputs(batch, work.capacity.pages));
  TRINE_CHECK_OK(gpu->write(work.rows, 0, std::as_bytes(std::span(in.rows))));
  TRINE_CHECK_OK(gpu->write(work.page_tables, 0, std::as_bytes(std::span(in.page_tables))));
  return open_pass(batch, trace, in.n_logits, in.positions, in.one_each);
}

// A pass over the rows that are in the workspace.
Result<Pass> WgpuModel::State::open_pass(const model::Batch& batch, model::TraceSink* trace,
                                         std::uint32_t n_logits, std::uint32_t positions, bool one_each) {
  const auto n_rows = static_cast<std::uint32_t>(batch.rows.size());
  const bool many = n_rows > work.capacity.decode_rows || n_rows >= kernels.tuning().gemm_from_rows;
  if (many && !has_many) {
    TRINE_CHECK_OK(make_operations_of_many());
  }
  const std::uint32_t n_chunks = divide_up(positions, work.capacity.chunk);
  const bool grouped = n_chunks > work.capacity.few_chunks;
  const std::uint32_t n_splits = many ? 1 : divide_up(n_chunks, grouped ? work.capacity.group_chunks : 1);
  Step step;
  step.n_rows = n_rows;
  step.n_logits = std::min(n_logits, work.capacity.logits_rows);
  step.n_splits = n_splits;
  TRINE_CHECK_OK(gpu->write(work.step, 0, std::as_bytes(std::span(&step, 1))));
  const std::uint32_t n_tiles = most_tiles(config(), kernels.tuning(), n_rows);
  return Pass{.config = config(),
              .gpu = *gpu,
              .work = work,
              .batch = batch,
              .trace = trace,
              .commands = gpu->record(),
              .n_rows = n_rows,
              .n_logits = n_logits,
              .n_splits = n_splits,
              .n_tiles = n_tiles,
              .layers_per_submit = std::max(1u, kernels.tuning().row_layers_per_submit / n_rows),
              .many = many,
              .grouped = grouped,
              .one_each = one_each};
}

// A step of a stream: its row was put into the workspace by the step before.
Result<Pass> WgpuModel::State::record_step(std::uint32_t positions) {
  static const model::Batch one_row = {{{0, 0, 0, true}}, {}};
  TRINE_TRY(Pass pass, open_pass(one_row, nullptr, 1, positions, true));
  TRINE_CHECK_OK(forward_layers(pass, forward));
  record_logits(pass, forward.head, 1);
  return pass;
}

namespace {

Result<void> refuse_beside_stream(bool streams) {
  if (!streams) return {};
  return fail(ErrorCode::inference, "the model is busy: a stream of tokens was not ended");
}

}  // namespace

Result<void> WgpuModel::forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* trace) {
  State& s = *state_;
  TRINE_CHECK_OK(refuse_beside_stream(s.streams));
  TRINE_CHECK_OK(model::check_batch(batch, *this));
  TRINE_TRY(Pass pass, s.begin(batch, trace));
  return forward_qwen3_moe(pass, s.forward, logits);
}

bool WgpuModel::times_passes() const {
  return state_->gpu->features().timestamps;
}

Result<model::PassTime> WgpuModel::time_pass(const model::Batch& batch, bool by_kernel) {
  State& s = *state_;
  TRINE_CHECK_OK(refuse_beside_stream(s.streams));
  TRINE_CHECK_OK(model::check_batch(batch, *this));
  const std::uint64_t row_layers = batch.rows.size() * s.forward.layers.size();
  if (!times_passes() || row_layers >= s.kernels.tuning().row_layers_per_submit)
    return fail(ErrorCode::inference,
                "a pass cannot be timed: no timestamps, or too long for one submission");
  return wgpu::time_pass(*s.gpu, by_kernel, [&](Timing timing) -> Result<Commands> {
    TRINE_TRY(Pass pass, s.begin(batch, nullptr));
    pass.commands = s.gpu->record(timing);
    TRINE_CHECK_OK(forward_layers(pass, s.forward));
    record_logits(pass, s.forward.head, std::min(pass.n_logits, pass.work.capacity.logits_rows));
    if (s.choose && pass.n_logits == 1) {
      pass.run(s.choose->argmax);
      pass.run(s.choose->merge);
    }
    return std::move(pass.commands);
  });
}

Result<std::optional<model::MemoryRate>> WgpuModel::measure_memory() {
  return wgpu::measure_memory(state_->kernels);
}

Result<std::unique_ptr<model::TokenStream>> WgpuModel::decode_stream(const model::StreamRequest& request) {
  State& s = *state_;
  TRINE_CHECK_OK(refuse_beside_stream(s.streams));
  // Devices may take subnormal numbers for 0.
  if (request.temperature > 0 && request.temperature < std::numeric_limits<float>::min()) return nullptr;
  if (request.steps < 1 || request.position < 0 ||
      request.position > std::numeric_limits<std::int32_t>::max() - request.steps) {
    return fail({.code = ErrorCode::inference,
                 .what = "a stream of tokens has no such steps",
                 .expected = "at least one, from position 0 or later",
                 .actual = fmt::format("{} from position {}", request.steps, request.position)});
  }
  // Pages are checked for the last row, and the first one is run.
  const model::Batch last = {{{request.token, request.position + request.steps - 1, 0, true}},
                             {request.page_table}};
  TRINE_CHECK_OK(model::check_batch(last, *this));
  TRINE_TRY(Inputs in, gather_inputs(last, s.work.capacity.pages));
  in.rows[1] = static_cast<std::uint32_t>(request.position);
  TRINE_CHECK_OK(s.make_choosing());
  TRINE_CHECK_OK(s.gpu->write(s.work.rows, 0, std::as_bytes(std::span(in.rows))));
  TRINE_CHECK_OK(s.gpu->write(s.work.page_tables, 0, std::as_bytes(std::span(in.page_tables))));
  return start_stream(
      *s.gpu, *s.choose, request, [&s](std::uint32_t positions) { return s.record_step(positions); },
      s.streams);
}

}  // namespace trine::wgpu
