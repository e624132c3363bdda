#include "cpu/model.h"

#include "base/affinity.h"
#include "base/check.h"
#include "base/node_memory.h"
#include "base/thread_pool.h"
#include "base/topology.h"
#include "cpu/arithmetic.h"
#include "cpu/device.h"
#include "cpu/forward.h"
#include "cpu/populate.h"
#include "device/kv_type.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>

namespace trine::cpu {
namespace {

// Tokens per prefill slice: enough that each expert of the canonical model sees 32 of them, while a layer's
// activations stay in the second-level cache.
constexpr std::int32_t max_rows = 512;

}  // namespace

struct CpuModel::State {
  State(const model::Weights& weights, const model::LoadOptions& options, const Kernels& kernels,
        KvCache cache, const std::vector<int>& nodes)
      : kernels(kernels),
        numerics(options.numerics),
        matrices(bind_weights(weights, kernels, options.numerics)),
        rope(model::rope_table(weights.config)),
        kv(std::move(cache)),
        pool(options.threads),
        work(make_workspace(nodes)),
        limits{.kv_page_size = KvCache::page_size,
               .kv_pages = kv.pages(),
               .rows = max_rows,
               .slots = options.slots,
               .steps_ahead = 1},
        samplers(static_cast<std::size_t>(options.slots), sampling::Sampler({})),
        last_choices(samplers.size(), model::no_token) {}

  const model::Config& config() const { return matrices.source->config; }
  // It is written as it is made: its pages come from these nodes.
  Workspace make_workspace(const std::vector<int>& nodes) const {
    const InterleavedHere interleaved(nodes);
    return Workspace(config(), matrices, max_rows, std::int64_t{kv.pages()} * KvCache::page_size,
                     pool.size());
  }
  // Runs a step: the logits of its head rows, and the tokens that it wants by the rules of each slot.
  model::StepOutput run(const model::StepPlan& plan, model::StageTap* trace, PhaseTimes* times,
                        std::vector<sampling::Sampler>& rules);

