#pragma once

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unpack.h"

// One weight row after the other, in the order that they lie in the file: the form for one or a few tokens,
// which memory decides. A row is read once from its first byte to its last, so that the processor's own
// prefetching and ours see a single stream.
//
// R is an instruction set's form of it: Bits are 32 bytes, a sub-block of a row; Floats and Ints eight lanes,
// one for each sub-block of a group of 256 columns. It sums in the order that matmul.h states, so its results
// have the bits of the tiles'.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// A group of 256 columns of one row.
template <typename R>
struct RowPanel {
  typename R::Bits q[group_sub_blocks];  // [sub-block], its 32 columns in order
  typename R::Floats scale[2];  // [half of 16], lane s that of sub-block s; only [0] when both are equal
  typename R::Floats min[2];    // likewise; where the type stores minima
};

// 16 bytes of 32 nibbles: the low ones are columns 0 … 15, the high ones 16 … 31.
template <typename R>
typename R::Bits row_nibbles(const std::uint8_t (&bytes)[16]) {
  return masked<R>(R::low_and_shifted_right_4(bytes), 0x0F);
}

template <typename R, int from, int to>
typename R::Bits bit_moved(typename R::Bits v) {
  return move_bits<R, from, to>(v, static_cast<std::uint8_t>(1u << to));
}

// Small numbers become vectors by way of registers: a vector that is loaded from where two words were stored
// waits for both to reach the cache.
inline std::uint64_t joined(std::uint32_t low, std::uint32_t high) {
  return low | std::uint64_t{high} << 32;
}

// Eight numbers of 2 or 4 bits as bytes.
template <int bits>
std::uint64_t spread(std::uint64_t packed) {
  constexpr std::uint64_t one = (1u << bits) - 1, two = one | one << bits, four = two | two << 2 * bits;
  packed = (packed | packed << (32 - 4 * bits)) & (four | four << 32);
  packed = (packed | packed << (16 - 2 * bits)) & (two * 0x0001000100010001u);
  return (packed | packed << (8 - bits)) & (one * 0x0101010101010101u);
}

// Two bytes of 16 scales make a lane: the first halves' are its low bytes.
template <typename R>
void unsigned_bytes(typename R::Ints pairs, typename R::Floats (&out)[2]) {
  out[0] = R::to_float(R::and_ints(pairs, 0xFF));
  out[1] = R::to_float(R::template shift_right_ints<8>(pairs));
}
template <typename R>
void signed_bytes(typename R::Ints pairs, typename R::Floats (&out)[2]) {
  out[0] = R::to_float(R::template shift_right_signed_ints<24>(R::template shift_left_ints<24>(pairs)));
  out[1] = R::to_float(R::template shift_right_signed_ints<24>(R::template shift_left_ints<16>(pairs)));
}

// What quantize() stores beside a block's values.
inline void set_block_sums(Q8Group& group, std::size_t block, float scale, std::int32_t first,
                           std::int32_t second) {
  group.d[block] = scale;
  group.counts[block] = first + second;
  group.half_counts[0][block] = first;
  group.half_counts[1][block] = second;
  group.sums[block] = scale * static_cast<float>(first + second);
  group.half_sums[0][block] = scale * static_cast<float>(first);
  group.half_sums[1][block] = scale * static_cast<float>(second);
}

