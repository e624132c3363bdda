#include "quant/float.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace trine::quant {
namespace {

Half half_of(std::uint32_t bits) {
  return std::bit_cast<Half>(static_cast<std::uint16_t>(bits));
}

// The value of a binary16 by the definition in IEEE 754, in double, where all of them are exact.
double value_of(std::uint32_t bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const int fraction = static_cast<int>(bits & 1023);
  if (exponent == 31) return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * HUGE_VAL;
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Half, EveryValueIsExact) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float actual = to_float(half_of(bits));
    const double expected = value_of(bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(actual)) << bits;
      EXPECT_EQ(std::bit_cast<std::uint32_t>(actual) >> 13 & 1023, bits & 1023) << "payload of " << bits;
    } else {
      EXPECT_EQ(static_cast<double>(actual), expected) << bits;
    }
    EXPECT_EQ(std::signbit(actual), (bits & 0x8000) != 0) << bits;
  }
}

TEST(Half, RoundTripsEveryValue) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const std::uint32_t back = bits_of(to_half(to_float(half_of(bits))));
    if (std::isnan(value_of(bits)))
      EXPECT_TRUE(std::isnan(value_of(back)) && (back & 0x8000) == (bits & 0x8000)) << bits;
    else
      EXPECT_EQ(back, bits);
  }
}

// Between two neighbours: exactly halfway goes to the even one, anything else to the nearer. The neighbour of
// the largest finite value is infinity, and the rule treats it as 65536.
TEST(Half, RoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const double low = value_of(bits);
    const double high = bits + 1 == 0x7C00 ? 65536.0 : value_of(bits + 1);
    const float middle = static_cast<float>((low + high) / 2);  // exact: one bit more than a half has
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    EXPECT_EQ(bits_of(to_half(middle)), bits % 2 ? bits + 1 : bits) << bits;
    EXPECT_EQ(bits_of(to_half(std::nextafter(middle, 0.0f))), bits) << bits;
    EXPECT_EQ(bits_of(to_half(std::nextafter(middle, HUGE_VALF))), bits + 1) << bits;
    EXPECT_EQ(bits_of(to_half(-middle)), 0x8000 | (bits % 2 ? bits + 1 : bits)) << bits;
  }
  EXPECT_EQ(bits_of(to_half(std::numeric_limits<float>::max())), 0x7C00);
  EXPECT_EQ(bits_of(to_half(-std::numeric_limits<float>::infinity())), 0xFC00);
  EXPECT_EQ(bits_of(to_half(std::numeric_limits<float>::denorm_min())), 0);
}

TEST(Half, ANanStaysANanWhateverItsPayload) {
  for (std::uint32_t bits : {0x7F800001u, 0xFF800001u, 0x7FC00000u, 0x7FFFFFFFu})
    EXPECT_TRUE(std::isnan(to_float(to_half(std::bit_cast<float>(bits))))) << bits;
}

TEST(Bfloat16, IsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = to_float(std::bit_cast<Bfloat16>(static_cast<std::uint16_t>(bits)));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(value), bits << 16);
    const std::uint32_t back = bits_of(to_bfloat16(value));
    EXPECT_EQ(back, std::isnan(value) ? bits | 0x40 : bits);
  }
}

TEST(Bfloat16, RoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7F80; ++bits) {
    const std::uint32_t middle = bits << 16 | 0x8000;
    EXPECT_EQ(bits_of(to_bfloat16(std::bit_cast<float>(middle))), bits + bits % 2);
    EXPECT_EQ(bits_of(to_bfloat16(std::bit_cast<float>(middle - 1))), bits);
    EXPECT_EQ(bits_of(to_bfloat16(std::bit_cast<float>(middle + 1))), bits + 1);
  }
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7F800001u)))));
}

}  // namespace
}  // namespace trine::quant
