#pragma once

#include "cpu/kernels/rows.h"
#include "cpu/kernels/x86_vectors.h"

// The row form of vectors of 256 bits, for every x86 instruction set from AVX2 on. Included behind
// <immintrin.h>.

namespace trine::cpu {
namespace {  // see the top of unpack.h

// M is how bytes are multiplied: `exists` says whether dpbusd(sum, unsigned, signed) is an instruction.
template <typename M>
struct X86Row : X86Vectors {
  static constexpr bool multiplies_signed = !M::exists;

  static Bits load_32_bytes(const void* from) { return _mm256_loadu_si256(at256(from)); }
  // 16 bytes, then the same with every 32 bits shifted right by 4.
  static Bits low_and_shifted_right_4(const void* from) {
    const __m128i v = _mm_loadu_si128(at128(from));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(v), _mm_srli_epi32(v, 4), 1);
  }
  // 16 in every byte whose bit of the 32 is set.
  static Bits sixteen_where_set(const std::uint8_t (&bits)[4]) {
    int word;
    __builtin_memcpy(&word, bits, sizeof word);
    const Bits byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2,
                                          2, 3, 3, 3, 3, 3, 3, 3, 3);
    const Bits bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    const Bits chosen = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(chosen, bit), _mm256_set1_epi8(16));
  }

  static Ints load_8_pairs(const void* from) { return _mm256_cvtepu16_epi32(_mm_loadu_si128(at128(from))); }
  static Ints eight_bytes(std::uint64_t bytes) {
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
  }
  static Ints eight_pairs(std::uint64_t first, std::uint64_t second) {
    return _mm256_cvtepu16_epi32(
        _mm_set_epi64x(static_cast<long long>(second), static_cast<long long>(first)));
  }
  static Ints and_ints(Ints a, int mask) { return bit_and(a, _mm256_set1_epi32(mask)); }
  template <int n>
  static Ints shift_left_ints(Ints a) {
    return shift_left<n>(a);
  }
  template <int n>
  static Ints shift_right_ints(Ints a) {
    return shift_right<n>(a);
  }
  template <int n>
  static Ints shift_right_signed_ints(Ints a) {
    return shift_right_signed<n>(a);
  }

  static Floats half(const void* from) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(bits)));
  }
  static Floats halves(const void* first, std::ptrdiff_t stride) {
    const auto bits = [&](int i) {
      short value;
      __builtin_memcpy(&value, static_cast<const std::byte*>(first) + i * stride, sizeof value);
      return value;
    };
    return _mm256_cvtph_ps(
        _mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), bits(4), bits(5), bits(6), bits(7)));
  }
  // Of 16 floats those with even and those with odd places.
  static void load_pairs(const float (&from)[16], Floats (&out)[2]) {
    const Floats a = _mm256_loadu_ps(from), b = _mm256_loadu_ps(from + 8);
    out[0] = in_order(_mm256_shuffle_ps(a, b, 0b10001000));
    out[1] = in_order(_mm256_shuffle_ps(a, b, 0b11011101));
  }
  static Floats load_even(const float (&from)[16]) {
    return in_order(_mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), 0b10001000));
  }
  static Floats negate(Floats a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }

  // dots less offset · counts, where the type has an offset.
  template <int offset>
  static Ints offset_dots(Ints dots, const std::int32_t* counts) {
    if constexpr (offset == 0) return dots;
    return _mm256_sub_epi32(dots,
                            _mm256_mullo_epi32(_mm256_loadu_si256(at256(counts)), _mm256_set1_epi32(offset)));
  }

  static void prefetch_second_level(const void* from) {
    _mm_prefetch(static_cast<const char*>(from), _MM_HINT_T1);
  }

  // dots[half], lane s: Σ of q[s]'s bytes times x's, of columns 16·half … 16·half + 15 where U has two
  // halves, else of all 32 in dots[0].
  template <typename U>
  static void sub_dots(const Bits (&q)[8], const std::int8_t* x, Ints (&dots)[2]) {
    // maddubs leaves 16 sums of two products; `levels` times two of them may be added before 16 bits are
    // full.
    constexpr int room = M::exists || U::is_signed ? 1 : 32767 / (2 * 127 * U::max_q);
    constexpr int levels = room >= 8 ? 3 : room >= 4 ? 2 : room >= 2 ? 1 : 0;
    Bits four[4];
    each<4>([&](auto i) {
      const Bits a = widen<levels == 0>(products<U>(q[2 * i], x + 64 * i));
      const Bits b = widen<levels == 0>(products<U>(q[2 * i + 1], x + 64 * i + 32));
      four[i] =
          widen<levels == 1>(add<levels >= 1>(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)));
    });
    Bits two[2];
    each<2>([&](auto i) {
      const Bits a = four[2 * i], b = four[2 * i + 1];
      two[i] = widen < levels == 2 ||
               (levels == 3 && U::halves == 2) >
                   (add<levels >= 2>(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)));
    });
    const Bits first = _mm256_permute2x128_si256(two[0], two[1], 0x20);
    const Bits second = _mm256_permute2x128_si256(two[0], two[1], 0x31);
    if constexpr (U::halves == 2) {
      dots[0] = first;
      dots[1] = second;
    } else {
      dots[0] = widen<levels == 3>(add<levels == 3>(first, second));
    }
  }

 private:
  static Floats in_order(Floats v) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0b11011000));
  }

  // With dpbusd 8 sums of four products in 32 bits, else 16 of two in 16 bits.
  template <typename U>
  static Bits products(Bits w, const std::int8_t* from) {
    const Bits x = _mm256_loadu_si256(at256(from));
    if constexpr (M::exists) return M::dpbusd(_mm256_setzero_si256(), w, x);
    if constexpr (U::is_signed) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_maddubs_epi16(w, x);
  }
  template <bool now>
  static Bits widen(Bits v) {
    if constexpr (now && !M::exists) return _mm256_madd_epi16(v, _mm256_set1_epi16(1));
    return v;
  }
  template <bool as_16_bits>
  static Bits add(Bits a, Bits b) {
    if constexpr (as_16_bits && !M::exists) return _mm256_add_epi16(a, b);
    return _mm256_add_epi32(a, b);
  }
};

