#include "wgpu/repack.h"

#include "base/check.h"
#include "quant/codec.h"
#include "quant/iq.h"
#include "quant/iq4.h"
#include "quant/iq_grids.h"
#include "quant/k_quants.h"
#include "quant/legacy.h"
#include "quant/mxfp4.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace trine::wgpu {
namespace {

using gguf::TensorType;
using namespace quant;

constexpr std::uint64_t plane_alignment = 16;
constexpr std::size_t max_planes = 8;
constexpr int units_per_super_block = 8;

// `bytes` for every `units` units.
struct Plane {
  std::uint8_t units = 0;
  std::uint8_t bytes = 0;

  std::uint64_t size(std::uint64_t n_units) const { return n_units / units * bytes; }
  std::uint64_t padded_size(std::uint64_t n_units) const {
    return (size(n_units) + plane_alignment - 1) / plane_alignment * plane_alignment;
  }
};
constexpr Plane per_unit(int bytes) {
  return {1, static_cast<std::uint8_t>(bytes)};
}
constexpr Plane per_block(int bytes) {
  return {units_per_super_block, static_cast<std::uint8_t>(bytes)};
}

using PlanePointers = std::array<std::uint8_t*, max_planes>;

struct Layout {
  TensorType type;
  std::string_view library;
  bool integer_dot;
  std::array<Plane, max_planes> planes;  // those in use come first
  void (*repack_row)(const std::byte* row, std::uint64_t columns, const PlanePointers& planes);
  std::span<const std::uint32_t> book = {};
};

template <typename Word>
Word load(const std::uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}
template <typename Word>
void store(std::uint8_t* bytes, Word word) {
  std::memcpy(bytes, &word, sizeof word);
}

// From 32 bytes, the nibbles of two units: of the one that is kept in the low halves, and of the other.
void pack_nibbles(const std::uint8_t* q, std::uint8_t* low_unit, std::uint8_t* high_unit) {
  constexpr std::uint64_t low_halves = 0x0F0F0F0F0F0F0F0F;
  for (int j = 0; j < 16; j += 8) {
    const auto first = load<std::uint64_t>(q + j);
    const auto second = load<std::uint64_t>(q + j + 16);
    store(low_unit + j, (first & low_halves) | (second & low_halves) << 4);
    store(high_unit + j, (first >> 4 & low_halves) | (second & ~low_halves));
  }
}

// From 32 bytes with a column each, the two bits at `shift`.
void pack_pairs(const std::uint8_t* q, int shift, std::uint8_t* out) {
  constexpr std::uint64_t pairs = 0x0303030303030303;
  for (int half = 0; half < 2; ++half) {
    // Columns 0 .. 7 beside columns 8 .. 15, then the upper four of each beside the lower.
    const std::uint64_t first = load<std::uint64_t>(q + 16 * half) >> shift & pairs;
    const std::uint64_t second = load<std::uint64_t>(q + 16 * half + 8) >> shift & pairs;
    const std::uint64_t both = first | second << 4;
    store(out + 4 * half, static_cast<std::uint32_t>(both | both >> 30));
  }
}

// From 32 bytes with a column each, the bit at `shift`.
void pack_bits(const std::uint8_t* q, int shift, std::uint8_t* out) {
  std::uint32_t word = 0;
  for (int i = 0; i < 8; ++i) word |= (load<std::uint32_t>(q + 4 * i) >> shift & 0x01010101u) << i;
  store(out, word);
}

template <typename Field>
void copy_field(const Field& field, std::uint8_t* plane, std::uint64_t index) {
  std::memcpy(plane + index * sizeof(Field), &field, sizeof(Field));
}

// Consecutive fields of a block, from `first` on.
template <std::size_t bytes, typename Field>
void copy_bytes(const Field& first, std::uint8_t* plane, std::uint64_t index) {
  std::memcpy(plane + index * bytes, &first, bytes);
}

// Elements of floats: plane p takes 16 bytes of every unit.
template <std::size_t element_bytes>
void repack_floats(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  constexpr std::size_t unit_bytes = unit_columns * element_bytes;
  const std::uint64_t row_bytes = columns * element_bytes;
  for (std::uint64_t at = 0, unit = 0; at < row_bytes; at += unit_bytes, ++unit) {
    std::array<std::byte, unit_bytes> padded{};
    std::memcpy(padded.data(), row + at, std::min<std::uint64_t>(unit_bytes, row_bytes - at));
    for (std::size_t p = 0; p < unit_bytes / 16; ++p)
      std::memcpy(planes[p] + unit * 16, padded.data() + p * 16, 16);
  }
}

// Calls `repack(block, index)` for every block of a row.
template <typename Block, typename Repack>
void for_each_block(const std::byte* row, std::uint64_t columns, Repack repack) {
  const auto* blocks = reinterpret_cast<const Block*>(row);
  for (std::uint64_t i = 0; i < columns / Block::elements; ++i) repack(blocks[i], i);
}

void repack_q8_0(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ8_0>(row, columns, [&](const BlockQ8_0& block, std::uint64_t i) {
    copy_bytes<16>(block.qs[0], planes[0], i);
    copy_bytes<16>(block.qs[16], planes[1], i);
    copy_field(block.d, planes[2], i);
  });
}

// The nibbles of these types already lie as the device wants them.
template <typename Block>
void repack_with_scale(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<Block>(row, columns, [&](const Block& block, std::uint64_t i) {
    copy_field(block.qs, planes[0], i);
    copy_field(block.d, planes[1], i);
  });
}

void repack_q4_1(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ4_1>(row, columns, [&](const BlockQ4_1& block, std::uint64_t i) {
    copy_field(block.qs, planes[0], i);
    copy_bytes<4>(block, planes[1], i);
  });
}

void pack_high_bits(const std::uint8_t (&qh)[4], std::uint8_t* out) {
  const std::uint32_t high = high_bits(qh);
  std::uint8_t q[unit_columns];
  for (std::uint32_t c = 0; c < unit_columns; ++c) q[c] = static_cast<std::uint8_t>(high >> c & 1);
  pack_bits(q, 0, out);
}

void repack_q5_0(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ5_0>(row, columns, [&](const BlockQ5_0& block, std::uint64_t i) {
    copy_field(block.qs, planes[0], i);
    pack_high_bits(block.qh, planes[1] + i * 4);
    copy_field(block.d, planes[2], i);
  });
}

void repack_q5_1(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ5_1>(row, columns, [&](const BlockQ5_1& block, std::uint64_t i) {
    copy_field(block.qs, planes[0], i);
    pack_high_bits(block.qh, planes[1] + i * 4);
    copy_bytes<4>(block, planes[2], i);
  });
}

void repack_mxfp4(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockMXFP4>(row, columns, [&](const BlockMXFP4& block, std::uint64_t i) {
    copy_field(block.qs, planes[0], i);
    copy_field(block.e, planes[1], i);
  });
}

void repack_iq4_xs(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ4_XS>(row, columns, [&](const BlockIQ4_XS& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_bytes<8>(block, planes[1], b);
  });
}

void repack_q2_k(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ2_K>(row, columns, [&](const BlockQ2_K& block, std::uint64_t b) {
    for (int u = 0; u < units_per_super_block; ++u)
      pack_pairs(block.qs + 32 * (u / 4), 2 * (u % 4), planes[0] + (8 * b + u) * 8);
    copy_field(block.scales, planes[1], b);
    copy_bytes<4>(block.d, planes[2], b);
  });
}

void repack_q3_k(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ3_K>(row, columns, [&](const BlockQ3_K& block, std::uint64_t b) {
    for (int u = 0; u < units_per_super_block; ++u) {
      pack_pairs(block.qs + 32 * (u / 4), 2 * (u % 4), planes[0] + (8 * b + u) * 8);
      pack_bits(block.hmask, u, planes[1] + (8 * b + u) * 4);
    }
    copy_field(block.scales, planes[2], b);
    copy_field(block.d, planes[3], b);
  });
}

// Nibbles of one super-block of Q4_K or Q5_K: units 2c and 2c + 1 share 32 bytes.
void repack_k_nibbles(const std::uint8_t* qs, std::uint8_t* out) {
  for (int c = 0; c < 4; ++c) pack_nibbles(qs + 32 * c, out + 32 * c, out + 32 * c + 16);
}

void repack_q4_k(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ4_K>(row, columns, [&](const BlockQ4_K& block, std::uint64_t b) {
    repack_k_nibbles(block.qs, planes[0] + b * 128);
    copy_bytes<16>(block, planes[1], b);
  });
}

void repack_q5_k(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ5_K>(row, columns, [&](const BlockQ5_K& block, std::uint64_t b) {
    repack_k_nibbles(block.qs, planes[0] + b * 128);
    copy_bytes<16>(block, planes[1], b);
    for (int u = 0; u < units_per_super_block; ++u) pack_bits(block.qh, u, planes[2] + (8 * b + u) * 4);
  });
}

void repack_q6_k(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockQ6_K>(row, columns, [&](const BlockQ6_K& block, std::uint64_t b) {
    // Units u and u + 2 share 32 bytes.
    for (const int u : {0, 1, 4, 5}) {
      std::uint8_t* out = planes[0] + (8 * b + u) * 16;
      pack_nibbles(block.ql + 64 * (u / 4) + 32 * (u % 2), out, out + 2 * 16);
    }
    for (int u = 0; u < units_per_super_block; ++u)
      pack_pairs(block.qh + 32 * (u / 4), 2 * (u % 4), planes[1] + (8 * b + u) * 8);
    copy_field(block.scales, planes[2], b);
    copy_field(block.d, planes[3], b);
  });
}

void repack_iq2_xxs(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ2_XXS>(row, columns, [&](const BlockIQ2_XXS& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.d, planes[1], b);
  });
}

