#include "contract/checks/checks.h"
#include "contract/checks/lab.h"

#include <cmath>
#include <utility>

// silu(g)·u as swiglu-kernel-v1 states it: the backend's own kernel is handed exact pairs (g, u), one per
// hidden unit of a single expert, and its results are read from the expert_act stage.

namespace trine::contract {
namespace {

constexpr std::int64_t ffn = 64;

using Pairs = std::vector<std::pair<float, float>>;  // (g, u)

double silu(double g) {
  return g / (1 + std::exp(-g));
}

// Calls judge_one(g, u, silu(g)·u as the backend has it) for every pair.
template <typename JudgeOne>
CheckResult judge_pairs(const CheckContext& context, std::string_view check, const Pairs& pairs,
                        const JudgeOne& judge_one) {
  Lab lab(1, 1, ffn, (static_cast<std::int64_t>(pairs.size()) + ffn - 1) / ffn);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto token = static_cast<std::int64_t>(i) / ffn, unit = static_cast<std::int64_t>(i) % ffn;
    Lab::see(lab.gate, unit, token, pairs[i].first);
    Lab::see(lab.up, unit, token, pairs[i].second);
  }
  return judge_lab(context, lab, [&](const Observed& observed, Judge& judge) {
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const auto token = static_cast<std::int64_t>(i) / ffn;
      const std::vector<float> act = observed.row(model::Stage::expert_act, token, ffn);
      judge_one(pairs[i].first, pairs[i].second, act[i % ffn], judge);
    }
    judge.hold(stated_bounds(check));
  });
}

// g from −16 to 16 in steps of 1/8, with several u each.
Pairs grid() {
  Pairs pairs;
  int i = 0;
  for (float g = -16; g <= 16; g += 0.125f)
    for (const float u : {1.0f, -0.75f, 3.5f})
      pairs.emplace_back(g, u * (1 + 0.01f * static_cast<float>(i++ % 7)));
  return pairs;
}

// exp errs by up to 3 + 2·|g| units in the last place on a GPU (WGSL, "Accuracy of expressions"), that is
// 35 · 1.2e-7 at |g| = 16; with the other operations 5e-6.
CheckResult formula(const CheckContext& context) {
  return judge_pairs(context, "swiglu.formula", grid(), [](float g, float u, double act, Judge& judge) {
    if (g != 0) judge.sample("relative error", std::abs(act - silu(g) * u) / std::abs(silu(g) * u));
  });
}

CheckResult zero_gate_or_up(const CheckContext& context) {
  return judge_pairs(
      context, "swiglu.zero", {{0, 1}, {0, -3}, {0, 1e30f}, {5, 0}, {-5, 0}},
      [](float, float, double act, Judge& judge) { judge.sample("absolute value", std::abs(act)); });
}

CheckResult large_positive(const CheckContext& context) {
  return judge_pairs(context, "swiglu.large-positive",
                     {{40, 1}, {100, -2}, {1000, 3}, {1e4f, 1}, {1e6f, -0.5f}, {1e15f, 2}},
                     [](float g, float u, double act, Judge& judge) {
                       judge.sample("relative error", std::abs(act / (static_cast<double>(g) * u) - 1));
                     });
}

CheckResult large_negative(const CheckContext& context) {
  return judge_pairs(
      context, "swiglu.large-negative",
      {{-100, 1}, {-100, -2}, {-1000, 3}, {-1e4f, 1}, {-1e6f, -0.5f}, {-1e15f, 2}},
      [](float, float, double act, Judge& judge) { judge.sample("absolute value", std::abs(act)); });
}

// silu has its minimum, −0.2784645…, where 1 + e^g·(… )′ vanishes: g = −1.2784645….
CheckResult lower_bound(const CheckContext& context) {
  Pairs pairs;
  for (float g = -20; g <= 0; g += 0.0625f) pairs.emplace_back(g, 1.0f);
  pairs.emplace_back(-1.2784645f, 1.0f);
  return judge_pairs(context, "swiglu.lower-bound", pairs,
                     [](float, float, double act, Judge& judge) { judge.sample("silu", act); });
}

CheckResult sign(const CheckContext& context) {
  return judge_pairs(context, "swiglu.sign", grid(), [](float g, float u, double act, Judge& judge) {
    const double product = static_cast<double>(g) * u;
    judge.expect(product == 0 || (act > 0) == (product > 0), "silu(g)·u has the sign of g·u");
  });
}

// Pairs of the same g follow each other: u, −u, 2u.
CheckResult linear_in_up(const CheckContext& context) {
  Pairs pairs;
  for (float g = -16; g <= 16; g += 0.25f)
    for (const float u : {1.25f, -1.25f, 2.5f}) pairs.emplace_back(g, u);
  std::size_t at = 0;
  double first = 0;
  return judge_pairs(context, "swiglu.linear-in-up", pairs, [&](float, float u, double act, Judge& judge) {
    if (at++ % 3 == 0)
      first = act;
    else
      judge.expect(act == first * (u / 1.25), "silu(g)·(c·u) = c·(silu(g)·u) for c of −1 and 2");
  });
}

// silu(g) − silu(−g) = g, which no approximation of either half alone satisfies.
CheckResult identity(const CheckContext& context) {
  Pairs pairs;
  for (float g = 0.0625f; g <= 16; g += 0.0625f) {
    pairs.emplace_back(g, 1.0f);
    pairs.emplace_back(-g, 1.0f);
  }
  std::size_t at = 0;
  double positive = 0;
  return judge_pairs(context, "swiglu.identity", pairs, [&](float g, float, double act, Judge& judge) {
    if (at++ % 2 == 0)
      positive = act;
    else
      judge.sample("relative error", std::abs(positive - act + g) / std::abs(g));
  });
}

}  // namespace

void register_swiglu_checks(CheckRegistry& registry) {
  registry.add({"swiglu.formula", "g/(1+e^−g)·u on a grid of |g| ≤ 16 against fp64", formula});
  registry.add({"swiglu.zero", "exactly 0 where g or u is 0", zero_gate_or_up});
  registry.add({"swiglu.large-positive", "g·u for g from 40 to 1e15, without overflow", large_positive});
  registry.add({"swiglu.large-negative", "0 for g from −100 to −1e15, and never NaN", large_negative});
  registry.add({"swiglu.lower-bound", "silu stays above its minimum of −0.27846", lower_bound});
  registry.add({"swiglu.sign", "the sign is that of g·u", sign});
  registry.add({"swiglu.linear-in-up", "doubling or negating u does the same to the result, to the bit",
                linear_in_up});
  registry.add({"swiglu.identity", "silu(g) − silu(−g) = g", identity});
}

}  // namespace trine::contract
