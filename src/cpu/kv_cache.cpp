#include "cpu/kv_cache.h"

#include "base/check.h"
#include "base/system.h"
#include "device/capacity.h"
#include "quant/float.h"

#include <fmt/format.h>
#include <cstring>
#include <optional>

namespace trine::cpu {

Result<KvCache> KvCache::create(const model::Config& config, std::int32_t positions, KvType type) {
  check(positions > 0, "a KV cache holds at least one position");
  KvCache cache;
  cache.type_ = type;
  cache.pages_ = device::kv_pages(positions);
  cache.n_layers_ = config.n_layers;
  cache.n_kv_heads_ = config.n_kv_heads;
  cache.head_dim_ = config.head_dim;
  check(type != KvType::q8_0 || config.head_dim % model::kv_q8_block == 0, "heads are whole blocks of q8_0");
  cache.head_bytes_ = static_cast<std::int64_t>(device::kv_bytes_of(
      type, static_cast<std::uint64_t>(page_size) * static_cast<std::uint64_t>(config.head_dim)));

  const device::CapacityPlan plan = {.kv_bytes = device::kv_bytes(config, positions, type),
                                     .positions = positions};
  const std::optional<std::uint64_t> available = available_memory();
  if (available && plan.total_bytes() > *available) {
    return fail(device::does_not_fit(
        plan, processor_name(),
        fmt::format("{:.2f} GiB available", static_cast<double>(*available) / (1 << 30))));
  }
  // Zeroed: a page that was handed out wrongly must not read as another process's garbage.
  cache.memory_ = ZeroedPages::map(plan.kv_bytes);
  if (!cache.memory_) return fail(device::does_not_fit(plan, processor_name(), "an allocation that failed"));
  return cache;
}

namespace {

// Row `at` of the 64 in a page of q8_0.
void write_q8(const Kernels& kernels, const float* values, std::int64_t head_dim, std::int64_t at,
              std::byte* page) {
  const std::int64_t blocks = head_dim / model::kv_q8_block;
  std::byte* const scales = page + KvCache::page_size * head_dim;
  for (std::int64_t block = 0; block < blocks; ++block) {
    Q8Group group;
    kernels.quantize(values + block * q8_block, 0, q8_block, &group);
    std::memcpy(page + at * head_dim + block * q8_block, group.q, q8_block);
    std::memcpy(scales + (at * blocks + block) * static_cast<std::int64_t>(sizeof(float)), group.d,
                sizeof(float));
  }
}

void write_bf16(const float* values, std::int64_t n, std::byte* out) {
  for (std::int64_t i = 0; i < n; ++i) std::memcpy(out + 2 * i, quant::to_bfloat16(values[i]).bytes, 2);
}

}  // namespace

void KvCache::write_heads(const Kernels& kernels, int layer, int which, std::int64_t slot,
                          const float* values) {
  const std::int64_t position = slot % page_size;
  const auto row_bytes = static_cast<std::int64_t>(
      type_ == KvType::q8_0 ? 0 : device::kv_bytes_of(type_, static_cast<std::uint64_t>(head_dim_)));
  for (std::int64_t head = 0; head < n_kv_heads_; ++head, values += head_dim_) {
    std::byte* const page = at(layer, which, slot / page_size, head);
    std::byte* const row = page + position * row_bytes;
    switch (type_) {
      case KvType::f32:
        std::memcpy(row, values, static_cast<std::size_t>(row_bytes));
        break;
      case KvType::f16:
        kernels.to_f16(values, reinterpret_cast<std::uint16_t*>(row), head_dim_);
        break;
      case KvType::bf16:
        write_bf16(values, head_dim_, row);
        break;
      case KvType::q8_0:
        write_q8(kernels, values, head_dim_, position, page);
        break;
    }
  }
}

void KvCache::write(const Kernels& kernels, int layer, std::int64_t slot, const float* key,
                    const float* value) {
  write_heads(kernels, layer, 0, slot, key);
  write_heads(kernels, layer, 1, slot, value);
}

}  // namespace trine::cpu
