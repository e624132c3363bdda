#pragma once

#include "cpu/kernels/x86_row.h"

// The row form of vectors of 512 bits, for the types that files hold most of: a vector has two sub-blocks,
// and a group is four products and half the additions. Other types keep to 256 bits. Included behind
// <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

template <typename M>
struct Avx512Row : X86Row<M> {
  using Base = X86Row<M>;
  using Base::sub_dots;
  using typename Base::Ints;

  // dots[half], lane s: as X86Row's, of q[i], the sub-blocks 2i and 2i + 1.
  template <typename U>
  static void sub_dots(const __m512i (&q)[4], const std::int8_t* x, Ints (&dots)[2]) {
    __m512i four[4];
    each<4>([&](auto i) {
      four[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[i], _mm512_loadu_si512(x + 64 * i));
    });
    __m512i two[2];
    each<2>([&](auto i) {
      const __m512i a = four[2 * i], b = four[2 * i + 1];
      two[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    });
    // 128 bits each of the first halves of even sub-blocks, their second halves, and likewise of odd ones.
    const __m512i by_half =
        _mm512_add_epi32(_mm512_unpacklo_epi64(two[0], two[1]), _mm512_unpackhi_epi64(two[0], two[1]));
    const __m512i in_order = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15), by_half);
    const __m256i first = _mm512_castsi512_si256(in_order), second = _mm512_extracti64x4_epi64(in_order, 1);
    if constexpr (U::halves == 2) {
      dots[0] = first;
      dots[1] = second;
    } else {
      dots[0] = _mm256_add_epi32(first, second);
    }
  }

  // Bits `from` and up of every byte, moved to bit `to` and masked there.
  template <int from, int to>
  static __m512i moved(__m512i v, char mask) {
    if constexpr (from > to) v = _mm512_srli_epi32(v, from - to);
    if constexpr (from < to) v = _mm512_slli_epi32(v, to - from);
    return _mm512_and_si512(v, _mm512_set1_epi8(mask));
  }
  // q[0] and q[1] from vectors of the sub-blocks 0 and 2, and of 1 and 3.
  static void interleave(__m512i even, __m512i odd, __m512i* q) {
    q[0] = _mm512_inserti64x4(even, _mm512_castsi512_si256(odd), 1);
    q[1] = _mm512_shuffle_i64x2(even, odd, 0b11101110);
  }
};

// A group of 256 columns of one row.
template <typename R>
struct WidePanel {
  __m512i q[4];  // [pair of sub-blocks]
  typename R::Floats scale[2];
  typename R::Floats min[2];
};

// The 16 bytes that open Q4_K and Q5_K: d, dmin, and 8 scales and mins of 6 bits. All in vectors, since here
// the number of instructions decides.
template <typename R>
void wide_scales_and_mins(const void* block, WidePanel<R>& panel) {
  constexpr char none = static_cast<char>(0x80);
  const __m128i head = _mm_loadu_si128(R::at128(block));
  // Scales 0 … 7, then mins: of the first four of each all six bits in a byte, of the others four and two.
  const __m128i low =
      _mm_shuffle_epi8(head, _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m128i high = _mm_shuffle_epi8(
      head, _mm_setr_epi8(none, none, none, none, 4, 5, 6, 7, none, none, none, none, 8, 9, 10, 11));
  const __m128i mask = _mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F);
  const __m128i bytes = _mm_or_si128(_mm_and_si128(_mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 0, 4)), mask),
                                     _mm_and_si128(_mm_srli_epi32(high, 2), _mm_set1_epi8(0x30)));
  const __m256i d_and_dmin = _mm256_shuffle_epi8(
      _mm256_broadcastd_epi32(head), _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2,
                                                      3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));
  const __m512 both =
      _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), _mm512_cvtph_ps(d_and_dmin));
  panel.scale[0] = _mm512_castps512_ps256(both);
  panel.min[0] = _mm512_extractf32x8_ps(both, 1);
}

