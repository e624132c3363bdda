#pragma once

#include "model/config.h"
#include "model/kv_type.h"

#include <cstdint>
#include <span>

namespace trine::device {

// The KV cache of every backend: keys (after head norm and rotary embedding) and values of all layers, in
// pages that the engine hands out.
using model::kv_page_size;
using model::KvType;

// Bytes of so many elements; of q8_0 a multiple of a block. A block's scale is an f32: it has the range of
// what was computed, where an f16 would overflow for values near 10^7 and lose precision for those below
// 10^-2, and it costs 9 bits an element instead of 8.5.
constexpr std::uint64_t kv_bytes_of(KvType type, std::uint64_t elements) {
  switch (type) {
    case KvType::f32:
      return 4 * elements;
    case KvType::f16:
    case KvType::bf16:
      return 2 * elements;
    case KvType::q8_0:
      return elements + elements / model::kv_q8_block * sizeof(float);
  }
  return 0;
}

// Pages that hold at least so many positions.
constexpr std::int32_t kv_pages(std::int32_t positions) {
  return static_cast<std::int32_t>((std::int64_t{positions} + kv_page_size - 1) / kv_page_size);
}

// Where a sequence's position lies among the positions of all pages.
constexpr std::int64_t kv_slot(std::span<const std::int32_t> page_table, std::int32_t position) {
  const auto page = static_cast<std::size_t>(position / kv_page_size);
  return std::int64_t{page_table[page]} * kv_page_size + position % kv_page_size;
}

// Keys and values of one page in one layer. A backend may pad heads to a multiple of some elements.
std::uint64_t kv_page_bytes(const model::Config& config, KvType type, std::int32_t head_multiple = 1);

// Of as many pages as hold `positions`, in all layers.
std::uint64_t kv_bytes(const model::Config& config, std::int32_t positions, KvType type,
                       std::int32_t head_multiple = 1);

}  // namespace trine::device
