#include "device/kv.h"

namespace trine::device {

std::uint64_t kv_page_bytes(const model::Config& config, KvType type, std::int32_t head_multiple) {
  const std::int64_t head =
      (std::int64_t{config.head_dim} + head_multiple - 1) / head_multiple * head_multiple;
  return 2 * kv_bytes_of(type, static_cast<std::uint64_t>(config.n_kv_heads * head * kv_page_size));
}

std::uint64_t kv_bytes(const model::Config& config, std::int32_t positions, KvType type,
                       std::int32_t head_multiple) {
  return static_cast<std::uint64_t>(config.n_layers) * static_cast<std::uint64_t>(kv_pages(positions)) *
         kv_page_bytes(config, type, head_multiple);
}

}  // namespace trine::device
