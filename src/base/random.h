#pragma once

#include <array>
#include <cstdint>

namespace trine {

// Philox4x32-10, a counter-based generator: 128 random bits as a pure function of (key, counter), so that any
// number can be drawn by any thread or device in any order. Only 32-bit integer arithmetic; GPU backends
// carry the same definition. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11);
// test vectors: Random123.
//
// Ten rounds on the counter (c0, c1, c2, c3) with the key (k0, k1):
//   (h0, l0) = 0xD2511F53 · c0, (h1, l1) = 0xCD9E8D57 · c2    high and low words of the 64-bit products
//   (c0, c1, c2, c3) = (h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0)
//   (k0, k1) += (0x9E3779B9, 0xBB67AE85)
using PhiloxBlock = std::array<std::uint32_t, 4>;

// `key` holds k0 in its low and k1 in its high word.
inline PhiloxBlock philox4x32(PhiloxBlock c, std::uint64_t key) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

// The n-th number of the sequence that `seed` names, in [0, 1) and a multiple of 2^-32: the first word of the
// block at counter (n low, n high, 0, 0), over 2^32.
inline double uniform_at(std::uint64_t seed, std::uint64_t n) {
  const PhiloxBlock block =
      philox4x32({static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32), 0, 0}, seed);
  return block[0] * 0x1p-32;
}

}  // namespace trine
