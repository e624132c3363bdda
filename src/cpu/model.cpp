#include "cpu/model.h"

#include "base/check.h"
#include "base/thread_pool.h"
#include "cpu/forward.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::cpu {
namespace {

// Tokens per prefill slice: enough that each expert of the canonical model sees 32 of them, while a layer's
// activations stay in the second-level cache.
constexpr std::int32_t max_rows = 512;

Result<const Kernels*> choose_kernels(const std::string& isa) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels != nullptr) return kernels;
  std::string available;
  for (const IsaSupport& one : list_isas())
    if (one.available) available += (available.empty() ? "" : ", ") + one.name;
  return fail({.code = ErrorCode::backend_unavailable,
               .what = "this processor or build lacks the instruction set",
               .where = "--device",
               .expected = "one of " + available,
               .actual = isa,
               .hint = "Leave it out to use the best one"});
}

}  // namespace

struct CpuModel::State {
  State(const model::Weights& weights, const CpuOptions& options, const Kernels& kernels, KvCache cache)
      : kernels(kernels),
        numerics(options.numerics),
        matrices(bind_weights(weights, kernels, options.numerics)),
        rope(model::rope_table(weights.config)),
        kv(std::move(cache)),
        pool(options.threads),
        work(weights.config, matrices, max_rows, std::int64_t{kv.pages()} * KvCache::page_size, pool.size()) {
  }

  const model::Config& config() const { return matrices.source->config; }

  const Kernels& kernels;
  model::Numerics numerics;
  Matrices matrices;
  model::RopeTable rope;
  KvCache kv;
  ThreadPool pool;
  Workspace work;
};

CpuModel::CpuModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuModel::~CpuModel() = default;

Result<std::unique_ptr<CpuModel>> CpuModel::load(const model::Weights& weights, const CpuOptions& options) {
  TRINE_TRY(const Kernels* kernels, choose_kernels(options.isa));
  const KvType kv_type = options.numerics == model::Numerics::exact ? KvType::f32 : options.kv_type;
  TRINE_TRY(KvCache kv, KvCache::create(weights.config, options.context, kv_type));
  return std::unique_ptr<CpuModel>(
      new CpuModel(std::make_unique<State>(weights, options, *kernels, std::move(kv))));
}

const model::Config& CpuModel::config() const {
  return state_->config();
}
model::DeviceInfo CpuModel::describe() const {
  return describe_device(state_->kernels.isa, state_->pool.size(), state_->numerics);
}
std::int32_t CpuModel::kv_page_size() const {
  return KvCache::page_size;
}
std::int32_t CpuModel::kv_pages() const {
  return state_->kv.pages();
}
std::int32_t CpuModel::max_batch_rows() const {
  return max_rows;
}

Result<void> CpuModel::forward(const model::Batch& batch, std::span<float> logits, model::TraceSink* trace) {
  State& s = *state_;
  TRINE_CHECK_OK(model::check_batch(batch, *this));
  const auto wanted =
      std::count_if(batch.rows.begin(), batch.rows.end(), [](const model::Row& r) { return r.wants_logits; });
  check(logits.size() == static_cast<std::size_t>(wanted) * static_cast<std::size_t>(s.config().vocab_size),
        "forward() needs room for one row of logits per row that wants them");
  Pass pass{s.config(), s.kernels, s.matrices, s.rope, batch, s.kv, s.work, s.pool, trace};
  forward_qwen3_moe(pass, logits);
  return {};
}

}  // namespace trine::cpu
