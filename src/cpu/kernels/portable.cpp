#include "cpu/kernels/attend.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/portable_dot.h"
#include "cpu/kernels/table.h"
#include "quant/float.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace trine::cpu {
namespace {

template <typename T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float half_to_float(std::uint16_t half) {
  return quant::to_float(std::bit_cast<quant::Half>(half));
}

// Eight lanes, for a compiler to turn into whatever vectors a processor has.
template <typename T>
struct Eight {
  T lane[8];
};
// f(lane, …) of each lane.
template <typename F, typename T, typename... More>
auto map(F f, Eight<T> a, More... more) {
  Eight<decltype(f(a.lane[0], more.lane[0]...))> out;
  for (int i = 0; i < 8; ++i) out.lane[i] = f(a.lane[i], more.lane[i]...);
  return out;
}

// The vectors of attend.h.
struct PortableVector {
  using Floats = Eight<float>;

  static Floats load_floats(const float* from) { return load<Floats>(from); }
  static void store(float* to, const Floats& v) { std::memcpy(to, &v, sizeof v); }
  static Floats splat_float(float value) {
    return map([=](float) { return value; }, Floats{});
  }
  static Floats load_f16(const std::uint16_t* from) {
    return map(half_to_float, load<Eight<std::uint16_t>>(from));
  }
  static Floats load_bf16(const std::uint16_t* from) {
    return map([](std::uint16_t v) { return std::bit_cast<float>(std::uint32_t{v} << 16); },
               load<Eight<std::uint16_t>>(from));
  }
  static Floats load_int8(const std::int8_t* from) {
    return map([](std::int8_t v) { return static_cast<float>(v); }, load<Eight<std::int8_t>>(from));
  }

  static Floats add(Floats a, Floats b) { return map(std::plus<>(), a, b); }
  static Floats subtract(Floats a, Floats b) { return map(std::minus<>(), a, b); }
  static Floats multiply(Floats a, Floats b) { return map(std::multiplies<>(), a, b); }
  static Floats divide(Floats a, Floats b) { return map(std::divides<>(), a, b); }
  // Rounds twice, as Portable does.
  static Floats multiply_add(Floats a, Floats b, Floats c) {
    return map([](float x, float y, float z) { return x * y + z; }, a, b, c);
  }
  // Where either is a NaN: b.
  static Floats larger(Floats a, Floats b) {
    return map([](float x, float y) { return x > y ? x : y; }, a, b);
  }
  static Floats smaller(Floats a, Floats b) {
    return map([](float x, float y) { return x < y ? x : y; }, a, b);
  }

  // v · 2ⁿ for whole n, in two factors, which have room where the result does not.
  static Floats times_power_of_2(Floats v, Floats n) {
    const auto power = [](int e) { return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23); };
    return map(
        [&](float value, float exponent) {
          const int both = std::isnan(exponent) ? 0 : static_cast<int>(exponent);
          return value * power(both >> 1) * power(both - (both >> 1));
        },
        v, n);
  }

  // Of vectors without NaN.
  static float largest(const Floats& v) { return *std::max_element(v.lane, v.lane + 8); }
  static float sum(const Floats& v) {
    const float* s = v.lane;
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
  // Lane i: sum(v[i]).
  static Floats sums(const Floats (&v)[8]) {
    Floats out;
    for (int i = 0; i < 8; ++i) out.lane[i] = sum(v[i]);
    return out;
  }
};

// Four lanes, as the vectors of GCC and Clang that every processor has or can imitate.
struct Portable {
  static constexpr int lanes = 4;
  static constexpr int tile = 4;
  // Arithmetic decides here, not memory.
  static constexpr bool has_rows = false;
  static constexpr bool multiplies_signed = true;

  using Bits [[gnu::vector_size(16)]] = std::uint32_t;
  using Floats [[gnu::vector_size(16)]] = float;
  using SignedBits [[gnu::vector_size(16)]] = std::int32_t;
  using Pairs [[gnu::vector_size(16)]] = std::int16_t;

  // Loads of the same field of every row; lane r of out[k] has bytes 4k … 4k + 3 of row r.
  static void load_16_bytes(RowGroup rows, Bits* out) {
    for (int k = 0; k < 4; ++k) out[k] = load_4_bytes(rows.at(4 * k));
  }
  template <typename T>
  static Bits load_each(RowGroup rows) {
    const auto row = [&](int r) { return std::uint32_t{load<T>(rows.first + r * rows.stride)}; };
    return Bits{row(0), row(1), row(2), row(3)};
  }
  static Bits load_4_bytes(RowGroup rows) { return load_each<std::uint32_t>(rows); }
  static Bits load_2_bytes(RowGroup rows) { return load_each<std::uint16_t>(rows); }
  static Bits load_1_byte(RowGroup rows) { return load_each<std::uint8_t>(rows); }

