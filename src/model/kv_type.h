#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace trine::model {

// What keys and values are kept as.
//   f32   as they were computed
//   f16   IEEE binary16: 11 bits of precision, nothing beyond 65504
//   bf16  the upper half of an f32: 8 bits of precision, the whole range of f32
//   q8_0  blocks of 32 along head_dim, each 32 signed bytes and one scale: about 8 bits of a block's largest
//         value. head_dim must be a multiple of 32.
enum class KvType : std::uint8_t { f32, f16, bf16, q8_0 };

inline constexpr KvType all_kv_types[] = {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0};
inline constexpr std::int64_t kv_q8_block = 32;
// Positions of a page of the KV cache, of every backend.
inline constexpr std::int32_t kv_page_size = 64;

constexpr std::string_view name_of(KvType type) {
  constexpr std::string_view names[] = {"f32", "f16", "bf16", "q8_0"};
  return names[static_cast<int>(type)];
}

// Nothing for a name that is none of these.
constexpr std::optional<KvType> parse_kv_type(std::string_view name) {
  for (const KvType type : all_kv_types)
    if (name == name_of(type)) return type;
  return std::nullopt;
}

}  // namespace trine::model
