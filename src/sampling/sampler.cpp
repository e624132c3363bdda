#include "sampling/sampler.h"

#include "base/check.h"
#include "base/random.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace trine::sampling {
namespace {

Error out_of_range(std::string_view name, std::string range, std::string actual) {
  return {.code = ErrorCode::usage,
          .what = fmt::format("sampling parameter {} is out of range", name),
          .where = std::string(name),
          .expected = std::move(range),
          .actual = std::move(actual)};
}

Result<void> require(bool ok, std::string_view name, std::string_view range, double actual) {
  if (ok) return {};
  return fail(out_of_range(name, std::string(range), fmt::format("{}", actual)));
}

// A prefix of the candidates in falling order of value, ties by rising id: all above `value` and the first
// `ties` at it.
struct Cut {
  float value;
  std::int64_t ties;
};

// Where the k largest of `values` end, 0 < k < values.size(). Linear: values that cannot be among the k
// largest are mostly skipped by one comparison, and a selection runs only when k more have been collected.
Cut largest(std::span<const float> values, std::size_t k, std::vector<float>& scratch) {
  const std::size_t room = 2 * k + 1024;
  scratch.clear();
  scratch.reserve(room);
  float floor = -std::numeric_limits<float>::infinity();
  const auto keep_k = [&] {
    const auto kth = scratch.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(scratch.begin(), kth, scratch.end(), std::greater<>());
    floor = *kth;
    scratch.resize(k);
  };
  for (const float value : values) {
    if (value < floor) continue;
    scratch.push_back(value);
    if (scratch.size() == room) keep_k();
  }
  keep_k();
  const auto above = std::count_if(scratch.begin(), scratch.end(), [&](float v) { return v > floor; });
  return {floor, static_cast<std::int64_t>(k) - above};
}

// Where the smallest set of largest weights whose sum reaches `share` of the whole ends. Linear: weights,
// which are positive and at most 1, are bucketed by exponent and four bits of mantissa, and only the bucket
// in which the sum is reached is looked into.
Cut heaviest(std::span<const float> weights, double share, std::vector<float>& scratch) {
  const auto bucket_of = [](float weight) { return std::bit_cast<std::uint32_t>(weight) >> 19; };
  std::array<double, (0x3f800000 >> 19) + 1> mass{};
  for (const float weight : weights) mass[bucket_of(weight)] += weight;
  double total = 0;
  for (const double m : mass) total += m;

  const double target = share * total;
  double sum = 0;
  std::size_t bucket = mass.size() - 1;  // holds 1, the best candidate's weight
  while (bucket > 0 && sum + mass[bucket] < target) sum += mass[bucket--];

  scratch.clear();
  for (const float weight : weights) {
    if (bucket_of(weight) == bucket) scratch.push_back(weight);
  }
  if (scratch.empty()) return {0.0f, 0};  // rounding: the target is the whole
  // Halves the range in which the sum is reached: all before `first` are heavier and counted, all from `last`
  // lighter.
  auto first = scratch.begin();
  auto last = scratch.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, std::greater<>());
    const double with_half = std::accumulate(first, middle, sum);
    if (with_half >= target) {
      last = middle;
    } else {
      sum = with_half;
      first = middle;
    }
  }
  return {*first, std::count(scratch.begin(), first + 1, *first)};
}

}  // namespace

