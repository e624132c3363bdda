#include "wgpu/model.h"

#include "base/thread_pool.h"
#include "device/capacity.h"
#include "device/kv_type.h"
#include "device/self_test.h"
#include "wgpu/forward.h"
#include "wgpu/gemm.h"
#include "wgpu/load_tested.h"
#include "wgpu/measure.h"
#include "wgpu/slots.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <optional>

namespace trine::wgpu {

using model::Numerics;

namespace {

// Steps on the device or on their way to it: one that runs, one behind it, and one to spare for the time in
// which the host shows a token.
constexpr std::int32_t steps_ahead = 3;

// Room for the uniforms of all kernels: some dozens of 16 or 32 bytes, as layers of a shape share theirs.
constexpr std::uint64_t uniform_bytes = 16 << 10;

// All that a model of this capacity will hold.
device::CapacityPlan plan_memory(const Gpu& gpu, const model::Weights& weights, std::int32_t context,
                                 KvType kv_type, const Capacity& capacity) {
  const model::Config& config = weights.config;
  return {.weights_bytes = device_bytes(gpu, weights),
          .kv_bytes = KvCache::bytes(config, context, kv_type),
          .workspace_bytes = Workspace::bytes(config, capacity) +
                             steps_ahead * Workspace::answer_bytes(config, capacity) + uniform_bytes,
          .positions = context,
          .rows = static_cast<std::int32_t>(capacity.rows)};
}

// What a device that is too small is told. WebGPU does not say how much memory there is: the first buffer
// that cannot be had shows it.
Error with_plan(Error error, const device::CapacityPlan& plan, const Adapter& adapter) {
  if (error.code != ErrorCode::model_load || !error.hint.empty()) return error;
  return device::does_not_fit(plan, adapter.name, to_string(error));
}

// Errors: backend_unavailable (f16 on a device or with variants that have none), usage (a type that has no
// kernels).
Result<void> check_kv_type(std::optional<KvType> asked, const Variants& variants) {
  if (!asked || *asked == KvType::f32 || (*asked == KvType::f16 && variants.f16)) return {};
  const bool has_kernels = *asked == KvType::f16;
  return fail({.code = has_kernels ? ErrorCode::backend_unavailable : ErrorCode::usage,
               .what = fmt::format("the wgpu backend has no KV cache of {}{}", name_of(*asked),
                                   has_kernels ? " on this device" : ""),
               .where = "--kv",
               .expected = variants.f16 ? "f32 or f16" : "f32",
               .actual = std::string(name_of(*asked)),
               .hint = "--backend cpu has f32, f16, bf16 and q8_0"});
}

}  // namespace

struct WgpuModel::State {
  State(const model::Weights& weights, std::shared_ptr<Gpu> opened, std::shared_ptr<KernelCache> compiled,
        const WgpuOptions& options, const Variants& asked, const Variants& variants)
      : weights(weights),
        options(options),
        numerics(options.numerics),
        asked(asked),
        variants(variants),
        gpu(std::move(opened)),
        compiled(std::move(compiled)),
        kernels(*this->compiled) {}

  const model::Config& config() const { return weights.config; }
  Builder builder() { return {kernels, work, config(), variants.integer_dot ? numerics : Numerics::exact}; }
  Result<void> allocate(const WgpuOptions& options, KvType kv_type);
  Result<void> make_operations();
  Result<void> make_operations_of_many();
  Result<void> make_choosing();
  Result<void> write_rows(const model::StepPlan& plan);
  Result<Pass> begin(const model::StepPlan& plan, model::StageTap* trace, bool is_timed = false);
  StepReadback& readback_at(std::int32_t ring_index) {
    return readbacks[static_cast<std::size_t>(ring_index)];
  }
  Result<void> prepare_readback(const model::StepPlan& plan, bool traces_logits);

  Result<void> judge_when_first_used(const device::Judged& judged);

