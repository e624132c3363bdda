#include "wgpu/kv_cache.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::wgpu {
namespace {

// A position's quads of elements are read at once.
constexpr std::int32_t head_multiple = 4;

}  // namespace

std::uint64_t KvCache::bytes(const model::Config& config, std::int32_t positions, KvType type) {
  return device::kv_bytes(config, positions, type, head_multiple);
}

Result<void> KvCache::check_room(const Gpu& gpu, const model::Config& config, std::int32_t positions,
                                 KvType type) {
  const auto pages = static_cast<std::uint64_t>(device::kv_pages(positions));
  const std::uint64_t page_bytes = device::kv_page_bytes(config, type, head_multiple);
  const std::uint64_t limit = std::min(gpu.limits().max_storage_binding_bytes, gpu.limits().max_buffer_bytes);
  const std::uint64_t most = limit / page_bytes;
  if (pages <= most) return {};
  return fail(
      {.code = ErrorCode::model_load,
       .what = "the KV cache of a layer is larger than a binding of this device may be",
       .where = fmt::format("{} positions", positions),
       .expected = fmt::format("at most {} positions on {}", most * page_size, gpu.adapter().name),
       .actual = fmt::format("{:.2f} GiB a layer", static_cast<double>(pages * page_bytes) / (1 << 30)),
       .hint = "Ask for a smaller context (--ctx)"});
}

Result<KvCache> KvCache::create(Gpu& gpu, const model::Config& config, std::int32_t positions, KvType type) {
  check(positions > 0, "a KV cache holds at least one position");
  TRINE_CHECK_OK(check_room(gpu, config, positions, type));
  KvCache cache;
  cache.type_ = type;
  cache.pages_ = device::kv_pages(positions);
  const std::uint64_t bytes =
      static_cast<std::uint64_t>(cache.pages_) * device::kv_page_bytes(config, type, head_multiple);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    TRINE_TRY(Buffer buffer, gpu.create_buffer(fmt::format("KV cache of layer {}", layer), bytes));
    cache.layers_.push_back(std::move(buffer));
  }
  return cache;
}

}  // namespace trine::wgpu
