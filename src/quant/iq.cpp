#include "quant/iq.h"

#include "quant/iq_grids.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace trine::quant {
namespace {

constexpr std::uint64_t every_byte = 0x0101010101010101;

// What the digits of a code book stand for.
constexpr std::array<std::uint8_t, 3> iq2_levels = {8, 25, 43};
constexpr std::array<std::uint8_t, 8> iq3_xxs_levels = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<std::uint8_t, 8> iq3_s_levels = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr std::array<std::uint8_t, 3> iq1_levels = {0, 8, 16};  // still to be lessened by 7 or 9

// A code book with its points as bytes, value j in byte j: what one load gives.
template <typename Point, std::size_t words, std::size_t levels>
constexpr std::array<Point, 2 * words> points_of(const std::uint32_t (&grid)[words],
                                                 const std::array<std::uint8_t, levels>& level) {
  constexpr int digit_bits = 16 / sizeof(Point);
  std::array<Point, 2 * words> points{};
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::uint32_t digits = grid[i / 2] >> (16 * (i % 2));
    for (unsigned j = 0; j < sizeof(Point); ++j)
      points[i] |= Point{level[digits >> (digit_bits * j) & ((1u << digit_bits) - 1)]} << (8 * j);
  }
  return points;
}

constexpr auto iq2_xxs_points = points_of<std::uint64_t>(iq2_xxs_grid, iq2_levels);
constexpr auto iq2_xs_points = points_of<std::uint64_t>(iq2_xs_grid, iq2_levels);
constexpr auto iq2_s_points = points_of<std::uint64_t>(iq2_s_grid, iq2_levels);
constexpr auto iq3_xxs_points = points_of<std::uint32_t>(iq3_xxs_grid, iq3_xxs_levels);
constexpr auto iq3_s_points = points_of<std::uint32_t>(iq3_s_grid, iq3_s_levels);
constexpr auto iq1_points = points_of<std::uint64_t>(iq1_grid, iq1_levels);

template <typename Word>
Word word_at(const std::uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

unsigned with_parity(unsigned seven_signs) {
  return seven_signs | (static_cast<unsigned>(std::popcount(seven_signs)) & 1) << 7;
}

// Byte j of `values`, none of them zero, becomes its negative where bit j of `signs` is set.
void store_signed(std::uint64_t values, unsigned signs, std::int8_t* out) {
  const std::uint64_t bits = (signs * every_byte) & 0x8040201008040201;
  const std::uint64_t ones = (bits + 0x7F * every_byte) >> 7 & every_byte;
  const std::uint64_t q = (values ^ (ones * 255)) + ones;
  std::memcpy(out, &q, sizeof q);
}

// Levels of IQ1, moved by an eighth.
void store_shifted(std::uint64_t levels, bool down, std::int8_t* out) {
  // 128 more than wanted, so that no byte borrows from the next.
  const std::uint64_t q = (levels + (down ? 128 - 9 : 128 - 7) * every_byte) ^ (128 * every_byte);
  std::memcpy(out, &q, sizeof q);
}

std::uint64_t two_points(std::uint32_t first, std::uint32_t second) {
  return first | std::uint64_t{second} << 32;
}

float odd(unsigned s) {
  return static_cast<float>(2 * s + 1);
}

}  // namespace

void expand(const BlockIQ2_XXS& block, IntegerBlock& out) {
  const float d = to_float(block.d) * 0.125f;
  for (int s = 0; s < 8; ++s) {
    const std::uint8_t* qs = block.qs + 8 * s;
    const auto word = word_at<std::uint32_t>(qs + 4);
    for (int g = 0; g < 4; ++g)
      store_signed(iq2_xxs_points[qs[g]], with_parity(word >> (7 * g) & 127), out.q + 32 * s + 8 * g);
    out.scale[2 * s] = out.scale[2 * s + 1] = d * odd(word >> 28);
  }
}

void expand(const BlockIQ2_XS& block, IntegerBlock& out) {
  const float d = to_float(block.d) * 0.125f;
  for (int g = 0; g < 32; ++g) {
    const unsigned word = word_at<std::uint16_t>(block.qs + 2 * g);
    store_signed(iq2_xs_points[word & 511], with_parity(word >> 9), out.q + 8 * g);
  }
  for (int h = 0; h < 16; ++h) out.scale[h] = d * odd(block.scales[h / 2] >> (4 * (h % 2)) & 15);
}