  const Kernels& kernels;
  model::Numerics numerics;
  Matrices matrices;
  model::RopeTable rope;
  KvCache kv;
  ThreadPool pool;
  bool pinned = false;
  int memory_nodes = 0;
  Workspace work;
  model::StepLimits limits;
  std::vector<sampling::Sampler> samplers;  // [slots]
  std::vector<std::int32_t> last_choices;   // [slots]
  model::StepOutput output;                 // of the step that was submitted last
};

CpuModel::CpuModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuModel::~CpuModel() = default;

namespace {

// The instruction set that a load asks for: --device's, before the environment's.
std::string asked_isa(const std::string& device) {
  return device.empty() ? isa_of_environment() : device;
}

}  // namespace

Result<void> CpuModel::check_device(const std::string& device) {
  const std::string isa_name = asked_isa(device);
  if (isa_name.empty()) return {};
  std::string available;
  std::string actual = fmt::format("'{}', which is no instruction set of this backend", isa_name);
  for (const IsaSupport& isa : list_isas()) {
    if (isa.available && isa.name == isa_name) return {};
    if (isa.available) available += (available.empty() ? "" : ", ") + isa.name;
    if (isa.name == isa_name) actual = fmt::format("'{}', which this processor lacks", isa_name);
  }
  const bool is_backend = device == "wgpu" || device == "cuda" || device == "cpu";
  return fail({.code = ErrorCode::backend_unavailable,
               .what = "device not available",
               .where = device.empty() ? "TRINE_CPU" : "--device",
               .expected = "one of " + available,
               .actual = actual,
               .hint = is_backend ? fmt::format("That is a backend: --backend {}", device)
                                  : "'trine devices' lists what is here"});
}

Result<std::string> CpuModel::device_type(const std::string& device) {
  TRINE_CHECK_OK(check_device(device));
  return std::string(model::cpu_type);
}

Result<void> CpuModel::check_without(std::span<const std::string> names) {
  if (names.empty()) return {};
  return fail({.code = ErrorCode::usage,
               .what = "the CPU backend has nothing to leave out",
               .where = "--without",
               .actual = names.front(),
               .hint = "--device names an instruction set; --without is of --backend wgpu"});
}

namespace {

Result<void> pin_threads(ThreadPool& pool) {
  const std::vector<int> order = binding_order(read_topology(allowed_threads()));
  if (order.size() < static_cast<std::size_t>(pool.size()))
    return fail({.code = ErrorCode::usage,
                 .what = "more threads than hardware threads to pin them to",
                 .where = "--threads",
                 .expected = fmt::format("at most {} with --pin", order.size()),
                 .actual = fmt::format("{}", pool.size())});
  return pool.bind(order);
}

// The nodes that memory is taken from in turn; none where there is one, or where the user has said otherwise.
std::vector<int> nodes_for(const model::LoadOptions& options) {
  if (!options.numa.value_or(true) || has_memory_policy()) return {};
  std::vector<int> nodes = read_topology(allowed_threads()).nodes();
  if (nodes.size() < 2) nodes.clear();
  return nodes;
}

}  // namespace

Result<std::unique_ptr<CpuModel>> CpuModel::load(const model::Weights& weights,
                                                 const model::LoadOptions& options) {
  TRINE_CHECK_OK(check_device(options.device));
  TRINE_CHECK_OK(check_without(options.without));
  const Kernels* kernels = find_kernels(asked_isa(options.device));
  TRINE_TRY(const KvType kv_type,
            device::choose_kv_type(options.kv_type, options.numerics, weights, options.threads));
  TRINE_TRY(KvCache kv, KvCache::create(weights.config, options.context, kv_type));
  const std::vector<int> nodes = nodes_for(options);
  const bool spread = interleave_pages(kv.memory().data(), kv.memory().size(), nodes);
  // Nodes take turns by page: a huge one has several layers of a page of positions on the same node.
  if (!spread) kv.prefer_huge_pages();
  auto state = std::make_unique<State>(weights, options, *kernels, std::move(kv), nodes);
  if (spread) state->memory_nodes = static_cast<int>(nodes.size());
  if (options.pin) TRINE_CHECK_OK(pin_threads(state->pool));
  state->pinned = options.pin;
  populate_weights(weights, device::kv_bytes(weights.config, options.context, kv_type), nodes, state->pool);
  return std::unique_ptr<CpuModel>(new CpuModel(std::move(state)));
}

const model::Config& CpuModel::config() const {
  return state_->config();
}
model::DeviceInfo CpuModel::describe() const {
  model::DeviceInfo info = describe_device(state_->kernels.isa, state_->pool.size(), state_->numerics);
  info.pinned = state_->pinned;
  info.memory_nodes = state_->memory_nodes;
  info.kv_type = state_->kv.type();
  info.stage_place = stage_places();
  return info;
}
const model::StepLimits& CpuModel::limits() const {
  return state_->limits;
}

Result<void> CpuModel::place_choosing(std::int32_t slot, const model::Slot& entry) {
  sampling::Sampler& sampler = state_->samplers[static_cast<std::size_t>(slot)];
  sampler = sampling::Sampler(entry.choosing.params);
  sampler.accept_prompt(entry.choosing.prompt);
  sampler.accept_chosen(entry.choosing.chosen);
  sampler.allow(entry.allowed);
  return {};
}

// A pass reads page tables where they are kept.
Result<void> CpuModel::place_pages(std::int32_t /*slot*/, const model::Slot& /*entry*/) {
  return {};
}

Result<void> CpuModel::place_allowed(std::int32_t slot, const model::Slot& entry) {
  state_->samplers[static_cast<std::size_t>(slot)].allow(entry.allowed);
  return {};
}

namespace {

// The tokens that the plan wants, one slot a task: head rows hold their logits in `logits`.
std::vector<std::int32_t> choose_tokens(const model::StepPlan& plan, std::span<const float> logits,
                                        std::size_t vocab, ThreadPool& pool,
                                        std::vector<sampling::Sampler>& samplers) {
  std::vector<std::int32_t> tokens(plan.token_rows.size());
  const auto choose = [&](std::size_t i) {
    const std::int32_t row = plan.token_rows[i];
    const auto head = std::lower_bound(plan.head_rows.begin(), plan.head_rows.end(), row);
    const auto at = static_cast<std::size_t>(head - plan.head_rows.begin()) * vocab;
    const std::int32_t slot = plan.rows[static_cast<std::size_t>(row)].slot;
    const auto token = samplers[static_cast<std::size_t>(slot)].sample(logits.subspan(at, vocab));
    tokens[i] = token ? *token : model::no_token;
  };
  pool.parallel_for(static_cast<std::int64_t>(tokens.size()), 1,
                    [&](std::int64_t begin, std::int64_t end, int) {
                      for (std::int64_t i = begin; i < end; ++i) choose(static_cast<std::size_t>(i));
                    });
  return tokens;
}

// Of the head rows' logits, moves those that are wanted to the front and drops the rest.
void keep_wanted(const model::StepPlan& plan, std::size_t vocab, std::vector<float>& logits) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < plan.head_rows.size(); ++i) {
    const model::Row& row = plan.rows[static_cast<std::size_t>(plan.head_rows[i])];
    if (!model::wants_logits(row.wants)) continue;
    if (kept != i)
      std::copy_n(logits.begin() + static_cast<std::ptrdiff_t>(i * vocab), vocab,
                  logits.begin() + static_cast<std::ptrdiff_t>(kept * vocab));
    ++kept;
  }
  logits.resize(kept * vocab);
}

}  // namespace