void repack_iq2_xs(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ2_XS>(row, columns, [&](const BlockIQ2_XS& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.scales, planes[1], b);
    copy_field(block.d, planes[2], b);
  });
}

void repack_iq2_s(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ2_S>(row, columns, [&](const BlockIQ2_S& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.signs, planes[1], b);
    copy_field(block.qh, planes[2], b);
    copy_field(block.scales, planes[3], b);
    copy_field(block.d, planes[4], b);
  });
}

void repack_iq3_xxs(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ3_XXS>(row, columns, [&](const BlockIQ3_XXS& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.signs_and_scales, planes[1], b);
    copy_field(block.d, planes[2], b);
  });
}

void repack_iq3_s(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ3_S>(row, columns, [&](const BlockIQ3_S& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.signs, planes[1], b);
    copy_field(block.qh, planes[2], b);
    copy_field(block.scales, planes[3], b);
    copy_field(block.d, planes[4], b);
  });
}

void repack_iq1_s(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ1_S>(row, columns, [&](const BlockIQ1_S& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.qh, planes[1], b);
    copy_field(block.d, planes[2], b);
  });
}

void repack_iq1_m(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockIQ1_M>(row, columns, [&](const BlockIQ1_M& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.qh, planes[1], b);
    copy_field(block.scales, planes[2], b);
  });
}

