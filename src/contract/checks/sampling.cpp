#include "base/random.h"
#include "contract/checks/checks.h"
#include "contract/judge/judge.h"
#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

// The checks of sampling-v1, of the rules that every device follows.

namespace trine::contract {
namespace {

using sampling::Sampler;
using sampling::SamplingParams;

constexpr std::size_t vocab = 400;

std::vector<float> random_logits(std::uint64_t seed) {
  std::vector<float> logits;
  for (std::size_t i = 0; i < vocab; ++i) logits.push_back(static_cast<float>(8 * uniform_at(seed, i) - 4));
  return logits;
}

CheckResult greedy(const CheckContext&) {
  Judge judge;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> logits = random_logits(seed);
    // The largest stands at two places, in either half.
    const std::size_t first = seed % (vocab / 2), second = vocab / 2 + seed * 7 % (vocab / 2);
    logits[first] = logits[second] = 9;
    SamplingParams cold, narrow;
    cold.temperature = 0;
    narrow.top_k = 1;
    cold.seed = narrow.seed = seed;
    for (const SamplingParams& params : {cold, narrow}) {
      const auto token = Sampler(params).sample(logits);
      judge.sample("choices that differ", token && static_cast<std::size_t>(*token) == first ? 0 : 1);
    }
  }
  judge.hold(stated_bounds("sampling.greedy"));
  return judge.result();
}

CheckResult seeded(const CheckContext&) {
  SamplingParams params;
  params.temperature = 1;
  params.seed = 12345;
  Sampler one(params), two(params);
  params.seed = 54321;
  Sampler other(params);
  Judge judge;
  int others = 0;
  for (std::uint64_t n = 0; n < 400; ++n) {
    const std::vector<float> logits = random_logits(n);
    const auto a = one.sample(logits), b = two.sample(logits), c = other.sample(logits);
    if (!a || !b || !c) return failed_with((!a ? a : !b ? b : c).error());
    judge.sample("tokens that differ", *a == *b ? 0 : 1);
    others += *a == *c ? 0 : 1;
  }
  judge.hold(stated_bounds("sampling.seeded"));
  judge.expect(others > 200, "another seed draws other tokens");
  return judge.result();
}

struct Filtered {
  SamplingParams params;
  std::vector<double> odds;  // of what is left, not normalised; 0 for what the filter drops
};

// Logits are ln(8, 4, 2, 1, 1): probabilities 1/2, 1/4, 1/8, 1/16, 1/16.
std::vector<Filtered> filters() {
  SamplingParams plain;
  plain.temperature = 1;
  plain.seed = 7;
  std::vector<Filtered> all = {{plain, {8, 4, 2, 1, 1}}};
  Filtered hot{plain, {std::sqrt(8.0), 2, std::sqrt(2.0), 1, 1}};
  hot.params.temperature = 2;
  Filtered top_k{plain, {8, 4, 0, 0, 0}};
  top_k.params.top_k = 2;
  Filtered top_p{plain, {8, 4, 2, 0, 0}};
  top_p.params.top_p = 0.8f;
  Filtered min_p{plain, {8, 4, 2, 0, 0}};
  min_p.params.min_p = 0.2f;
  all.insert(all.end(), {hot, top_k, top_p, min_p});
  return all;
}

CheckResult distribution(const CheckContext&) {
  std::vector<float> logits;
  for (const double odds : {8.0, 4.0, 2.0, 1.0, 1.0}) logits.push_back(static_cast<float>(std::log(odds)));
  constexpr int draws = 20000;
  Judge judge;
  for (const Filtered& filter : filters()) {
    Sampler sampler(filter.params);
    std::vector<double> counts(logits.size());
    for (int i = 0; i < draws; ++i) {
      const auto token = sampler.sample(logits);
      if (!token) return failed_with(token.error());
      ++counts.at(static_cast<std::size_t>(*token));
    }
    double total = 0;
    for (const double odds : filter.odds) total += odds;
    for (std::size_t id = 0; id < counts.size(); ++id) {
      const double p = filter.odds[id] / total;
      if (p == 0)
        judge.sample("draws of filtered tokens", counts[id]);
      else
        judge.sample("deviations from the expected frequency",
                     std::abs(counts[id] - draws * p) / std::sqrt(draws * p * (1 - p)));
    }
  }
  judge.hold(stated_bounds("sampling.distribution"));
  return judge.result();
}

CheckResult sampling_refusals(const CheckContext&) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  Judge judge;
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    for (const std::vector<float>& logits :
         {std::vector<float>{1, nan, 2}, {nan, nan, nan}, {-inf, -inf, -inf}, {1, inf, 2}})
      judge.expect(!Sampler(params).sample(logits), "logits that are no numbers are an error");
    const auto token = Sampler(params).sample(std::vector<float>{-inf, 0, -inf});
    judge.expect(token && *token == 1, "a logit of −infinity is never chosen");
  }
  const auto refused = [&](void (*spoil)(SamplingParams&), std::string_view statement) {
    SamplingParams params;
    spoil(params);
    judge.expect(!sampling::validate(params, 100), statement);
  };
  judge.expect(sampling::validate(SamplingParams{}, 100).has_value(), "the defaults are valid");
  refused([](SamplingParams& p) { p.temperature = -1; }, "a negative temperature is refused");
  refused([](SamplingParams& p) { p.temperature = nan; }, "a temperature of NaN is refused");
  refused([](SamplingParams& p) { p.top_k = -1; }, "a negative top_k is refused");
  refused([](SamplingParams& p) { p.top_p = 1.5f; }, "a top_p above 1 is refused");
  refused([](SamplingParams& p) { p.top_p = nan; }, "a top_p of NaN is refused");
  refused([](SamplingParams& p) { p.min_p = -0.1f; }, "a negative min_p is refused");
  return judge.result();
}

}  // namespace

void register_sampling_checks(CheckRegistry& registry) {
  registry.add({"sampling.greedy",
                "temperature 0 and top_k 1 choose the largest logit, the lower id on a tie", greedy});
  registry.add({"sampling.seeded", "two samplers of one seed draw the same tokens, another seed draws others",
                seeded});
  registry.add({"sampling.distribution",
                "draws follow the softmax that temperature, top-k, top-p and min-p define", distribution});
  registry.add({"sampling.refusals", "NaN logits and parameters out of range are errors, never a token",
                sampling_refusals});
}

}  // namespace trine::contract
