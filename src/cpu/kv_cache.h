#pragma once

#include "base/error.h"
#include "cpu/kernels/kernels.h"
#include "device/kv.h"
#include "model/config.h"

#include <cstdint>
#include <memory>
#include <span>

namespace trine::cpu {

using device::KvType;

// The KV cache in memory: per layer [slot][n_kv_heads][head_dim] keys, then values; slots as kv_slot() counts
// them.
class KvCache {
 public:
  static constexpr std::int32_t page_size = device::kv_page_size;

  // Holds at least `positions` positions. Memory is touched only as positions are written.
  // Errors: model_load when it cannot fit into memory, saying how much it needs.
  static Result<KvCache> create(const model::Config& config, std::int32_t positions, KvType type);

  std::int32_t pages() const { return pages_; }
  KvType type() const { return type_; }

  static std::int64_t slot(std::span<const std::int32_t> page_table, std::int32_t position) {
    return device::kv_slot(page_table, position);
  }

  // Stores one position's key and value, kv_size floats each.
  void write(const Kernels& kernels, int layer, std::int64_t slot, const float* key, const float* value);

  // The start of one head's key or value at a slot; the next slot of the same page is kv_size elements
  // further.
  const float* key_f32(int layer, std::int64_t slot, int head) const {
    return at<float>(layer, 0, slot, head);
  }
  const float* value_f32(int layer, std::int64_t slot, int head) const {
    return at<float>(layer, 1, slot, head);
  }
  const std::uint16_t* key_f16(int layer, std::int64_t slot, int head) const {
    return at<std::uint16_t>(layer, 0, slot, head);
  }
  const std::uint16_t* value_f16(int layer, std::int64_t slot, int head) const {
    return at<std::uint16_t>(layer, 1, slot, head);
  }
  std::int64_t kv_size() const { return kv_size_; }

 private:
  template <typename T>
  T* at(int layer, int which, std::int64_t slot, int head) const {
    const std::int64_t slots = static_cast<std::int64_t>(pages_) * page_size;
    return static_cast<T*>(memory_.get()) + ((2 * std::int64_t{layer} + which) * slots + slot) * kv_size_ +
           std::int64_t{head} * head_dim_;
  }

  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> memory_;
  KvType type_ = KvType::f16;
  std::int32_t pages_ = 0;
  std::int64_t kv_size_ = 0;
  std::int64_t head_dim_ = 0;
};

}  // namespace trine::cpu
