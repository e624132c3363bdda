#pragma once

#include "cpu/kernels/kernels.h"
#include "gguf/tensor_type.h"
#include "quant/iq.h"
#include "quant/iq4.h"
#include "quant/k_quants.h"
#include "quant/legacy.h"
#include "quant/mxfp4.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

// From blocks as the file stores them to panels that a dot product reads straight through.
//
// A group of S::lanes rows is unpacked together, lane r of every vector holding bytes of row r: after one
// transpose of packed bytes, what a block type asks for (nibbles, high bits, scales of 6 bits) is the same
// arithmetic for all rows at once, activations are broadcast, and no horizontal sum is left.
//
// S is an instruction set: its vectors Bits (S::lanes × 32 bits) and Floats and the few operations on them,
// in portable.cpp, avx2.cpp, avx512vnni.cpp and neon.h, the only files that include this one. All of it is in
// an unnamed namespace, and calls no inline function of another header, so that each file keeps its own copy:
// of shared copies the linker would choose one, perhaps one that this processor cannot run.

namespace trine::cpu {
namespace {

// The first byte of a group's first row; row r begins r · stride further.
struct RowGroup {
  const std::byte* first;
  std::ptrdiff_t stride;

  RowGroup at(std::ptrdiff_t bytes) const { return {first + bytes, stride}; }
};

// Up to 256 columns of a row group, as sub-blocks of 32: weight = scale · (q − offset) − min.
template <typename S>
struct Panel {
  typename S::Bits q[group_sub_blocks]
                    [8];  // [sub-block][step]: lane r has the bytes of columns 4·step … 4·step + 3
  typename S::Floats scale[group_sub_blocks][2];  // [sub-block][half of 16], only [0] when the two are equal
  typename S::Floats min[group_sub_blocks][2];    // likewise; where the type stores minima
};

// body(std::integral_constant<int, i>) for i in [0, n), unrolled.
template <int n, typename F>
inline void each(F&& body) {
  [&]<int... i>(std::integer_sequence<int, i...>) {
    (body(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, n>{});
}

// What the dot product has to know about a type; Unpack<S, type> derives from it.
template <int largest_q, int sub_block_halves = 1, bool stores_min = false, int q_offset = 0>
struct UnsignedFormat {
  static constexpr bool is_signed = false;
  static constexpr int max_q = largest_q;
  static constexpr int halves = sub_block_halves;
  static constexpr bool has_min = stores_min;
  static constexpr int offset = q_offset;
};
// Types whose q have a sign: kept so where S can multiply them, else stored with their largest magnitude
// added.
template <typename S, int magnitude = 128, int sub_block_halves = 1>
struct SignedFormat {
  static constexpr bool is_signed = S::multiplies_signed;
  static constexpr int max_q = magnitude == 128 ? 255 : 2 * magnitude;
  static constexpr int halves = sub_block_halves;
  static constexpr bool has_min = false;
  static constexpr int offset = S::multiplies_signed ? 0 : magnitude;
};

template <typename S>
typename S::Bits masked(typename S::Bits v, std::uint8_t mask) {
  return S::bit_and(v, S::splat(0x01010101u * mask));
}

// Bits `from` and up of every byte, moved to bit `to` and masked there.
template <typename S, int from, int to>
typename S::Bits move_bits(typename S::Bits v, std::uint8_t mask) {
  if constexpr (from > to) return masked<S>(S::template shift_right<from - to>(v), mask);
  if constexpr (from < to) return masked<S>(S::template shift_left<to - from>(v), mask);
  return masked<S>(v, mask);
}

// Byte j of each lane, as a number.
template <typename S, int j>
typename S::Floats byte_of(typename S::Bits v) {
  if constexpr (j == 3) return S::to_float(S::template shift_right<24>(v));
  return S::to_float(S::bit_and(S::template shift_right<8 * j>(v), S::splat(0xFF)));
}
template <typename S, int j>
typename S::Floats signed_byte_of(typename S::Bits v) {
  return S::to_float(S::template shift_right_signed<24>(S::template shift_left<24 - 8 * j>(v)));
}

template <typename S>
typename S::Bits store_signed(typename S::Bits q) {
  return S::multiplies_signed ? q : S::bit_xor(q, S::splat(0x80808080u));
}

// 16 bytes of 32 nibbles: the low ones are columns 0 … 15, the high ones 16 … 31.
template <typename S>
void load_nibbles(RowGroup bytes, typename S::Bits* q) {
  typename S::Bits v[4];
  S::load_16_bytes(bytes, v);
  each<4>([&](auto k) {
    q[k] = masked<S>(v[k], 0x0F);
    q[4 + k] = move_bits<S, 4, 0>(v[k], 0x0F);
  });
}

// Adds 16 to column i where bit i of the lane's 32 is set: the fifth bits of Q5_0 and Q5_1.
template <typename S>
void add_fifth_bits(typename S::Bits high, typename S::Bits* q) {
  each<8>([&](auto step) {
    auto v = S::bit_and(S::template shift_right<4 * step>(high), S::splat(0xF));
    v = S::bit_and(S::bit_or(v, S::template shift_left<14>(v)), S::splat(0x00030003u));
    v = S::bit_and(S::bit_or(v, S::template shift_left<7>(v)), S::splat(0x01010101u));
    q[step] = S::bit_or(q[step], S::template shift_left<4>(v));
  });
}

template <typename S, gguf::TensorType type>
struct Unpack;

template <typename S>
struct Unpack<S, gguf::TensorType::Q4_0> : UnsignedFormat<15, 1, false, 8> {
  using Block = quant::BlockQ4_0;
  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    panel.scale[sub][0] = S::from_half(S::load_2_bytes(rows));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q4_1> : UnsignedFormat<15, 1, true> {
  using Block = quant::BlockQ4_1;
  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    const auto d_and_m = S::load_4_bytes(rows);
    panel.scale[sub][0] = S::from_half(d_and_m);
    // The block adds its m; a panel subtracts.
    panel.min[sub][0] = S::from_half(S::bit_xor(S::template shift_right<16>(d_and_m), S::splat(0x8000)));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q5_0> : UnsignedFormat<31, 1, false, 16> {
  using Block = quant::BlockQ5_0;
  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    add_fifth_bits<S>(S::load_4_bytes(rows.at(offsetof(Block, qh))), panel.q[sub]);
    panel.scale[sub][0] = S::from_half(S::load_2_bytes(rows));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q5_1> : UnsignedFormat<31, 1, true> {
  using Block = quant::BlockQ5_1;
  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    add_fifth_bits<S>(S::load_4_bytes(rows.at(offsetof(Block, qh))), panel.q[sub]);
    const auto d_and_m = S::load_4_bytes(rows);
    panel.scale[sub][0] = S::from_half(d_and_m);
    panel.min[sub][0] = S::from_half(S::bit_xor(S::template shift_right<16>(d_and_m), S::splat(0x8000)));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q8_0> : SignedFormat<S> {
  using Block = quant::BlockQ8_0;
  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    S::load_16_bytes(rows.at(offsetof(Block, qs)), panel.q[sub]);
    S::load_16_bytes(rows.at(offsetof(Block, qs) + 16), panel.q[sub] + 4);
    each<8>([&](auto step) { panel.q[sub][step] = store_signed<S>(panel.q[sub][step]); });
    panel.scale[sub][0] = S::from_half(S::load_2_bytes(rows));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q2_K> : UnsignedFormat<3, 2, true> {
  using Block = quant::BlockQ2_K;
  static void block(RowGroup rows, Panel<S>& panel, int) {
    const auto d_and_dmin = S::load_4_bytes(rows.at(offsetof(Block, d)));
    const auto d = S::from_half(d_and_dmin);
    const auto dmin = S::from_half(S::template shift_right<16>(d_and_dmin));
    typename S::Bits packed[4];
    S::load_16_bytes(rows.at(offsetof(Block, scales)), packed);
    each<4>([&](auto k) {
      const auto scales = masked<S>(packed[k], 0x0F);
      const auto mins = move_bits<S, 4, 0>(packed[k], 0x0F);
      each<4>([&](auto b) {
        panel.scale[2 * k + b / 2][b % 2] = S::multiply(d, byte_of<S, b>(scales));
        panel.min[2 * k + b / 2][b % 2] = S::multiply(dmin, byte_of<S, b>(mins));
      });
    });
    each<4>([&](auto chunk) {  // of 16 bytes; 4 sub-blocks share 2 of them
      typename S::Bits v[4];
      S::load_16_bytes(rows.at(offsetof(Block, qs) + 16 * chunk), v);
      each<4>([&](auto k) {
        each<4>([&](auto j) {
          panel.q[4 * (chunk / 2) + j][4 * (chunk % 2) + k] = move_bits<S, 2 * j, 0>(v[k], 3);
        });
      });
    });
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q3_K> : UnsignedFormat<7, 2, false, 4> {
  using Block = quant::BlockQ3_K;
  static void block(RowGroup rows, Panel<S>& panel, int) {
    unpack_scales(rows, panel);
    typename S::Bits high[8];
    S::load_16_bytes(rows.at(offsetof(Block, hmask)), high);
    S::load_16_bytes(rows.at(offsetof(Block, hmask) + 16), high + 4);
    each<4>([&](auto chunk) {
      constexpr int half = chunk / 2;
      constexpr int first_step = 4 * (chunk % 2);
      typename S::Bits v[4];
      S::load_16_bytes(rows.at(offsetof(Block, qs) + 16 * chunk), v);
      each<4>([&](auto k) {
        each<4>([&](auto j) {
          panel.q[4 * half + j][first_step + k] = S::bit_or(
              move_bits<S, 2 * j, 0>(v[k], 3), move_bits<S, 4 * half + j, 2>(high[first_step + k], 4));
        });
      });
    });
  }

 private:
  static void unpack_scales(RowGroup rows, Panel<S>& panel) {
    // The block's last 16 bytes: two of qs, twelve of scales, d.
    typename S::Bits tail[4];
    S::load_16_bytes(rows.at(sizeof(Block) - 16), tail);
    const auto joined = [](auto a, auto b) {
      return S::bit_or(S::template shift_right<16>(a), S::template shift_left<16>(b));
    };
    const typename S::Bits low[2] = {joined(tail[0], tail[1]), joined(tail[1], tail[2])};
    const auto high = joined(tail[2], tail[3]);
    const auto d = S::from_half(S::template shift_right<16>(tail[3]));
    each<4>([&](auto g) {  // scales 4g … 4g + 3
      const auto scales =
          S::bit_or(move_bits<S, 4 * (g / 2), 0>(low[g % 2], 0x0F), move_bits<S, 2 * g, 4>(high, 0x30));
      each<4>([&](auto b) {
        const auto scale = S::subtract(byte_of<S, b>(scales), S::splat_float(32.0f));
        panel.scale[2 * g + b / 2][b % 2] = S::multiply(d, scale);
      });
    });
  }
};

// The 16 bytes that open Q4_K and Q5_K: d, dmin, and 8 scales and mins of 6 bits.
template <typename S>
void unpack_scales_and_mins(RowGroup rows, Panel<S>& panel) {
  typename S::Bits head[4];
  S::load_16_bytes(rows, head);
  const auto d = S::from_half(head[0]);
  const auto dmin = S::from_half(S::template shift_right<16>(head[0]));
  const typename S::Bits scales[2] = {masked<S>(head[1], 0x3F),
                                      S::bit_or(masked<S>(head[3], 0x0F), move_bits<S, 6, 4>(head[1], 0x30))};
  const typename S::Bits mins[2] = {masked<S>(head[2], 0x3F), S::bit_or(move_bits<S, 4, 0>(head[3], 0x0F),
                                                                        move_bits<S, 6, 4>(head[2], 0x30))};
  each<8>([&](auto sub) {
    panel.scale[sub][0] = S::multiply(d, byte_of<S, sub % 4>(scales[sub / 4]));
    panel.min[sub][0] = S::multiply(dmin, byte_of<S, sub % 4>(mins[sub / 4]));
  });
}

template <typename S>
struct Unpack<S, gguf::TensorType::Q4_K> : UnsignedFormat<15, 1, true> {
  using Block = quant::BlockQ4_K;
  static void block(RowGroup rows, Panel<S>& panel, int) {
    unpack_scales_and_mins<S>(rows, panel);
    each<8>([&](auto chunk) {
      typename S::Bits v[4];
      S::load_16_bytes(rows.at(offsetof(Block, qs) + 16 * chunk), v);
      each<4>([&](auto k) {
        constexpr int sub = 2 * (chunk / 2);
        constexpr int step = 4 * (chunk % 2) + k;
        panel.q[sub][step] = masked<S>(v[k], 0x0F);
        panel.q[sub + 1][step] = move_bits<S, 4, 0>(v[k], 0x0F);
      });
    });
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q5_K> : UnsignedFormat<31, 1, true> {
  using Block = quant::BlockQ5_K;
  static void block(RowGroup rows, Panel<S>& panel, int) {
    unpack_scales_and_mins<S>(rows, panel);
    typename S::Bits high[8];
    S::load_16_bytes(rows.at(offsetof(Block, qh)), high);
    S::load_16_bytes(rows.at(offsetof(Block, qh) + 16), high + 4);
    each<8>([&](auto chunk) {
      typename S::Bits v[4];
      S::load_16_bytes(rows.at(offsetof(Block, qs) + 16 * chunk), v);
      each<4>([&](auto k) {
        constexpr int sub = 2 * (chunk / 2);
        constexpr int step = 4 * (chunk % 2) + k;
        panel.q[sub][step] = S::bit_or(masked<S>(v[k], 0x0F), move_bits<S, sub, 4>(high[step], 0x10));
        panel.q[sub + 1][step] =
            S::bit_or(move_bits<S, 4, 0>(v[k], 0x0F), move_bits<S, sub + 1, 4>(high[step], 0x10));
      });
    });
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::Q6_K> : UnsignedFormat<63, 2, false, 32> {
  using Block = quant::BlockQ6_K;
  static void block(RowGroup rows, Panel<S>& panel, int) {
    const auto d = S::from_half(S::load_2_bytes(rows.at(offsetof(Block, d))));
    typename S::Bits packed[4];
    S::load_16_bytes(rows.at(offsetof(Block, scales)), packed);
    each<4>([&](auto k) {
      each<4>([&](auto b) {
        panel.scale[2 * k + b / 2][b % 2] = S::multiply(d, signed_byte_of<S, b>(packed[k]));
      });
    });
    each<4>([&](auto chunk) {  // of 16 bytes of qh, which serve 4 sub-blocks of one half
      constexpr int half = chunk / 2;
      constexpr int first_step = 4 * (chunk % 2);
      typename S::Bits high[4];
      S::load_16_bytes(rows.at(offsetof(Block, qh) + 16 * chunk), high);
      each<2>([&](auto j) {
        typename S::Bits low[4];
        S::load_16_bytes(rows.at(offsetof(Block, ql) + 64 * half + 32 * j + 16 * (chunk % 2)), low);
        each<4>([&](auto k) {
          panel.q[4 * half + j][first_step + k] =
              S::bit_or(masked<S>(low[k], 0x0F), move_bits<S, 2 * j, 4>(high[k], 0x30));
          panel.q[4 * half + 2 + j][first_step + k] =
              S::bit_or(move_bits<S, 4, 0>(low[k], 0x0F), move_bits<S, 4 + 2 * j, 4>(high[k], 0x30));
        });
      });
    });
  }
};

// A table of 16 levels, `added` to each, as the bytes that S::look_up takes.
struct Levels {
  std::uint8_t bytes[16];

  constexpr Levels(const std::int8_t (&levels)[16], int added) : bytes{} {
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(levels[i] + added);
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::IQ4_NL> : SignedFormat<S> {
  using Block = quant::BlockIQ4_NL;
  static constexpr Levels levels{quant::iq4_levels, SignedFormat<S>::offset};

  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    each<8>([&](auto step) { panel.q[sub][step] = S::look_up(levels.bytes, panel.q[sub][step]); });
    panel.scale[sub][0] = S::from_half(S::load_2_bytes(rows));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::IQ4_XS> : SignedFormat<S> {
  using Block = quant::BlockIQ4_XS;
  static constexpr Levels levels{quant::iq4_levels, SignedFormat<S>::offset};

  static void block(RowGroup rows, Panel<S>& panel, int) {
    const auto head = S::load_4_bytes(rows);  // d, scales_h
    const auto low = S::load_4_bytes(rows.at(offsetof(Block, scales_l)));
    const auto d = S::from_half(head);
    each<8>([&](auto sub) {
      const auto low_bits = S::bit_and(S::template shift_right<4 * sub>(low), S::splat(15));
      const auto high_bits = S::bit_and(S::template shift_right<16 + 2 * sub>(head), S::splat(3));
      const auto scale = S::to_float(S::bit_or(low_bits, S::template shift_left<4>(high_bits)));
      panel.scale[sub][0] = S::multiply(d, S::subtract(scale, S::splat_float(32.0f)));
      load_nibbles<S>(rows.at(offsetof(Block, qs) + 16 * sub), panel.q[sub]);
      each<8>([&](auto step) { panel.q[sub][step] = S::look_up(levels.bytes, panel.q[sub][step]); });
    });
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::MXFP4> : UnsignedFormat<24, 1, false, 12> {
  using Block = quant::BlockMXFP4;
  static constexpr Levels levels{quant::e2m1_doubled, 12};

  static void block(RowGroup rows, Panel<S>& panel, int sub) {
    load_nibbles<S>(rows.at(offsetof(Block, qs)), panel.q[sub]);
    each<8>([&](auto step) { panel.q[sub][step] = S::look_up(levels.bytes, panel.q[sub][step]); });
    // 2^(e − 128) as the product of two powers that are never subnormal.
    const auto e = S::load_1_byte(rows);
    const auto a = S::template shift_right<1>(e);
    const auto b = S::subtract_bits(e, a);
    const auto power = [](auto n) {  // 2^(n − 64)
      return S::as_float(S::template shift_left<23>(S::add_bits(n, S::splat(127 - 64))));
    };
    panel.scale[sub][0] = S::multiply(power(a), power(b));
  }
};

// Types that quant::expand() turns into integers, row by row: a code book is a look-up for each 8 values
// whatever the instruction set. It is compiled once, for every processor.
template <typename S, typename QuantBlock, int magnitude, int sub_block_halves>
struct Expanded : SignedFormat<S, magnitude, sub_block_halves> {
  using Block = QuantBlock;
  static constexpr bool is_expanded = true;

  static void block(RowGroup rows, Panel<S>& panel, int) {
    quant::IntegerBlock expanded[S::lanes];
    const bool one_row = rows.stride == 0;
    for (int r = 0; r < (one_row ? 1 : S::lanes); ++r)
      quant::expand(*reinterpret_cast<const Block*>(rows.first + r * rows.stride), expanded[r]);
    const RowGroup integers{reinterpret_cast<const std::byte*>(expanded),
                            one_row ? 0 : static_cast<std::ptrdiff_t>(sizeof expanded[0])};
    for (int sub = 0; sub < group_sub_blocks; ++sub) {
      S::load_16_bytes(integers.at(32 * sub), panel.q[sub]);
      S::load_16_bytes(integers.at(32 * sub + 16), panel.q[sub] + 4);
      each<8>([&](auto step) { panel.q[sub][step] = store_offset(panel.q[sub][step]); });
    }
    typename S::Bits scales[4];
    each<4>([&](auto k) {
      S::load_16_bytes(integers.at(offsetof(quant::IntegerBlock, scale) + 16 * k), scales);
      each<2>([&](auto i) {
        panel.scale[2 * k + i][0] = S::as_float(scales[2 * i]);
        if constexpr (sub_block_halves == 2) panel.scale[2 * k + i][1] = S::as_float(scales[2 * i + 1]);
      });
    });
  }

  static typename S::Bits store_offset(typename S::Bits q) {
    if constexpr (S::multiplies_signed) return q;
    // By way of 128 more, so that no byte borrows from the next.
    return S::subtract_bits(S::bit_xor(q, S::splat(0x80808080u)), S::splat((128u - magnitude) * 0x01010101u));
  }
};

template <typename S>
struct Unpack<S, gguf::TensorType::IQ2_XXS> : Expanded<S, quant::BlockIQ2_XXS, 43, 1> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ2_XS> : Expanded<S, quant::BlockIQ2_XS, 43, 2> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ2_S> : Expanded<S, quant::BlockIQ2_S, 43, 2> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ3_XXS> : Expanded<S, quant::BlockIQ3_XXS, 62, 1> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ3_S> : Expanded<S, quant::BlockIQ3_S, 15, 1> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ1_S> : Expanded<S, quant::BlockIQ1_S, 9, 1> {};
template <typename S>
struct Unpack<S, gguf::TensorType::IQ1_M> : Expanded<S, quant::BlockIQ1_M, 9, 2> {};
template <typename S>
struct Unpack<S, gguf::TensorType::TQ1_0> : Expanded<S, quant::BlockTQ1_0, 1, 1> {};
template <typename S>
struct Unpack<S, gguf::TensorType::TQ2_0> : Expanded<S, quant::BlockTQ2_0, 2, 1> {};

// Sub-blocks [first, first + count) of the rows; a block of 256 is always taken whole.
template <typename S, gguf::TensorType type>
[[gnu::flatten]] void unpack(RowGroup rows, std::int64_t first, int count, Panel<S>& panel) {
  using U = Unpack<S, type>;
  constexpr int per_block = U::Block::elements / 32;
  for (int sub = 0; sub < count; sub += per_block)
    U::block(rows.at((first + sub) / per_block * static_cast<std::ptrdiff_t>(sizeof(typename U::Block))),
             panel, sub);
}

}  // namespace
}  // namespace trine::cpu