  const model::Weights& weights;
  WgpuOptions options;
  Numerics numerics;
  Variants asked;            // what was not left out
  Variants variants;         // of these, what the self-test did not switch off
  std::shared_ptr<Gpu> gpu;  // outlives all that follows
  std::shared_ptr<KernelCache> compiled;
  KernelCache& kernels;
  device::CapacityPlan plan;
  KvCache kv;
  Workspace work;
  Matrices matrices;
  ForwardOps forward;
  bool has_many = false;            // operations of many rows
  std::optional<ChooseOps> choose;  // at the latest made for the first token that is wanted
  std::optional<Slots> slots;
  std::array<StepReadback, steps_ahead> readbacks;  // by ring index
  model::StepLimits limits;
};

Result<void> WgpuModel::State::allocate(const WgpuOptions& options, KvType kv_type) {
  const Capacity capacity =
      plan_capacity(config(), kernels.tuning(), gpu->limits(), options.context, options.slots);
  plan = plan_memory(*gpu, weights, options.context, kv_type, capacity);
  const auto fits = [&]() -> Result<void> {
    TRINE_TRY(kv, KvCache::create(*gpu, config(), options.context, kv_type));
    TRINE_TRY(work, Workspace::create(*gpu, config(), capacity));
    TRINE_TRY(matrices, allocate_weights(*gpu, weights));
    return {};
  };
  if (Result<void> done = fits(); !done)
    return fail(with_plan(std::move(done).error(), plan, gpu->adapter()));
  slots.emplace(*gpu, work, config().vocab_size);
  limits = {.kv_page_size = KvCache::page_size,
            .kv_pages = kv.pages(),
            .rows = static_cast<std::int32_t>(capacity.rows),
            .slots = static_cast<std::int32_t>(capacity.slots),
            .steps_ahead = steps_ahead};
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
  return judge_when_first_used({.choices = true});
}

// At load, but for a software adapter, whose compiler takes seconds a kernel: there when they are first
// needed.
Result<void> WgpuModel::State::make_operations_of_many() {
  TRINE_CHECK_OK(add_forward_of_many(builder(), matrices, kv, forward));
  has_many = true;
  return judge_when_first_used({.many_rows = true});
}

// Tries kernels that the self-test at load did not have, on a model of two layers beside this one: it shares
// the device and what is compiled, and neither slots nor pages.
Result<void> WgpuModel::State::judge_when_first_used(const device::Judged& judged) {
  if (!options.self_test || gpu->adapter().type != "software") return {};
  const model::Weights some = device::first_and_last_layer(weights);
  WgpuOptions untested = options;
  untested.self_test = false;
  TRINE_TRY(const std::unique_ptr<WgpuModel> model, load_on(gpu, compiled, some, untested, asked, variants));
  Result<void> outcome = device::self_test(*model, some, judged);
  if (!outcome)
    outcome.error().hint =
        "The self-test of kernels that are needed for the first time found it: --without leaves out what "
        "'trine devices' names, or use --backend cpu";
  return outcome;
}

WgpuModel::WgpuModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
WgpuModel::~WgpuModel() = default;

Result<void> WgpuModel::check_device(const std::string& device) {
  TRINE_CHECK_OK(choose_adapter(device));
  return {};
}

Result<std::string> WgpuModel::device_type(const std::string& device) {
  TRINE_TRY(Adapter adapter, choose_adapter(device));
  return std::move(adapter.type);
}

Result<void> WgpuModel::check_without(std::span<const std::string> names) {
  TRINE_CHECK_OK(variants_without(names));
  return {};
}

Result<std::unique_ptr<WgpuModel>> WgpuModel::load(const model::Weights& weights,
                                                   const model::LoadOptions& options) {
  return load(weights, WgpuOptions{options});
}

Result<std::unique_ptr<WgpuModel>> WgpuModel::load(const model::Weights& weights,
                                                   const WgpuOptions& options) {
  TRINE_TRY(const Variants asked, variants_without(options.without));
  TRINE_CHECK_OK(model::refuse_host_options(options, "wgpu"));
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
  TRINE_TRY(std::shared_ptr<Gpu> gpu, Gpu::open(open));
  auto compiled = std::make_shared<KernelCache>(*gpu);
  if (options.few_chunks > 0) compiled->set_few_chunks(options.few_chunks);
  return load_on(std::move(gpu), std::move(compiled), weights, options, asked, variants);
}

Result<std::unique_ptr<WgpuModel>> WgpuModel::load_on(std::shared_ptr<Gpu> gpu,
                                                      std::shared_ptr<KernelCache> compiled,
                                                      const model::Weights& weights,
                                                      const WgpuOptions& options, const Variants& asked,
                                                      const Variants& variants) {
  auto state =
      std::make_unique<State>(weights, std::move(gpu), std::move(compiled), options, asked, variants);
  TRINE_CHECK_OK(check_kv_type(options.kv_type, variants));
  const KvType usual = variants.f16 ? device::kv_type_for(options.numerics) : KvType::f32;
  const KvType wanted = options.kv_type.value_or(usual);
  // Weights are read once there is room.
  TRINE_CHECK_OK(KvCache::check_room(*state->gpu, weights.config, options.context, wanted));
  KvType kv_type = wanted;
  if (options.kv_type) {
    TRINE_TRY(kv_type, device::choose_kv_type(wanted, options.numerics, weights, options.threads));
  } else {
    kv_type = device::safe_kv_type(usual, weights, options.threads);
  }
  TRINE_CHECK_OK(state->allocate(options, kv_type));
  TRINE_CHECK_OK(state->make_operations());
  if (state->gpu->adapter().type != "software") {
    TRINE_CHECK_OK(state->make_operations_of_many());
  }
  ThreadPool pool(options.threads);
  if (Result<void> sent = upload_weights(*state->gpu, weights, pool, state->matrices); !sent)
    return fail(with_plan(std::move(sent).error(), state->plan, state->gpu->adapter()));
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
  info.kv_type = state_->kv.type();
  info.stage_place = stage_places();
  info.left_out = names_of_missing(state_->asked);
  info.switched_off = names_of_missing(state_->variants, state_->asked);
  return info;
}
std::optional<model::MemoryUse> WgpuModel::memory_use() const {
  return model::MemoryUse{.planned = state_->plan.total_bytes(), .held = state_->gpu->held_bytes()};
}
void WgpuModel::lose_device() {
  state_->gpu->lose();
}
const model::StepLimits& WgpuModel::limits() const {
  return state_->limits;
}

// ---- Slots ----

Result<void> WgpuModel::place_choosing(std::int32_t slot, const model::Slot& entry) {
  return state_->slots->place_choosing(slot, entry);
}
Result<void> WgpuModel::place_pages(std::int32_t slot, const model::Slot& entry) {
  return state_->slots->place_pages(slot, entry);
}
Result<void> WgpuModel::place_allowed(std::int32_t slot, const model::Slot& entry) {
  return state_->slots->place_allowed(slot, entry);
}

// ---- Steps ----

// The step's rows, and how those choose that want a token, as kernels read them.
Result<void> WgpuModel::State::write_rows(const model::StepPlan& plan) {
  std::vector<std::uint32_t> rows, choices;
  for (const model::Row& row : plan.rows)
    rows.insert(rows.end(),
                {static_cast<std::uint32_t>(row.token), static_cast<std::uint32_t>(row.position),
                 static_cast<std::uint32_t>(row.slot), row.wants == model::Wants::nothing ? 0u : 1u});
  TRINE_CHECK_OK(gpu->write(work.rows, 0, std::as_bytes(std::span(rows))));
  if (plan.token_rows.empty()) return {};
  std::size_t next = 0;
  for (const std::int32_t index : plan.head_rows) {
    const model::Row& row = plan.rows[static_cast<std::size_t>(index)];
    const bool chooses = model::wants_token(row.wants);
    const std::uint64_t draw = chooses ? plan.draws[next++] : 0;
    choices.insert(choices.end(), {static_cast<std::uint32_t>(row.slot), static_cast<std::uint32_t>(draw),
                                   static_cast<std::uint32_t>(draw >> 32), chooses ? 1u : 0u});
  }
  return gpu->write(work.choices, 0, std::as_bytes(std::span(choices)));
}

// A pass over the plan's rows.
Result<Pass> WgpuModel::State::begin(const model::StepPlan& plan, model::StageTap* trace, bool is_timed) {
  TRINE_CHECK_OK(write_rows(plan));
  const auto n_rows = static_cast<std::uint32_t>(plan.rows.size());
  const bool many = n_rows > work.capacity.decode_rows || n_rows >= kernels.tuning().gemm_from_rows;
  if (many && !has_many) {
    TRINE_CHECK_OK(make_operations_of_many());
  }
  if (!plan.token_rows.empty()) TRINE_CHECK_OK(make_choosing());
  const std::uint32_t n_chunks = divide_up(static_cast<std::uint64_t>(plan.positions), work.capacity.chunk);
  const bool grouped = n_chunks > work.capacity.few_chunks;
  const std::uint32_t n_splits = many ? 1 : divide_up(n_chunks, grouped ? work.capacity.group_chunks : 1);
  const auto n_logits = static_cast<std::uint32_t>(plan.head_rows.size());
  Step step;
  step.n_rows = n_rows;
  step.n_logits = std::min(n_logits, work.capacity.logits_rows);
  step.n_splits = n_splits;
  step.is_timed = is_timed ? 1 : 0;
  TRINE_CHECK_OK(gpu->write(work.step, 0, std::as_bytes(std::span(&step, 1))));
  const std::uint32_t n_tiles = most_tiles(config(), kernels.tuning(), n_rows);
  return Pass{.config = config(),
              .gpu = *gpu,
              .work = work,
              .plan = plan,
              .trace = trace,
              .commands = gpu->record(),
              .n_rows = n_rows,
              .n_logits = n_logits,
              .n_splits = n_splits,
              .n_tiles = n_tiles,
              .layers_per_submit = std::max(1u, kernels.tuning().row_layers_per_submit / n_rows),
              .many = many,
              .grouped = grouped,
              .one_each = plan.one_each};
}

Result<void> WgpuModel::State::prepare_readback(const model::StepPlan& plan, bool traces_logits) {
  StepReadback& back = readback_at(plan.ring_index);
  back.launches = 0;
  back.values.clear();
  back.token_slots.clear();
  for (const std::int32_t row : plan.token_rows)
    back.token_slots.push_back(plan.rows[static_cast<std::size_t>(row)].slot);
  if (back.tokens.bytes() == 0) {
    TRINE_TRY(back.tokens, gpu->create_readback("tokens", work.last_choices.bytes()));
  }
  if ((traces_logits || !plan.logits_rows.empty()) && back.logits.bytes() == 0) {
    TRINE_TRY(back.logits, gpu->create_readback("logits", work.logits.bytes()));
  }
  return {};
}

Result<void> WgpuModel::submit_plan(const model::StepPlan& plan, model::StageTap* trace) {
  State& s = *state_;
  const bool traces_logits = trace != nullptr && trace->wants(model::Stage::logits, -1);
  TRINE_CHECK_OK(s.prepare_readback(plan, traces_logits));
  StepReadback& back = s.readback_at(plan.ring_index);
  TRINE_TRY(Pass pass, s.begin(plan, trace));
  Result<void> sent = forward_qwen3_moe(pass, s.forward, s.choose ? &*s.choose : nullptr, *s.slots, back);
  // What was under way when it failed must not be met again.
  if (!sent) back = StepReadback{};
  return sent;
}

Result<model::StepOutput> WgpuModel::take_output(std::int32_t ring_index) {
  State& s = *state_;
  StepReadback& back = s.readback_at(ring_index);
  auto output = take_step(*s.gpu, back, static_cast<std::size_t>(s.config().vocab_size));
  if (!output) back = StepReadback{};
  return output;
}

// ---- Benchmarks ----

bool WgpuModel::times_kernels() const {
  return state_->gpu->features().timestamps;
}

Result<model::StepTime> WgpuModel::time_plan(const model::StepPlan& plan, bool by_kernel) {
  State& s = *state_;
  const std::uint64_t row_layers = plan.rows.size() * s.forward.layers.size();
  if (!times_kernels() || row_layers >= s.kernels.tuning().row_layers_per_submit ||
      plan.head_rows.size() > s.work.capacity.logits_rows)
    return fail(ErrorCode::inference,
                "a step cannot be timed: no timestamps, or too long for one submission");
  return wgpu::time_step(*s.gpu, by_kernel, [&](Timing timing) -> Result<Commands> {
    TRINE_TRY(Pass pass, s.begin(plan, nullptr, true));
    pass.commands = s.gpu->record(timing);
    TRINE_CHECK_OK(forward_layers(pass, s.forward));
    if (pass.n_logits > 0) record_logits(pass, s.forward.head, pass.n_logits);
    if (s.choose) record_choice(pass, *s.choose, *s.slots, 0, pass.n_logits);
    return std::move(pass.commands);
  });
}

Result<std::optional<model::MemoryRate>> WgpuModel::measure_memory() {
  return wgpu::measure_memory(state_->kernels);
}

}  // namespace trine::wgpu