void repack_tq1_0(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockTQ1_0>(row, columns, [&](const BlockTQ1_0& block, std::uint64_t b) {
    copy_field(block.qs, planes[0], b);
    copy_field(block.qh, planes[1], b);
    copy_field(block.d, planes[2], b);
  });
}

void repack_tq2_0(const std::byte* row, std::uint64_t columns, const PlanePointers& planes) {
  for_each_block<BlockTQ2_0>(row, columns, [&](const BlockTQ2_0& block, std::uint64_t b) {
    for (int u = 0; u < units_per_super_block; ++u)
      pack_pairs(block.qs + 32 * (u / 4), 2 * (u % 4), planes[0] + (8 * b + u) * 8);
    copy_field(block.d, planes[1], b);
  });
}

constexpr Plane p16 = per_unit(16);
constexpr Plane p8 = per_unit(8);
constexpr Plane p4 = per_unit(4);
constexpr Plane p2 = per_unit(2);
constexpr Plane p1 = per_unit(1);
constexpr Plane d_of_block = per_block(2);
constexpr Layout layouts[] = {
    {TensorType::F32, "quant_f32.wgsl", false, {p16, p16, p16, p16, p16, p16, p16, p16}, repack_floats<4>},
    {TensorType::F16, "quant_f16.wgsl", false, {p16, p16, p16, p16}, repack_floats<2>},
    {TensorType::BF16, "quant_bf16.wgsl", false, {p16, p16, p16, p16}, repack_floats<2>},
    {TensorType::Q8_0, "quant_q8_0.wgsl", true, {p16, p16, per_unit(2)}, repack_q8_0},
    {TensorType::Q4_0, "quant_q4_0.wgsl", true, {p16, per_unit(2)}, repack_with_scale<BlockQ4_0>},
    {TensorType::Q4_1, "quant_q4_1.wgsl", true, {p16, per_unit(4)}, repack_q4_1},
    {TensorType::Q5_0, "quant_q5_0.wgsl", true, {p16, per_unit(4), per_unit(2)}, repack_q5_0},
    {TensorType::Q5_1, "quant_q5_1.wgsl", true, {p16, per_unit(4), per_unit(4)}, repack_q5_1},
    {TensorType::Q2_K, "quant_q2_k.wgsl", false, {per_unit(8), per_block(16), per_block(4)}, repack_q2_k},
    {TensorType::Q3_K,
     "quant_q3_k.wgsl",
     true,
     {per_unit(8), per_unit(4), per_block(12), per_block(2)},
     repack_q3_k},
    {TensorType::Q4_K, "quant_q4_k.wgsl", true, {p16, per_block(16)}, repack_q4_k},
    {TensorType::Q5_K, "quant_q5_k.wgsl", true, {p16, per_block(16), per_unit(4)}, repack_q5_k},
    {TensorType::Q6_K, "quant_q6_k.wgsl", true, {p16, per_unit(8), per_block(16), per_block(2)}, repack_q6_k},
    {TensorType::IQ4_NL, "quant_iq4_nl.wgsl", true, {p16, per_unit(2)}, repack_with_scale<BlockIQ4_NL>},
    {TensorType::IQ4_XS, "quant_iq4_xs.wgsl", true, {p16, per_block(8)}, repack_iq4_xs},
    {TensorType::MXFP4, "quant_mxfp4.wgsl", true, {p16, per_unit(1)}, repack_mxfp4},
    {TensorType::IQ2_XXS, "quant_iq2_xxs.wgsl", true, {p8, d_of_block}, repack_iq2_xxs, iq2_xxs_grid},
    {TensorType::IQ2_XS, "quant_iq2_xs.wgsl", true, {p8, p1, d_of_block}, repack_iq2_xs, iq2_xs_grid},
    {TensorType::IQ2_S, "quant_iq2_s.wgsl", true, {p4, p4, p1, p1, d_of_block}, repack_iq2_s, iq2_s_grid},
    {TensorType::IQ3_XXS, "quant_iq3_xxs.wgsl", true, {p8, p4, d_of_block}, repack_iq3_xxs, iq3_xxs_grid},
    {TensorType::IQ3_S,
     "quant_iq3_s.wgsl",
     true,
     {p8, p4, p1, per_block(4), d_of_block},
     repack_iq3_s,
     iq3_s_grid},
    {TensorType::IQ1_S, "quant_iq1_s.wgsl", true, {p4, p2, d_of_block}, repack_iq1_s, iq1_grid},
    {TensorType::IQ1_M, "quant_iq1_m.wgsl", true, {p4, p2, per_block(8)}, repack_iq1_m, iq1_grid},
    {TensorType::TQ1_0, "quant_tq1_0.wgsl", true, {per_block(48), per_block(4), d_of_block}, repack_tq1_0},
    {TensorType::TQ2_0, "quant_tq2_0.wgsl", true, {p8, d_of_block}, repack_tq2_0},
};