model::StepOutput CpuModel::State::run(const model::StepPlan& plan, model::StageTap* trace, PhaseTimes* times,
                                       std::vector<sampling::Sampler>& rules) {
  const auto vocab = static_cast<std::size_t>(config().vocab_size);
  model::StepOutput result;
  result.logits.resize(plan.head_rows.size() * vocab);
  Pass pass{config(), kernels, matrices, rope, plan, last_choices, kv, work, pool, trace, times};
  forward_qwen3_moe(pass, result.logits);
  const PhaseTimer timer(times, Phase::sampling);
  result.tokens = choose_tokens(plan, result.logits, vocab, pool, rules);
  return result;
}

// There is nothing to wait for: the step is run here.
Result<void> CpuModel::submit_plan(const model::StepPlan& plan, model::StageTap* trace) {
  State& s = *state_;
  s.output = {};  // its memory first
  s.output = s.run(plan, trace, nullptr, s.samplers);
  for (std::size_t i = 0; i < plan.token_rows.size(); ++i) {
    const model::Row& row = plan.rows[static_cast<std::size_t>(plan.token_rows[i])];
    s.last_choices[static_cast<std::size_t>(row.slot)] = s.output.tokens[i];
  }
  keep_wanted(plan, static_cast<std::size_t>(s.config().vocab_size), s.output.logits);
  return {};
}

Result<model::StepOutput> CpuModel::take_output(std::int32_t /*ring_index*/) {
  return std::move(state_->output);
}

// ---- Benchmarks ----

// The run of median time, with its own phases: medians of each would be of no run, and need not fit into it.
Result<model::StepTime> CpuModel::time_plan(const model::StepPlan& plan, bool in_parts) {
  constexpr std::size_t most_runs = 9;
  constexpr std::chrono::seconds most_time(2);
  using Clock = std::chrono::steady_clock;
  State& s = *state_;
  std::vector<model::StepTime> runs;
  const Clock::time_point first = Clock::now();
  s.pool.count_times(in_parts);
  while (runs.empty() || (runs.size() < most_runs && Clock::now() - first < most_time)) {
    std::vector<sampling::Sampler> rules = s.samplers;  // drawing changes them
    PhaseTimes phases(s.pool);
    const Clock::time_point start = Clock::now();
    s.run(plan, nullptr, in_parts ? &phases : nullptr, rules);
    model::StepTime time;
    time.microseconds = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    if (in_parts) time.phases = phases.take();
    runs.push_back(std::move(time));
  }
  s.pool.count_times(false);
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(),
                   [](const auto& a, const auto& b) { return a.microseconds < b.microseconds; });
  return std::move(*middle);
}

Result<std::optional<model::ArithmeticRate>> CpuModel::measure_arithmetic() {
  return cpu::measure_arithmetic(state_->kernels.isa, state_->pool);
}

}  // namespace trine::cpu