void expand(const BlockIQ2_S& block, IntegerBlock& out) {
  const float d = to_float(block.d) * 0.125f;
  for (int g = 0; g < 32; ++g) {
    const unsigned index = block.qs[g] | (block.qh[g / 4] >> (2 * (g % 4)) & 3u) << 8;
    store_signed(iq2_s_points[index], block.signs[g], out.q + 8 * g);
  }
  for (int h = 0; h < 16; ++h) out.scale[h] = d * odd(block.scales[h / 2] >> (4 * (h % 2)) & 15);
}

void expand(const BlockIQ3_XXS& block, IntegerBlock& out) {
  const float d = to_float(block.d) * 0.25f;
  for (int s = 0; s < 8; ++s) {
    const auto word = word_at<std::uint32_t>(block.signs_and_scales + 4 * s);
    const std::uint8_t* qs = block.qs + 8 * s;
    for (int g = 0; g < 4; ++g)
      store_signed(two_points(iq3_xxs_points[qs[2 * g]], iq3_xxs_points[qs[2 * g + 1]]),
                   with_parity(word >> (7 * g) & 127), out.q + 32 * s + 8 * g);
    out.scale[2 * s] = out.scale[2 * s + 1] = d * odd(word >> 28);
  }
}

void expand(const BlockIQ3_S& block, IntegerBlock& out) {
  const float d = to_float(block.d);
  for (int s = 0; s < 8; ++s) {
    const std::uint8_t* qs = block.qs + 8 * s;
    const unsigned high = block.qh[s];
    for (int g = 0; g < 4; ++g) {
      const unsigned first = qs[2 * g] | (high >> (2 * g) & 1) << 8;
      const unsigned second = qs[2 * g + 1] | (high >> (2 * g + 1) & 1) << 8;
      store_signed(two_points(iq3_s_points[first], iq3_s_points[second]), block.signs[4 * s + g],
                   out.q + 32 * s + 8 * g);
    }
    out.scale[2 * s] = out.scale[2 * s + 1] = d * odd(block.scales[s / 2] >> (4 * (s % 2)) & 15);
  }
}

void expand(const BlockIQ1_S& block, IntegerBlock& out) {
  const float d = to_float(block.d) * 0.125f;
  for (int s = 0; s < 8; ++s) {
    const unsigned word = word_at<std::uint16_t>(block.qh + 2 * s);
    for (int g = 0; g < 4; ++g) {
      const unsigned index = block.qs[4 * s + g] | (word >> (3 * g) & 7) << 8;
      store_shifted(iq1_points[index], (word & 0x8000) != 0, out.q + 32 * s + 8 * g);
    }
    out.scale[2 * s] = out.scale[2 * s + 1] = d * odd(word >> 12 & 7);
  }
}

void expand(const BlockIQ1_M& block, IntegerBlock& out) {
  unsigned half = 0;
  for (int w = 0; w < 4; ++w) half |= (word_at<std::uint16_t>(block.scales + 2 * w) >> 12) << (4 * w);
  const float d = to_float(std::bit_cast<Half>(static_cast<std::uint16_t>(half))) * 0.125f;
  for (int g = 0; g < 32; ++g) {
    const unsigned nibble = block.qh[g / 2] >> (4 * (g % 2)) & 15;
    const unsigned index = block.qs[g] | (nibble & 7) << 8;
    store_shifted(iq1_points[index], (nibble & 8) != 0, out.q + 8 * g);
  }
  for (int h = 0; h < 16; ++h) {
    const unsigned word = word_at<std::uint16_t>(block.scales + h / 4 * 2);
    out.scale[h] = d * odd(word >> (3 * (h % 4)) & 7);
  }
}

void expand(const BlockTQ1_0& block, IntegerBlock& out) {
  constexpr unsigned powers[] = {1, 3, 9, 27, 81};
  const auto digit = [&](std::uint8_t byte, int n) {
    return static_cast<std::int8_t>(static_cast<int>((byte * powers[n] & 255) * 3 >> 8) - 1);
  };
  for (int n = 0; n < 5; ++n) {
    for (int l = 0; l < 32; ++l) out.q[32 * n + l] = digit(block.qs[l], n);
    for (int l = 0; l < 16; ++l) out.q[160 + 16 * n + l] = digit(block.qs[32 + l], n);
  }
  for (int n = 0; n < 4; ++n)
    for (int l = 0; l < 4; ++l) out.q[240 + 4 * n + l] = digit(block.qh[l], n);
  for (float& scale : out.scale) scale = to_float(block.d);
}

void expand(const BlockTQ2_0& block, IntegerBlock& out) {
  for (int i = 0; i < 256; ++i) {
    const int digit = block.qs[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
    out.q[i] = static_cast<std::int8_t>(digit - 1);
  }
  for (float& scale : out.scale) scale = to_float(block.d);
}

}  // namespace trine::quant
