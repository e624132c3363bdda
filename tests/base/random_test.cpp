#include "base/random.h"

#include <gtest/gtest.h>
#include <array>

namespace trine {
namespace {

// Random123's kat_vectors: "philox4x32 10 <counter> <key> <output>".
TEST(Philox, MatchesRandom123KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// 0x6627e8d5 / 2^32, from the first vector.
TEST(UniformAt, IsTheFirstWordOverTwoToThe32) {
  EXPECT_DOUBLE_EQ(uniform_at(0, 0), 1713891541.0 / 4294967296.0);
}

TEST(UniformAt, UsesAllBitsOfSeedAndIndex) {
  const double here = uniform_at(1, 1);
  EXPECT_NE(here, uniform_at(1 + (1ull << 32), 1));
  EXPECT_NE(here, uniform_at(1, 1 + (1ull << 32)));
  EXPECT_NE(here, uniform_at(2, 1));
  EXPECT_NE(here, uniform_at(1, 2));
}

// Chi-square at significance 0.001: 16 bins have 15 degrees of freedom, critical value 37.70.
TEST(UniformAt, IsUniform) {
  constexpr int draws = 160000;
  std::array<int, 16> bins{};
  for (int n = 0; n < draws; ++n)
    ++bins[static_cast<std::size_t>(uniform_at(42, static_cast<std::uint64_t>(n)) * 16)];
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 37.70);
}

// Neighbouring draws, and the same draw under neighbouring seeds, fall on a 4×4 grid independently
// (15 degrees of freedom as above).
TEST(UniformAt, NeighboursAreIndependent) {
  std::array<int, 16> serial{};
  std::array<int, 16> seeds{};
  constexpr int draws = 160000;
  for (std::uint64_t n = 0; n < draws; ++n) {
    const auto cell = [](double u, double v) {
      return static_cast<std::size_t>(u * 4) * 4 + static_cast<std::size_t>(v * 4);
    };
    ++serial[cell(uniform_at(7, 2 * n), uniform_at(7, 2 * n + 1))];
    ++seeds[cell(uniform_at(2 * n, 3), uniform_at(2 * n + 1, 3))];
  }
  double serial_chi = 0;
  double seeds_chi = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    serial_chi += (serial[i] - 10000.0) * (serial[i] - 10000.0) / 10000.0;
    seeds_chi += (seeds[i] - 10000.0) * (seeds[i] - 10000.0) / 10000.0;
  }
  EXPECT_LT(serial_chi, 37.70);
  EXPECT_LT(seeds_chi, 37.70);
}

}  // namespace
}  // namespace trine
