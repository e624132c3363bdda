#pragma once

#include "device/kv.h"
#include "model/config.h"
#include "wgpu/gpu.h"

#include <cstdint>
#include <vector>

namespace trine::wgpu {

using device::KvType;

// The KV cache on the device: one buffer a layer, in the layout of kv_write.wgsl.
class KvCache {
 public:
  static constexpr std::int32_t page_size = device::kv_page_size;

  // Errors: model_load when a layer of so many positions is more than a binding of the device may hold.
  static Result<void> check_room(const Gpu& gpu, const model::Config& config, std::int32_t positions,
                                 KvType type);
  // Holds at least `positions` positions. Errors: those of check_room(), model_load (more than its memory).
  static Result<KvCache> create(Gpu& gpu, const model::Config& config, std::int32_t positions, KvType type);
  // Bytes of all layers.
  static std::uint64_t bytes(const model::Config& config, std::int32_t positions, KvType type);

  std::int32_t pages() const { return pages_; }
  KvType type() const { return type_; }
  const Buffer& layer(int layer) const { return layers_[static_cast<std::size_t>(layer)]; }

 private:
  KvType type_ = KvType::f16;
  std::int32_t pages_ = 0;
  std::vector<Buffer> layers_;
};

}  // namespace trine::wgpu
