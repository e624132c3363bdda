#include "device/kv_type.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace trine::device {
namespace {

// f16's largest number, less what rounding may add: up to 2.3 % of a product where its activations have
// become blocks of 8 bits, and next to nothing of sums.
constexpr double largest_safe = 65504 / 1.05;

std::vector<float> row_of(const model::Weight& weight, std::int64_t row = 0) {
  std::vector<float> values(static_cast<std::size_t>(weight.columns));
  weight.codec->decode_row(weight.row(row), values.size(), values.data());
  return values;
}

// A head after its norm is at most √D long before the norm's weights, and turning a pair makes neither longer
// than the pair.
double key_bound(const model::Weight& k_norm, double rope_scale) {
  double largest = 0;
  for (const float weight : row_of(k_norm)) {
    if (std::isnan(weight)) return weight;
    largest = std::max(largest, std::abs(double{weight}));
  }
  return std::sqrt(static_cast<double>(k_norm.columns)) * largest * rope_scale;
}

// A row after its norm is at most √H long before the norm's weights, so that its product with a row of W_v is
// at most that long times the row, with the norm's weights in it (Cauchy and Schwarz).
double value_bound(const model::Weight& attn_v, std::int64_t row, const std::vector<float>& norm) {
  const std::vector<float> weights = row_of(attn_v, row);
  // Sums that do not wait for each other: this is done for every value of every layer at each load.
  std::array<double, 8> squares = {};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double product = double{weights[i]} * double{norm[i]};
    squares[i % squares.size()] += product * product;
  }
  const double sum = std::accumulate(squares.begin(), squares.end(), 0.0);
  return std::sqrt(sum * static_cast<double>(attn_v.columns));
}

}  // namespace

bool kv_fits_f16(const model::Weights& weights, ThreadPool& pool) {
  const double rope_scale = std::abs(model::rope_table(weights.config).scale);
  std::atomic<bool> fits = true;
  for (const model::LayerWeights& w : weights.layers) {
    // Weights that are no numbers do not fit either.
    if (!(key_bound(w.attn_k_norm, rope_scale) <= largest_safe)) return false;
    const std::vector<float> norm = row_of(w.attn_norm);
    pool.parallel_for(w.attn_v.rows, 16, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row)
        if (!(value_bound(w.attn_v, row, norm) <= largest_safe)) fits = false;
    });
    if (!fits) return false;
  }
  return true;
}

KvType safe_kv_type(KvType wanted, const model::Weights& weights, int threads) {
  if (wanted != KvType::f16) return wanted;
  ThreadPool pool(threads);
  return kv_fits_f16(weights, pool) ? wanted : KvType::f32;
}

namespace {

tl::unexpected<Error> refuse(KvType asked, ErrorCode code, std::string what, std::string expected,
                             std::string hint) {
  return fail({.code = code,
               .what = std::move(what),
               .where = "--kv",
               .expected = std::move(expected),
               .actual = std::string(name_of(asked)),
               .hint = std::move(hint)});
}

}  // namespace

Result<void> check_kv_numerics(std::optional<KvType> asked, model::Numerics numerics) {
  if (!asked || *asked == KvType::f32 || numerics != model::Numerics::exact) return {};
  return refuse(*asked, ErrorCode::usage, "exact numerics keep keys and values as they were computed", "f32",
                "--numerics fast has the other types");
}

Result<KvType> choose_kv_type(std::optional<KvType> asked, model::Numerics numerics,
                              const model::Weights& weights, int threads) {
  if (!asked) return safe_kv_type(kv_type_for(numerics), weights, threads);
  TRINE_CHECK_OK(check_kv_numerics(asked, numerics));
  if (*asked == KvType::q8_0 && weights.config.head_dim % model::kv_q8_block != 0)
    return refuse(*asked, ErrorCode::usage,
                  fmt::format("heads of {} elements are no whole blocks of q8_0", weights.config.head_dim),
                  fmt::format("a head_dim that is a multiple of {}", model::kv_q8_block),
                  "f16, bf16 and f32 take heads of any size");
  if (*asked == KvType::f16 && safe_kv_type(*asked, weights, threads) != *asked)
    return refuse(*asked, ErrorCode::model_load,
                  "keys or values of this model may be larger than f16 has numbers for",
                  "a type with the range of f32", "bf16 has it at the same size, f32 and q8_0 too");
  return *asked;
}

}  // namespace trine::device
