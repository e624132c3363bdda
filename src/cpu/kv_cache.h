#pragma once

#include "base/error.h"
#include "base/zeroed_pages.h"
#include "cpu/kernels/kernels.h"
#include "device/kv.h"
#include "model/config.h"

#include <cstdint>
#include <span>

namespace trine::cpu {

using device::KvType;

// The KV cache in memory: by page and layer [n_kv_heads] keys, then values likewise, each of 64 positions in
// a row as KvPage has them: what a unit of attention reads of a page is one stream, and a short context
// touches few pages of memory, however large they are.
class KvCache {
 public:
  static constexpr std::int32_t page_size = device::kv_page_size;

  // Holds at least `positions` positions. Memory is touched only as positions are written.
  // Errors: model_load when it cannot fit into memory, saying how much it needs. q8_0 wants a head_dim of
  // whole blocks.
  static Result<KvCache> create(const model::Config& config, std::int32_t positions, KvType type);

  std::int32_t pages() const { return pages_; }
  KvType type() const { return type_; }
  // All of it, to say where untouched pages are to come from.
  std::span<std::byte> memory() { return memory_.bytes(); }
  // Attention then reads a long context up to 1.3 times as fast (docs/performance.md). Before anything is
  // written.
  void prefer_huge_pages() { memory_.prefer_huge(); }

  static std::int64_t slot(std::span<const std::int32_t> page_table, std::int32_t position) {
    return device::kv_slot(page_table, position);
  }

  // Stores one position's key and value, kv_size floats each, rounded to the nearest.
  void write(const Kernels& kernels, int layer, std::int64_t slot, const float* key, const float* value);

  // One KV head's part of a page.
  const std::byte* keys(int layer, std::int32_t page, int kv_head) const {
    return at(layer, 0, page, kv_head);
  }
  const std::byte* values(int layer, std::int32_t page, int kv_head) const {
    return at(layer, 1, page, kv_head);
  }

 private:
  std::byte* at(int layer, int which, std::int64_t page, std::int64_t kv_head) const {
    const std::int64_t before = ((page * n_layers_ + layer) * 2 + which) * n_kv_heads_ + kv_head;
    return memory_.bytes().data() + before * head_bytes_;
  }
  void write_heads(const Kernels& kernels, int layer, int which, std::int64_t slot, const float* values);

  ZeroedPages memory_;
  KvType type_ = KvType::f16;
  std::int32_t pages_ = 0;
  std::int64_t n_layers_ = 0;
  std::int64_t n_kv_heads_ = 0;
  std::int64_t head_dim_ = 0;
  std::int64_t head_bytes_ = 0;  // of one KV head in a page
};

}  // namespace trine::cpu