const Layout& layout_of(TensorType type) {
  for (const Layout& layout : layouts) {
    if (layout.type == type) return layout;
  }
  check(false, "a type with a codec has a device layout");
  return layouts[0];
}

std::uint64_t units_of(std::uint64_t columns) {
  return (columns + unit_columns - 1) / unit_columns;
}

std::uint64_t row_bytes(const Layout& layout, std::uint64_t columns) {
  std::uint64_t bytes = 0;
  for (const Plane& plane : layout.planes) {
    if (plane.units != 0) bytes += plane.padded_size(units_of(columns));
  }
  return bytes;
}

}  // namespace

std::uint64_t device_row_bytes(TensorType type, std::uint64_t columns) {
  return row_bytes(layout_of(type), columns);
}

void repack_rows(TensorType type, std::uint64_t columns, std::span<const std::byte> rows,
                 std::span<std::byte> out) {
  const Layout& layout = layout_of(type);
  const gguf::TensorTypeInfo& info = gguf::info(type);
  const std::uint64_t source_bytes = columns / info.block_elements * info.block_bytes;
  const std::uint64_t device_bytes = row_bytes(layout, columns);
  const std::uint64_t n_rows = rows.size() / source_bytes;
  check(columns % info.block_elements == 0, "rows hold whole blocks");
  check(n_rows * source_bytes == rows.size() && n_rows * device_bytes == out.size(),
        "source and destination hold the same whole rows");

  for (std::uint64_t r = 0; r < n_rows; ++r) {
    auto* at = reinterpret_cast<std::uint8_t*>(out.data() + r * device_bytes);
    PlanePointers planes{};
    for (std::size_t p = 0; p < max_planes && layout.planes[p].units != 0; ++p) {
      const std::uint64_t size = layout.planes[p].size(units_of(columns));
      const std::uint64_t padded = layout.planes[p].padded_size(units_of(columns));
      planes[p] = at;
      std::memset(at + size, 0, padded - size);
      at += padded;
    }
    layout.repack_row(rows.data() + r * source_bytes, columns, planes);
  }
}

std::span<const std::uint32_t> code_book(TensorType type) {
  return layout_of(type).book;
}

std::string_view quant_library(TensorType type) {
  return layout_of(type).library;
}

bool has_integer_dot(TensorType type) {
  return layout_of(type).integer_dot;
}

}  // namespace trine::wgpu
