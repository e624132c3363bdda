#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace trine::quant {

// Floating-point element types and their conversions. F16 is IEEE 754 binary16, BF16 the upper half of a
// binary32. Values are stored little-endian. The types hold bytes, so that they and every block made of them
// have alignment 1 and can be read where they lie in the file, at any address. Every host we build for is
// little-endian.
static_assert(std::endian::native == std::endian::little);

struct Half {
  std::uint8_t bytes[2];
};
struct Bfloat16 {
  std::uint8_t bytes[2];
};

inline std::uint16_t bits_of(Half h) {
  return std::bit_cast<std::uint16_t>(h);
}
inline std::uint16_t bits_of(Bfloat16 h) {
  return std::bit_cast<std::uint16_t>(h);
}

// Exact for every input: subnormals, infinities, and NaNs with their payload.
inline float to_float(Half h) {
  const std::uint32_t bits = bits_of(h);
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = bits & 0x7C00u;
  std::uint32_t magnitude = (bits & 0x7FFFu) << 13;  // in place for binary32, but with bias 15
  if (exponent == 0x7C00u)
    magnitude += (255u - 31u) << 23;
  else if (exponent != 0)
    magnitude += (127u - 15u) << 23;
  else
    magnitude = std::bit_cast<std::uint32_t>(static_cast<float>(bits & 0x03FFu) * 0x1p-24f);
  return std::bit_cast<float>(sign | magnitude);
}

inline float to_float(Bfloat16 h) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits_of(h)) << 16);
}

// To the nearest, ties to even; beyond the largest finite value to infinity; NaN stays a (quiet) NaN.
inline Half to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u | ((magnitude >> 13) & 0x01FFu);
  } else if (magnitude >= 0x477FF000u) {  // 65520: halfway between the largest half and the next step
    half = 0x7C00u;
  } else if (magnitude <
             0x38800000u) {  // below 2^-14: a whole number of 2^-24, which is what 0.5f's last bit is worth
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    half = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5f);
  } else {
    const std::uint32_t round = 0x0FFFu + ((magnitude >> 13) & 1u);
    half = (magnitude + round - ((127u - 15u) << 23)) >> 13;
  }
  return std::bit_cast<Half>(static_cast<std::uint16_t>(sign | half));
}

inline Bfloat16 to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  std::uint32_t upper = 0;
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
    upper = (bits >> 16) | 0x0040u;
  else
    upper = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return std::bit_cast<Bfloat16>(static_cast<std::uint16_t>(upper));
}

// "Blocks" of one element, so that a row of floats is decoded as any other row.

struct BlockF32 {
  static constexpr int elements = 1;
  std::uint8_t bytes[4];
};
struct BlockF16 {
  static constexpr int elements = 1;
  Half value;
};
struct BlockBF16 {
  static constexpr int elements = 1;
  Bfloat16 value;
};
static_assert(sizeof(BlockF32) == 4 && sizeof(BlockF16) == 2 && sizeof(BlockBF16) == 2);

inline void decode(const BlockF32& block, float* out) {
  *out = std::bit_cast<float>(block.bytes);
}
inline void decode(const BlockF16& block, float* out) {
  *out = to_float(block.value);
}
inline void decode(const BlockBF16& block, float* out) {
  *out = to_float(block.value);
}

}  // namespace trine::quant