  static Bits splat(std::uint32_t bits) { return Bits{bits, bits, bits, bits}; }
  static Bits bit_and(Bits a, Bits b) { return a & b; }
  static Bits bit_or(Bits a, Bits b) { return a | b; }
  static Bits bit_xor(Bits a, Bits b) { return a ^ b; }
  static Bits add_bits(Bits a, Bits b) { return a + b; }
  static Bits subtract_bits(Bits a, Bits b) { return a - b; }
  template <int n>
  static Bits shift_left(Bits a) {
    return a << n;
  }
  template <int n>
  static Bits shift_right(Bits a) {
    return a >> n;
  }
  template <int n>
  static Bits shift_right_signed(Bits a) {
    return std::bit_cast<Bits>(std::bit_cast<SignedBits>(a) >> n);
  }
  // Every byte of `indices` (below 16) replaced by that entry of the table.
  static Bits look_up(const std::uint8_t (&table)[16], Bits indices) {
    auto bytes = std::bit_cast<std::array<std::uint8_t, 16>>(indices);
    for (auto& byte : bytes) byte = table[byte];
    return std::bit_cast<Bits>(bytes);
  }

  static Floats splat_float(float value) { return Floats{value, value, value, value}; }
  static Floats as_float(Bits a) { return std::bit_cast<Floats>(a); }
  static Floats to_float(Bits a) { return __builtin_convertvector(std::bit_cast<SignedBits>(a), Floats); }
  // Of the lower 16 bits of each lane.
  static Floats from_half(Bits a) {
    const auto lane = [&](int r) { return half_to_float(static_cast<std::uint16_t>(a[r])); };
    return Floats{lane(0), lane(1), lane(2), lane(3)};
  }
  static Floats add(Floats a, Floats b) { return a + b; }
  static Floats subtract(Floats a, Floats b) { return a - b; }
  static Floats multiply(Floats a, Floats b) { return a * b; }
  // Rounds twice: a fused multiply-add without hardware is a slow library call.
  static Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
  static Floats subtract_product(Floats a, Floats b, Floats c) { return c - a * b; }
  static void store(float* out, Floats a) { std::memcpy(out, &a, sizeof a); }
  static float first(Floats a) { return a[0]; }

  // out[t], lane r: += Σ of row r's bytes in w[0 … steps) times token t's, as 32-bit integers.
  template <typename U, int steps, int T>
  static void add_dots(const Bits* w, const std::int8_t* const* q, std::ptrdiff_t offset, Bits* out) {
    for (int step = 0; step < steps; ++step) {
      const Pairs even = even_bytes<U::is_signed>(w[step]);
      const Pairs odd = even_bytes<U::is_signed>(w[step] >> 8);
      each<T>([&](auto t) {
        // A product is at most 128 · 127, and two of them fit 16 bits.
        const Bits x = splat(load<std::uint32_t>(q[t] + offset + 4 * step));
        const Pairs pairs = even * even_bytes<true>(x) + odd * even_bytes<true>(x >> 8);
        const Bits both = std::bit_cast<Bits>(pairs);
        out[t] += shift_right_signed<16>(both) + shift_right_signed<16>(both << 16);
      });
    }
  }

 private:
  template <bool is_signed>
  static Pairs even_bytes(Bits v) {
    if constexpr (is_signed) return std::bit_cast<Pairs>(v) << 8 >> 8;
    return std::bit_cast<Pairs>(v & splat(0x00FF00FFu));
  }
};

void quantize(const float* x, std::int64_t column, std::int64_t columns, Q8Group* row) {
  for (const float* const end = x + columns; x != end; x += q8_block, column += q8_block) {
    Q8Group& group = row[column / group_columns];
    const auto block = static_cast<std::size_t>(column / q8_block % group_sub_blocks);
    // As integers, magnitudes keep their order, and infinities and NaNs are the largest.
    std::uint32_t largest = 0;
    for (int i = 0; i < q8_block; ++i)
      largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFu);
    const bool finite = largest < 0x7F800000u;
    const float scale =
        finite ? std::bit_cast<float>(largest) / 127.0f : std::numeric_limits<float>::quiet_NaN();
    const bool empty = !(scale > 0.0f);
    int sums[2] = {0, 0};
    for (int i = 0; i < q8_block; ++i) {
      // Below 2^22, adding and taking off 1.5 · 2^23 rounds to the nearest, ties to even.
      const float rounded = empty ? 0.0f : (x[i] / scale + 0x1.8p23f) - 0x1.8p23f;
      const auto q = static_cast<std::int8_t>(std::clamp(rounded, -127.0f, 127.0f));
      group.q[q8_block * static_cast<std::int64_t>(block) + i] = q;
      sums[i / 16] += q;
    }
    set_block_sums(group, block, scale, sums[0], sums[1]);
  }
}

// b(i) is a float. Every product and every sum is rounded.
void to_f16(const float* x, std::uint16_t* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = quant::bits_of(quant::to_half(x[i]));
}

}  // namespace

const Kernels& portable_kernels() {
  static constexpr Kernels kernels =
      kernels_of<Portable, PortableVector>("portable", quantize, portable_dot_f32, to_f16);
  return kernels;
}

}  // namespace trine::cpu
