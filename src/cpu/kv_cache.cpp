#include "cpu/kv_cache.h"

#include "base/check.h"
#include "base/system.h"
#include "device/capacity.h"

#include <fmt/format.h>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace trine::cpu {

void KvCache::Free::operator()(void* memory) const {
  std::free(memory);
}

Result<KvCache> KvCache::create(const model::Config& config, std::int32_t positions, KvType type) {
  check(positions > 0, "a KV cache holds at least one position");
  KvCache cache;
  cache.type_ = type;
  cache.pages_ = device::kv_pages(positions);
  cache.kv_size_ = config.kv_size();
  cache.head_dim_ = config.head_dim;

  const device::CapacityPlan plan = {.kv_bytes = device::kv_bytes(config, positions, type),
                                     .positions = positions};
  const std::optional<std::uint64_t> available = available_memory();
  if (available && plan.total_bytes() > *available) {
    return fail(device::does_not_fit(
        plan, processor_name(),
        fmt::format("{:.2f} GiB available", static_cast<double>(*available) / (1 << 30))));
  }
  // calloc takes zero pages from the system: untouched positions cost nothing, and a page that was handed out
  // wrongly reads as zeros, not as another process's garbage.
  cache.memory_.reset(std::calloc(plan.kv_bytes, 1));
  if (cache.memory_ == nullptr)
    return fail(device::does_not_fit(plan, processor_name(), "an allocation that failed"));
  return cache;
}

void KvCache::write(const Kernels& kernels, int layer, std::int64_t slot, const float* key,
                    const float* value) {
  if (type_ == KvType::f16) {
    kernels.to_f16(key, at<std::uint16_t>(layer, 0, slot, 0), kv_size_);
    kernels.to_f16(value, at<std::uint16_t>(layer, 1, slot, 0), kv_size_);
    return;
  }
  const std::size_t bytes = static_cast<std::size_t>(kv_size_) * sizeof(float);
  std::memcpy(at<float>(layer, 0, slot, 0), key, bytes);
  std::memcpy(at<float>(layer, 1, slot, 0), value, bytes);
}

}  // namespace trine::cpu
