#pragma once

#include "cpu/kernels/kernels.h"

#include <type_traits>

// Where a page of the KV cache has what (KvPage), for all forms of attention.

namespace trine::cpu {
namespace {  // see the top of unpack.h

using model::KvType;

template <KvType type>
using KvElement = std::conditional_t<type == KvType::f32, float,
                                     std::conditional_t<type == KvType::q8_0, std::int8_t, std::uint16_t>>;

template <KvType type>
const KvElement<type>* kv_elements(const std::byte* page) {
  return reinterpret_cast<const KvElement<type>*>(page);
}
// Of q8_0.
inline const float* kv_scales(const std::byte* page, std::int64_t head_dim) {
  return reinterpret_cast<const float*>(page + kv_page_size * head_dim);
}

// Asks for what will be read while something else is computed.
inline void prefetch_lines(const void* from, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += 64)
    __builtin_prefetch(static_cast<const std::byte*>(from) + at, 0, 2);
}
// The scales of `count` elements of a page from `first` on, where there are any.
template <KvType type>
void prefetch_scales(const std::byte* page, std::int64_t head_dim, std::int64_t first, std::int64_t count) {
  if constexpr (type == KvType::q8_0)
    prefetch_lines(kv_scales(page, head_dim) + first / model::kv_q8_block,
                   count / model::kv_q8_block * static_cast<std::int64_t>(sizeof(float)));
}

}  // namespace
}  // namespace trine::cpu