// From the blocks of a group, one of 256 columns or eight of 32, to a panel: RowPanel, or one that an
// instruction set has of its own for a type, with members of the same names.
template <typename R, gguf::TensorType type>
struct RowUnpack;

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q4_0> {
  static void group(const quant::BlockQ4_0* b, RowPanel<R>& panel) {
    each<8>([&](auto s) { panel.q[s] = row_nibbles<R>(b[s].qs); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q4_1> {
  static void group(const quant::BlockQ4_1* b, RowPanel<R>& panel) {
    each<8>([&](auto s) { panel.q[s] = row_nibbles<R>(b[s].qs); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
    panel.min[0] = R::negate(R::halves(&b->m, sizeof *b));
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q5_0> {
  static void group(const quant::BlockQ5_0* b, RowPanel<R>& panel) {
    each<8>([&](auto s) { panel.q[s] = R::bit_or(row_nibbles<R>(b[s].qs), R::sixteen_where_set(b[s].qh)); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q5_1> {
  static void group(const quant::BlockQ5_1* b, RowPanel<R>& panel) {
    each<8>([&](auto s) { panel.q[s] = R::bit_or(row_nibbles<R>(b[s].qs), R::sixteen_where_set(b[s].qh)); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
    panel.min[0] = R::negate(R::halves(&b->m, sizeof *b));
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q8_0> {
  static void group(const quant::BlockQ8_0* b, RowPanel<R>& panel) {
    each<8>([&](auto s) { panel.q[s] = store_signed<R>(R::load_32_bytes(b[s].qs)); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q2_K> {
  static void group(const quant::BlockQ2_K* b, RowPanel<R>& panel) {
    const auto scales = R::load_8_pairs(b->scales);
    unsigned_bytes<R>(R::and_ints(scales, 0x0F0F), panel.scale);
    unsigned_bytes<R>(R::and_ints(R::template shift_right_ints<4>(scales), 0x0F0F), panel.min);
    const auto d = R::half(&b->d), dmin = R::half(&b->dmin);
    each<2>([&](auto half) {
      panel.scale[half] = R::multiply(panel.scale[half], d);
      panel.min[half] = R::multiply(panel.min[half], dmin);
      const auto v = R::load_32_bytes(b->qs + 32 * half);
      each<4>([&](auto j) { panel.q[4 * half + j] = move_bits<R, 2 * j, 0>(v, 3); });
    });
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q3_K> {
  static void group(const quant::BlockQ3_K* b, RowPanel<R>& panel) {
    std::uint32_t low[2], high;
    __builtin_memcpy(low, b->scales, sizeof low);
    __builtin_memcpy(&high, b->scales + 8, sizeof high);
    const auto scales = [&](auto g) {  // 4g … 4g + 3
      return (low[g % 2] >> 4 * (g / 2) & 0x0F0F0F0Fu) | (high >> 2 * g & 0x03030303u) << 4;
    };
    unsigned_bytes<R>(R::eight_pairs(joined(scales(0), scales(1)), joined(scales(2), scales(3))),
                      panel.scale);
    const auto d = R::half(&b->d);
    const auto masks = R::load_32_bytes(b->hmask);
    each<2>([&](auto half) {
      panel.scale[half] = R::multiply(R::subtract(panel.scale[half], R::splat_float(32.0f)), d);
      const auto v = R::load_32_bytes(b->qs + 32 * half);
      each<4>([&](auto j) {
        panel.q[4 * half + j] = R::bit_or(move_bits<R, 2 * j, 0>(v, 3), bit_moved<R, 4 * half + j, 2>(masks));
      });
    });
  }
};

// Q4_K and Q5_K: d, dmin, and 8 scales and mins of 6 bits.
template <typename R, typename Block>
void row_scales_and_mins(const Block* b, RowPanel<R>& panel) {
  std::uint32_t packed[3];
  each<3>([&](auto i) { __builtin_memcpy(packed + i, b->scales + 4 * i, sizeof packed[i]); });
  const std::uint64_t scales =
      joined(packed[0] & 0x3F3F3F3Fu, (packed[2] & 0x0F0F0F0Fu) | (packed[0] >> 2 & 0x30303030u));
  const std::uint64_t mins =
      joined(packed[1] & 0x3F3F3F3Fu, (packed[2] >> 4 & 0x0F0F0F0Fu) | (packed[1] >> 2 & 0x30303030u));
  panel.scale[0] = R::multiply(R::to_float(R::eight_bytes(scales)), R::half(&b->d));
  panel.min[0] = R::multiply(R::to_float(R::eight_bytes(mins)), R::half(&b->dmin));
}

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q4_K> {
  static void group(const quant::BlockQ4_K* b, RowPanel<R>& panel) {
    row_scales_and_mins(b, panel);
    each<4>([&](auto c) {
      const auto v = R::load_32_bytes(b->qs + 32 * c);
      panel.q[2 * c] = masked<R>(v, 0x0F);
      panel.q[2 * c + 1] = move_bits<R, 4, 0>(v, 0x0F);
    });
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q5_K> {
  static void group(const quant::BlockQ5_K* b, RowPanel<R>& panel) {
    row_scales_and_mins(b, panel);
    const auto high = R::load_32_bytes(b->qh);
    each<4>([&](auto c) {
      const auto v = R::load_32_bytes(b->qs + 32 * c);
      panel.q[2 * c] = R::bit_or(masked<R>(v, 0x0F), bit_moved<R, 2 * c, 4>(high));
      panel.q[2 * c + 1] = R::bit_or(move_bits<R, 4, 0>(v, 0x0F), bit_moved<R, 2 * c + 1, 4>(high));
    });
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::Q6_K> {
  static void group(const quant::BlockQ6_K* b, RowPanel<R>& panel) {
    signed_bytes<R>(R::load_8_pairs(b->scales), panel.scale);
    const auto d = R::half(&b->d);
    each<2>([&](auto half) {
      panel.scale[half] = R::multiply(panel.scale[half], d);
      const auto high = R::load_32_bytes(b->qh + 32 * half);
      each<2>([&](auto j) {
        const auto low = R::load_32_bytes(b->ql + 64 * half + 32 * j);
        panel.q[4 * half + j] = R::bit_or(masked<R>(low, 0x0F), move_bits<R, 2 * j, 4>(high, 0x30));
        panel.q[4 * half + 2 + j] =
            R::bit_or(move_bits<R, 4, 0>(low, 0x0F), move_bits<R, 4 + 2 * j, 4>(high, 0x30));
      });
    });
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::IQ4_NL> {
  static void group(const quant::BlockIQ4_NL* b, RowPanel<R>& panel) {
    const auto& levels = Unpack<R, gguf::TensorType::IQ4_NL>::levels.bytes;
    each<8>([&](auto s) { panel.q[s] = R::look_up(levels, row_nibbles<R>(b[s].qs)); });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::IQ4_XS> {
  static void group(const quant::BlockIQ4_XS* b, RowPanel<R>& panel) {
    const auto& levels = Unpack<R, gguf::TensorType::IQ4_XS>::levels.bytes;
    std::uint16_t high;
    std::uint32_t low;
    __builtin_memcpy(&high, &b->scales_h, sizeof high);
    __builtin_memcpy(&low, b->scales_l, sizeof low);
    const std::uint64_t scales = spread<4>(low) | spread<2>(high) << 4;
    panel.scale[0] =
        R::multiply(R::subtract(R::to_float(R::eight_bytes(scales)), R::splat_float(32.0f)), R::half(&b->d));
    each<8>([&](auto s) {
      panel.q[s] =
          R::look_up(levels, row_nibbles<R>(*reinterpret_cast<const std::uint8_t(*)[16]>(b->qs + 16 * s)));
    });
  }
};

template <typename R>
struct RowUnpack<R, gguf::TensorType::MXFP4> {
  static void group(const quant::BlockMXFP4* b, RowPanel<R>& panel) {
    const auto& levels = Unpack<R, gguf::TensorType::MXFP4>::levels.bytes;
    float scales[8];
    each<8>([&](auto s) {
      panel.q[s] = R::look_up(levels, row_nibbles<R>(b[s].qs));
      // 2^(e − 128): see Unpack.
      const std::uint32_t a = b[s].e / 2u, rest = b[s].e - a;
      scales[s] = __builtin_bit_cast(float, (a + 63) << 23) * __builtin_bit_cast(float, (rest + 63) << 23);
    });
    panel.scale[0] = R::load_floats(scales);
  }
};

// Types that quant::expand() turns into integers.
template <typename R, gguf::TensorType type>
requires requires {
  Unpack<R, type>::is_expanded;
}
struct RowUnpack<R, type> {
  using U = Unpack<R, type>;
  static void group(const typename U::Block* b, RowPanel<R>& panel) {
    quant::IntegerBlock expanded;
    quant::expand(*b, expanded);
    each<8>([&](auto s) { panel.q[s] = U::store_offset(R::load_32_bytes(expanded.q + 32 * s)); });
    if constexpr (U::halves == 2)
      R::load_pairs(expanded.scale, panel.scale);
    else
      panel.scale[0] = R::load_even(expanded.scale);
  }
};

// `count` blocks of 32 columns, and zeros for the rest of a group.
template <typename Block>
struct PaddedGroup {
  Block blocks[group_sub_blocks];

  PaddedGroup(const std::byte* from, std::int64_t count) {
    __builtin_memset(blocks, 0, sizeof blocks);
    __builtin_memcpy(blocks, from, static_cast<std::size_t>(count) * sizeof(Block));
  }
};

template <typename R, gguf::TensorType type>
struct RowPanelChoice {
  using Type = RowPanel<R>;
};
template <typename R, gguf::TensorType type>
requires requires {
  typename RowUnpack<R, type>::Panel;
}
struct RowPanelChoice<R, type> {
  using Type = typename RowUnpack<R, type>::Panel;
};

// sums += the group's columns times a token's.
template <typename R, typename U, typename Panel>
void dot_group(const Panel& panel, const Q8Group& x, typename R::Floats& sums) {
  typename R::Ints dots[2];
  R::template sub_dots<U>(panel.q, x.q, dots);
  const auto d = R::load_floats(x.d);
  each<U::halves>([&](auto half) {
    const auto dot =
        R::template offset_dots<U::offset>(dots[half], U::halves == 2 ? x.half_counts[half] : x.counts);
    sums = R::multiply_add(R::to_float(dot), R::multiply(panel.scale[half], d), sums);
  });
  if constexpr (U::has_min)
    each<U::halves>([&](auto half) {
      sums = R::subtract_product(panel.min[half], R::load_floats(U::halves == 2 ? x.half_sums[half] : x.sums),
                                 sums);
    });
}

// How far ahead weights are asked for, in bytes: far enough for memory to answer, and not so far that the
// second-level cache drops them. Measured; see docs/performance.md.
inline constexpr std::ptrdiff_t rows_prefetch_distance = 8192;

// R consecutive rows times T tokens.
template <typename R, gguf::TensorType type, int T>
[[gnu::flatten]] void rows_q8(const WeightRows& w, const Q8Group* const* tokens, std::int64_t n_groups,
                              std::int64_t n_sub_blocks, float* out, std::int64_t out_stride) {
  using U = Unpack<R, type>;
  using Block = typename U::Block;
  constexpr std::int64_t blocks_a_group = 256 / Block::elements;
  constexpr std::ptrdiff_t group_bytes = blocks_a_group * sizeof(Block);
  const std::byte* at = w.first;
  const std::byte* const end = w.first + w.count * static_cast<std::ptrdiff_t>(w.row_bytes);
  for (std::int64_t r = 0; r < w.count; ++r) {
    typename R::Floats sums[T];
    const Q8Group* x[T];
    each<T>([&](auto t) {
      sums[t] = R::splat_float(0.0f);
      x[t] = tokens[t];
    });
    for (std::int64_t g = 0; g < n_groups; ++g) {
      const std::byte* ahead = at + rows_prefetch_distance;
      if (ahead >= end) ahead = w.next + (ahead - end);
      each<(group_bytes + 63) / 64>([&](auto k) { R::prefetch_second_level(ahead + 64 * k); });
      typename RowPanelChoice<R, type>::Type panel;
      const std::int64_t left = n_sub_blocks - g * group_sub_blocks;
      if (blocks_a_group > 1 && left < group_sub_blocks) [[unlikely]] {
        const PaddedGroup<Block> padded(at, left);
        RowUnpack<R, type>::group(padded.blocks, panel);
        at += left * static_cast<std::ptrdiff_t>(sizeof(Block));
      } else {
        RowUnpack<R, type>::group(reinterpret_cast<const Block*>(at), panel);
        at += group_bytes;
      }
      each<T>([&](auto t) { dot_group<R, U>(panel, *x[t]++, sums[t]); });
    }
    each<T>([&](auto t) { out[t * out_stride + r] = R::sum(sums[t]); });
  }
}

}  // namespace
}  // namespace trine::cpu
