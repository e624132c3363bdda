#include "wgpu/kv_cache.h"

#include "base/check.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::wgpu {
namespace {

std::uint64_t pages_for(std::int32_t positions) {
  return (static_cast<std::uint64_t>(positions) + KvCache::page_size - 1) / KvCache::page_size;
}

// Of one layer; head_dim is rounded up to a multiple of 4.
std::uint64_t page_bytes(const model::Config& config, KvType type) {
  const std::uint64_t head = (static_cast<std::uint64_t>(config.head_dim) + 3) / 4 * 4;
  const std::uint64_t element = type == KvType::f16 ? 2 : 4;
  return 2 * static_cast<std::uint64_t>(config.n_kv_heads) * KvCache::page_size * head * element;
}

}  // namespace

std::uint64_t KvCache::bytes(const model::Config& config, std::int32_t positions, KvType type) {
  return static_cast<std::uint64_t>(config.n_layers) * pages_for(positions) * page_bytes(config, type);
}

Result<KvCache> KvCache::create(Gpu& gpu, const model::Config& config, std::int32_t positions, KvType type) {
  check(positions > 0, "a KV cache holds at least one position");
  const std::uint64_t pages = pages_for(positions);
  const std::uint64_t limit = std::min(gpu.limits().max_storage_binding_bytes, gpu.limits().max_buffer_bytes);
  const std::uint64_t most = limit / page_bytes(config, type);
  if (pages > most) {
    return fail({.code = ErrorCode::model_load,
                 .what = "the KV cache of a layer is larger than a binding of this device may be",
                 .where = fmt::format("{} positions", positions),
                 .expected = fmt::format("at most {} positions on {}", most * page_size, gpu.adapter().name),
                 .actual = fmt::format("{:.2f} GiB a layer",
                                       static_cast<double>(pages * page_bytes(config, type)) / (1 << 30)),
                 .hint = "Ask for a smaller context (--ctx)"});
  }
  KvCache cache;
  cache.type_ = type;
  cache.pages_ = static_cast<std::int32_t>(pages);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    TRINE_TRY(Buffer buffer, gpu.create_buffer(fmt::format("KV cache of layer {}", layer),
                                               pages * page_bytes(config, type)));
    cache.layers_.push_back(std::move(buffer));
  }
  return cache;
}

}  // namespace trine::wgpu