template <typename M>
struct RowUnpack<Avx512Row<M>, gguf::TensorType::Q8_0> {
  using R = Avx512Row<M>;
  using Panel = WidePanel<R>;
  static void group(const quant::BlockQ8_0* b, Panel& panel) {
    each<4>([&](auto i) {
      const __m512i first = _mm512_castsi256_si512(R::load_32_bytes(b[2 * i].qs));
      const __m512i both = _mm512_inserti64x4(first, R::load_32_bytes(b[2 * i + 1].qs), 1);
      panel.q[i] = _mm512_xor_si512(both, _mm512_set1_epi8(static_cast<char>(0x80)));
    });
    panel.scale[0] = R::halves(&b->d, sizeof *b);
  }
};

template <typename M>
struct RowUnpack<Avx512Row<M>, gguf::TensorType::Q4_K> {
  using R = Avx512Row<M>;
  using Panel = WidePanel<R>;
  static void group(const quant::BlockQ4_K* b, Panel& panel) {
    wide_scales_and_mins(b, panel);
    each<2>([&](auto half) {
      const __m512i v = _mm512_loadu_si512(b->qs + 64 * half);
      R::interleave(R::template moved<0, 0>(v, 0x0F), R::template moved<4, 0>(v, 0x0F), panel.q + 2 * half);
    });
  }
};

template <typename M>
struct RowUnpack<Avx512Row<M>, gguf::TensorType::Q5_K> {
  using R = Avx512Row<M>;
  using Panel = WidePanel<R>;
  static void group(const quant::BlockQ5_K* b, Panel& panel) {
    wide_scales_and_mins(b, panel);
    const __m512i high = _mm512_broadcast_i64x4(R::load_32_bytes(b->qh));
    each<2>([&](auto half) {
      const __m512i v = _mm512_loadu_si512(b->qs + 64 * half);
      __m512i fifth[2];  // of the even sub-blocks, of the odd ones
      each<2>([&](auto odd) {
        const __m512i low = R::template moved<4 * half + odd, 4>(high, 0x10);
        const __m512i upper = R::template moved<4 * half + odd + 2, 4>(high, 0x10);
        fifth[odd] = _mm512_mask_blend_epi64(0b11110000, low, upper);
      });
      R::interleave(_mm512_or_si512(R::template moved<0, 0>(v, 0x0F), fifth[0]),
                    _mm512_or_si512(R::template moved<4, 0>(v, 0x0F), fifth[1]), panel.q + 2 * half);
    });
  }
};

template <typename M>
struct RowUnpack<Avx512Row<M>, gguf::TensorType::Q6_K> {
  using R = Avx512Row<M>;
  using Panel = WidePanel<R>;
  static void group(const quant::BlockQ6_K* b, Panel& panel) {
    signed_bytes<R>(R::load_8_pairs(b->scales), panel.scale);
    const auto d = R::half(&b->d);
    each<2>([&](auto half) {
      panel.scale[half] = R::multiply(panel.scale[half], d);
      const __m512i low = _mm512_loadu_si512(b->ql + 64 * half);
      const __m512i high = _mm512_broadcast_i64x4(R::load_32_bytes(b->qh + 32 * half));
      // Of every byte the bits 0 and 1 are sub-block 0's, 2 and 3 sub-block 1's, and so on.
      const __m512i first =
          _mm512_sllv_epi32(high, _mm512_setr_epi32(4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2));
      const __m512i second =
          _mm512_srlv_epi32(high, _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2));
      panel.q[2 * half] =
          _mm512_or_si512(R::template moved<0, 0>(low, 0x0F), R::template moved<0, 0>(first, 0x30));
      panel.q[2 * half + 1] =
          _mm512_or_si512(R::template moved<4, 0>(low, 0x0F), R::template moved<0, 0>(second, 0x30));
    });
  }
};

}  // namespace
}  // namespace trine::cpu