Result<void> validate(const SamplingParams& params, std::int32_t vocab_size) {
  // Comparisons are written so that NaN fails them.
  TRINE_CHECK_OK(require(params.temperature >= 0 && params.temperature <= 100, "temperature", "0 to 100",
                         params.temperature));
  TRINE_CHECK_OK(require(params.top_k >= 0, "top_k", "0 (off) or more", params.top_k));
  TRINE_CHECK_OK(require(params.top_p >= 0 && params.top_p <= 1, "top_p", "0 to 1", params.top_p));
  TRINE_CHECK_OK(require(params.min_p >= 0 && params.min_p <= 1, "min_p", "0 to 1", params.min_p));
  TRINE_CHECK_OK(require(params.repeat_penalty > 0 && params.repeat_penalty <= 100, "repeat_penalty",
                         "above 0, up to 100", params.repeat_penalty));
  TRINE_CHECK_OK(require(std::abs(params.presence_penalty) <= 100, "presence_penalty", "-100 to 100",
                         params.presence_penalty));
  TRINE_CHECK_OK(require(std::abs(params.frequency_penalty) <= 100, "frequency_penalty", "-100 to 100",
                         params.frequency_penalty));
  TRINE_CHECK_OK(
      require(params.penalty_window >= -1, "penalty_window", "-1 (all) or more", params.penalty_window));
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return fail(out_of_range("logit_bias", fmt::format("token ids 0 to {}", vocab_size - 1),
                               fmt::format("{}", token)));
    }
    if (!std::isfinite(bias)) {
      return fail(out_of_range("logit_bias", "finite values", fmt::format("{} for token {}", bias, token)));
    }
  }
  return {};
}

Sampler::Sampler(SamplingParams params) : params_(std::move(params)) {
  for (const auto& [token, bias] : params_.logit_bias) bias_[token] += bias;
}

float Sampler::penalty_of(std::int32_t count) const {
  const float product = params_.frequency_penalty * static_cast<float>(count);
  return params_.presence_penalty + product;
}

void Sampler::note_seen(std::int32_t token) {
  if (params_.repeat_penalty == 1.0f || params_.penalty_window == 0) return;
  ++seen_[token];
  if (params_.penalty_window < 0) return;
  window_.push_back(token);
  if (window_.size() <= static_cast<std::size_t>(params_.penalty_window)) return;
  const auto oldest = seen_.find(window_.front());
  if (--oldest->second == 0) seen_.erase(oldest);
  window_.pop_front();
}

void Sampler::accept_prompt(std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens) note_seen(token);
}

void Sampler::note_chosen(std::int32_t token) {
  note_seen(token);
  ++generated_[token];
  ++draws_;
}

void Sampler::accept_chosen(std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens) note_chosen(token);
}

// Penalties, bias and mask; `logits` itself when there are none. Each operation is rounded by itself, in a
// statement of its own: compilers do not fuse across those, and so every device can give the same bits.
std::span<const float> Sampler::adjust(std::span<const float> logits) {
  const bool counts = params_.presence_penalty != 0 || params_.frequency_penalty != 0;
  if (seen_.empty() && !(counts && !generated_.empty()) && bias_.empty() && allowed_.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  const auto known = [&](std::int32_t token) {
    return token >= 0 && static_cast<std::size_t>(token) < adjusted_.size();
  };
  for (const auto& [token, count] : seen_) {
    if (!known(token)) continue;
    float& logit = adjusted_[static_cast<std::size_t>(token)];
    const float scale = logit > 0 ? 1.0f / params_.repeat_penalty : params_.repeat_penalty;
    logit *= scale;
  }
  for (const auto& [token, count] : generated_) {
    if (!counts || !known(token)) continue;
    const float cost = penalty_of(count);
    adjusted_[static_cast<std::size_t>(token)] -= cost;
  }
  for (const auto& [token, bias] : bias_) {
    if (known(token)) adjusted_[static_cast<std::size_t>(token)] += bias;
  }
  for (std::size_t id = 0; !allowed_.empty() && id < adjusted_.size(); ++id) {
    const bool is_allowed = ((allowed_[id / 32] >> (id % 32)) & 1) != 0;
    if (!is_allowed && !std::isnan(adjusted_[id])) adjusted_[id] = -std::numeric_limits<float>::infinity();
  }
  return adjusted_;
}

Result<Sampler::Best> Sampler::best_of(std::span<const float> logits) {
  float best = -std::numeric_limits<float>::infinity();
  std::size_t best_id = 0;
  bool has_nan = false;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    has_nan |= std::isnan(logits[id]);
    if (logits[id] > best) {
      best = logits[id];
      best_id = id;
    }
  }
  if (has_nan) return fail(ErrorCode::inference, "the model produced a logit that is not a number");
  if (!std::isfinite(best)) {
    return fail(ErrorCode::inference,
                best > 0 ? "the model produced an infinite logit" : "the model produced no finite logit");
  }
  return Best{static_cast<std::int32_t>(best_id), best};
}

