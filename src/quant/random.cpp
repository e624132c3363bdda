#include "quant/random.h"

#include "base/check.h"
#include "base/random.h"
#include "quant/float.h"
#include "quant/k_quants.h"

#include <fmt/format.h>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace trine::quant {
namespace {

// 16 bytes; `n` counts within the block.
PhiloxBlock random_words(RandomStream stream, std::uint64_t block, std::uint32_t n) {
  return philox4x32(
      {n, static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), stream.stream},
      stream.seed);
}

// `bytes` must hold a multiple of 16.
void random_bytes(RandomStream stream, std::uint64_t block, std::uint8_t* bytes, std::size_t size) {
  for (std::size_t n = 0; n < size / sizeof(PhiloxBlock); ++n) {
    const PhiloxBlock words = random_words(stream, block, static_cast<std::uint32_t>(n));
    std::memcpy(bytes + n * sizeof words, words.data(), sizeof words);
  }
}

// Block scales: one of eight, evenly spread over base · [0.78, 1.22], chosen by three random bits.
// Root mean square: base · sqrt(1 + (8² − 1)/12 / 16²).
class BlockScales {
 public:
  // `unit` is the root mean square of a block's values at scale 1.
  BlockScales(double deviation, double unit) {
    const double base = deviation / unit / std::sqrt(1 + 5.25 / 256);
    for (int i = 0; i < 8; ++i) values_[static_cast<std::size_t>(i)] = base * (1 + (i - 3.5) / 16);
  }
  double operator[](std::uint8_t random) const { return values_[random & 7u]; }
  // Whether `factor` times every scale keeps at least 6 bits as a half, and stays finite.
  bool fit(double factor) const {
    return values_.front() * factor >= 0x1p-18 && values_.back() * factor < 65504;
  }

 private:
  std::array<double, 8> values_{};
};

constexpr double mean_square_of_scale_bits = 47.5 * 47.5 + 1023.0 / 12;  // uniform on 32 to 63
constexpr double variance_of_scale_bits = 1023.0 / 12;

// x = d·s·q − 7.5·d·m with q uniform on 0 to 15 and s, m independent and uniform on 32 to 63:
// E[x²]/d² = E[s²]·Var(q) + 7.5²·Var(s − m).
struct RandomQ4_K {
  using Block = BlockQ4_K;
  static double unit() {
    return std::sqrt(mean_square_of_scale_bits * 255.0 / 12 + 7.5 * 7.5 * 2 * variance_of_scale_bits);
  }
  static bool fit(const BlockScales& scales) { return scales.fit(1) && scales.fit(7.5); }
  explicit RandomQ4_K(const BlockScales& scales) {
    for (std::uint8_t i = 0; i < 8; ++i) {
      d_[i] = to_half(static_cast<float>(scales[i]));
      dmin_[i] = to_half(7.5f * to_float(d_[i]));  // of the rounded d, so that the mean stays 0
    }
  }

  void fill(RandomStream stream, std::uint64_t index, Block& block) const {
    static_assert(sizeof block % sizeof(PhiloxBlock) == 0);
    random_bytes(stream, index, reinterpret_cast<std::uint8_t*>(&block), sizeof block);
    const std::size_t choice = block.d.bytes[0] & 7u;
    block.d = d_[choice];
    block.dmin = dmin_[choice];
    // The top bit of each six-bit scale and min: bit 5 of the first four, bit 7 (packed apart) of the last
    // four.
    for (int i = 0; i < 8; ++i) block.scales[i] |= 0xA0;
  }

 private:
  std::array<Half, 8> d_{}, dmin_{};
};

// x = d·s·(q − 32) with q uniform on 0 to 63 and s uniform on −128 to −65 and 64 to 127:
// E[s²] = (E[s+²] + E[s−²])/2 around the means 95.5 and −96.5, E[(q − 32)²] = Var(q) + 0.5².
struct RandomQ6_K {
  using Block = BlockQ6_K;
  static double unit() {
    const double spread = (64.0 * 64 - 1) / 12;
    return std::sqrt(((95.5 * 95.5 + 96.5 * 96.5) / 2 + spread) * (spread + 0.25));
  }
  static bool fit(const BlockScales& scales) { return scales.fit(1); }
  explicit RandomQ6_K(const BlockScales& scales) {
    for (std::uint8_t i = 0; i < 8; ++i) d_[i] = to_half(static_cast<float>(scales[i]));
  }

  void fill(RandomStream stream, std::uint64_t index, Block& block) const {
    constexpr std::size_t whole = sizeof block / sizeof(PhiloxBlock) * sizeof(PhiloxBlock);
    static_assert(whole == offsetof(Block, d), "all but d is drawn");
    random_bytes(stream, index, reinterpret_cast<std::uint8_t*>(&block), whole);
    block.d = d_[random_words(stream, index, whole / sizeof(PhiloxBlock))[0] & 7u];
    // Bit 6 becomes the opposite of the sign, which makes the magnitude large.
    for (std::int8_t& scale : block.scales) {
      const auto bits = static_cast<std::uint8_t>(scale);
      scale = static_cast<std::int8_t>((bits & 0xBFu) | (~bits >> 1 & 0x40u));
    }
  }

 private:
  std::array<Half, 8> d_{};
};

template <typename Random>
Result<void> fill_blocks(double deviation, RandomStream stream, std::uint64_t first_block,
                         std::span<std::byte> out) {
  using Block = typename Random::Block;
  const BlockScales scales(deviation, Random::unit());
  if (!Random::fit(scales)) {
    return fail({.code = ErrorCode::validation_failed,
                 .what = "the deviation does not fit a half precision scale",
                 .actual = fmt::format("{}", deviation)});
  }
  check(out.size() % sizeof(Block) == 0, "fill_random needs whole blocks");
  const Random random(scales);
  auto* blocks = reinterpret_cast<Block*>(out.data());
  for (std::size_t i = 0; i < out.size() / sizeof(Block); ++i)
    random.fill(stream, first_block + i, blocks[i]);
  return {};
}

// Value n is word n mod 4 of random block n / 4: uniform on ±deviation·√3.
void fill_f32(double deviation, RandomStream stream, std::uint64_t first, std::span<std::byte> out) {
  check(out.size() % sizeof(float) == 0, "fill_random needs whole blocks");
  for (std::size_t i = 0; i < out.size() / sizeof(float); ++i) {
    const std::uint64_t n = first + i;
    const double uniform = random_words(stream, n / 4, 0)[n % 4] * 0x1p-31 - 1;
    const auto value = static_cast<float>(uniform * deviation * std::sqrt(3.0));
    std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
  }
}

}  // namespace

Result<void> fill_random(gguf::TensorType type, double deviation, RandomStream stream,
                         std::uint64_t first_block, std::span<std::byte> out) {
  switch (type) {
    case gguf::TensorType::F32:
      fill_f32(deviation, stream, first_block, out);
      return {};
    case gguf::TensorType::Q4_K:
      return fill_blocks<RandomQ4_K>(deviation, stream, first_block, out);
    case gguf::TensorType::Q6_K:
      return fill_blocks<RandomQ6_K>(deviation, stream, first_block, out);
    default:
      return fail({.code = ErrorCode::unsupported,
                   .what = "no random blocks of this type",
                   .expected = "F32, Q4_K or Q6_K",
                   .actual = std::string(gguf::info(type).name)});
  }
}

}  // namespace trine::quant