// 8-bit blocks of a row, from a multiple of 32 columns on.
inline void quantize(const float* x, std::int64_t column, std::int64_t columns, Q8Group* row) {
  for (const float* const end = x + columns; x != end; x += q8_block, column += q8_block) {
    Q8Group& group = row[column / group_columns];
    const auto block = static_cast<std::size_t>(column / q8_block % group_sub_blocks);
    __m256 v[4];
    // As integers, magnitudes keep their order, and infinities and NaNs are the largest.
    __m256i largest = _mm256_setzero_si256();
    for (int k = 0; k < 4; ++k) {
      v[k] = _mm256_loadu_ps(x + 8 * k);
      largest = _mm256_max_epi32(largest,
                                 _mm256_and_si256(_mm256_castps_si256(v[k]), _mm256_set1_epi32(0x7FFFFFFF)));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b01001110));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b10110001));
    const int bits = _mm_cvtsi128_si32(four);
    const float scale = bits < 0x7F800000 ? __builtin_bit_cast(float, bits) / 127.0f : __builtin_nanf("");
    __m256i bytes = _mm256_setzero_si256();
    if (scale > 0.0f) {
      __m256i n[4];
      for (int k = 0; k < 4; ++k) n[k] = _mm256_cvtps_epi32(_mm256_div_ps(v[k], _mm256_set1_ps(scale)));
      bytes = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
      bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8(-127));
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(group.q + 32 * block), bytes);
    __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0b01001110));
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0b10110001));
    set_block_sums(group, block, scale, _mm256_extract_epi32(sum, 0), _mm256_extract_epi32(sum, 4));
  }
}

}  // namespace
}  // namespace trine::cpu