Result<std::int32_t> Sampler::sample(std::span<const float> logits) {
  const std::span<const float> adjusted = adjust(logits);
  TRINE_TRY(const Best best, best_of(adjusted));
  std::int32_t token = best.id;
  if (!is_greedy()) {
    const double total = filter(adjusted, best.logit, params_.top_p, params_.min_p);
    token = ids_[place_of(uniform_at(params_.seed, draws_) * total)];
  }
  note_chosen(token);
  return token;
}

Result<std::set<std::int32_t>> Sampler::possible(std::span<const float> logits, double share) {
  const std::span<const float> adjusted = adjust(logits);
  TRINE_TRY(const Best best, best_of(adjusted));
  if (is_greedy()) return std::set<std::int32_t>{best.id};
  std::set<std::int32_t> tokens;
  const double u = uniform_at(params_.seed, draws_);
  for (const double by_top_p : {-share, 0.0, share})
    for (const double by_min_p : {-share, 0.0, share}) {
      const double top_p = params_.top_p < 1 ? params_.top_p + by_top_p : 1.0;
      const auto min_p = static_cast<float>(params_.min_p * (1 + by_min_p));
      const double total = filter(adjusted, best.logit, std::clamp(top_p, 0.0, 1.0), std::min(min_p, 1.0f));
      // Tokens of little weight lie side by side within the share: all of them, not only those at its ends.
      const auto first = static_cast<std::ptrdiff_t>(place_of((u - share) * total));
      const auto last = static_cast<std::ptrdiff_t>(place_of((u + share) * total));
      tokens.insert(ids_.begin() + first, ids_.begin() + last + 1);
    }
  return tokens;
}

double Sampler::filter(std::span<const float> logits, float best, double top_p, float min_p) {
  const auto keep = [](const Cut& cut, std::int64_t& ties, float value) {
    return value > cut.value || (value == cut.value && ties-- > 0);
  };
  // Devices may take subnormal numbers for 0.
  const float temperature = std::max(params_.temperature, std::numeric_limits<float>::min());
  const auto top_k = static_cast<std::size_t>(params_.top_k);
  Cut by_count{-std::numeric_limits<float>::infinity(), 0};
  if (top_k > 0 && top_k < logits.size()) by_count = largest(logits, top_k, scratch_);
  ids_.clear();
  weights_.clear();
  std::int64_t ties = by_count.ties;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (!keep(by_count, ties, logits[id])) continue;
    const float weight = std::exp((logits[id] - best) / temperature);
    if (weight == 0) continue;
    ids_.push_back(static_cast<std::int32_t>(id));
    weights_.push_back(weight);
  }

  Cut by_mass{0, 0};
  if (top_p < 1) by_mass = heaviest(weights_, top_p, scratch_);
  ties = by_mass.ties;
  double total = 0;
  std::size_t left = 0;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    if (!keep(by_mass, ties, weights_[i]) || weights_[i] < min_p) continue;
    ids_[left] = ids_[i];
    weights_[left++] = weights_[i];
    total += weights_[i];
  }

  check(left > 0, "a sampling filter dropped the best token");
  ids_.resize(left);
  weights_.resize(left);
  return total;
}

std::size_t Sampler::place_of(double target) const {
  double sum = 0;
  std::size_t place = 0;
  for (; place + 1 < weights_.size(); ++place) {
    sum += weights_[place];
    if (sum > target) break;
  }
  return place;
}

}  // namespace trine::sampling
