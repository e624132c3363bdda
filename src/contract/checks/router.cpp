#include "contract/checks/checks.h"
#include "contract/checks/lab.h"

#include <algorithm>
#include <cmath>
#include <numeric>

// The router as moe-router-v1 states it. Each token of a lab sees a row of logits that the check chose; what
// the backend's own router makes of them is compared with the definition, worked out here in fp64.

namespace trine::contract {
namespace {

using model::Stage;
using Rows = std::vector<std::vector<float>>;  // logits of each token

struct Expected {
  std::vector<std::int64_t> ids;
  std::vector<double> weights;
};

Expected choose(const std::vector<float>& logits, std::size_t k) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(logit - max);
  std::vector<double> p;
  for (const float logit : logits) p.push_back(std::exp(logit - max) / total);

  Expected expected;
  std::vector<std::int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  // By logit: where exp rounds two of them to one probability, the larger logit is still the larger.
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  expected.ids.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k));
  double chosen = 0;
  for (const std::int64_t id : expected.ids) chosen += p[static_cast<std::size_t>(id)];
  for (const std::int64_t id : expected.ids)
    expected.weights.push_back(p[static_cast<std::size_t>(id)] / chosen);
  return expected;
}

Lab router_lab(const Rows& rows, std::int64_t experts_per_token) {
  Lab lab(static_cast<std::int64_t>(rows[0].size()), experts_per_token, 32,
          static_cast<std::int64_t>(rows.size()));
  for (std::size_t t = 0; t < rows.size(); ++t)
    for (std::size_t e = 0; e < rows[t].size(); ++e)
      Lab::see(lab.router, static_cast<std::int64_t>(e), static_cast<std::int64_t>(t), rows[t][e]);
  return lab;
}

Rows random_rows(std::size_t n_experts, float scale) {
  std::vector<float> values(48 * n_experts);
  Lab::fill(values, 20240601, scale);
  Rows rows;
  for (std::size_t t = 0; t < 48; ++t)
    rows.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(t * n_experts),
                      values.begin() + static_cast<std::ptrdiff_t>((t + 1) * n_experts));
  return rows;
}

// What every check of the router compares; the rows differ.
void judge_rows(const Rows& rows, std::int64_t k, const Observed& observed, std::string_view check,
                Judge& judge) {
  const auto n_experts = static_cast<std::int64_t>(rows[0].size());
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    judge.expect(observed.row(Stage::router_logits, row, n_experts) == rows[t],
                 "the router's logits are W_r·g, exactly");
    const Expected expected = choose(rows[t], static_cast<std::size_t>(k));
    const std::vector<float> weights = observed.row(Stage::expert_weights, row, k);
    const std::vector<std::int64_t> ids = observed.ids(row, k);
    double sum = 0, ids_differ = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      judge.sample("weight error", std::abs(weights[i] - expected.weights[i]));
      sum += weights[i];
      ids_differ += ids[i] == expected.ids[i] ? 0 : 1;
    }
    judge.sample("weight sum error", std::abs(sum - 1));
    judge.sample("expert ids that differ", ids_differ);
  }
  judge.hold(stated_bounds("router.weights"));  // what the check itself states nothing of, too
  judge.hold(stated_bounds(check));
}

CheckResult judge_router(const CheckContext& context, std::string_view check, const Rows& rows,
                         std::int64_t k) {
  return judge_lab(context, router_lab(rows, k), [&](const Observed& observed, Judge& judge) {
    judge_rows(rows, k, observed, check, judge);
  });
}

CheckResult weights(const CheckContext& context) {
  return judge_router(context, "router.weights", random_rows(128, 6), 8);
}

// k = 1, some, and all experts: k distinct ids each, by falling logit.
CheckResult counts(const CheckContext& context) {
  const Rows rows = random_rows(16, 4);
  Judge judge;
  for (const std::int64_t k : {1, 5, 16}) {
    const auto model = make_model(router_lab(rows, k));
    if (!model) return not_run(to_string(model.error()));
    std::vector<std::int32_t> tokens(rows.size());
    std::iota(tokens.begin(), tokens.end(), 0);
    for (const model::Numerics numerics : numerics_of(context)) {
      const auto observed = observe(context, numerics, *model, tokens);
      if (!observed) return failed_with(observed.error());
      judge_rows(rows, k, *observed, "router.count", judge);
      const auto ids = observed->stages.find(Stage::expert_ids);
      judge.expect(
          ids != observed->stages.end() && ids->second.size() == rows.size() * static_cast<std::size_t>(k),
          "each token has exactly k experts");
    }
  }
  return judge.result();
}

CheckResult ties(const CheckContext& context) {
  const Rows rows = {
      {1, 5, 5, 5, 0, 5, 2, 3},                                    // more of the best than k
      {5, 1, 5, 7, 5, 5, 5, 5},                                    // the tie begins below the best
      {4, 3, 2, 1, 1, 1, 1, 1},                                    // the tie lies across the k-th place
      {-2, -2, -2, -2, -2, -2, -2, -2}, {0, 0, 0, 0, 9, 9, 9, 9},  // the best are the highest ids
      {1, 2, 1, 2, 1, 2, 1, 2},
  };
  return judge_router(context, "router.ties", rows, 4);
}

CheckResult large(const CheckContext& context) {
  const Rows rows = {
      {1000, -1000, 999, 1000, 0, 500, -500, 998},
      {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000},
      {-1000, -1000, -999, -1000, -1000, -1000, -1000, -1000},
      {1000, -1000, -1000, -1000, -1000, -1000, -1000, -1000},
      {0, 0, 0, 0, 0, 0, 0, 1000},
      // All but one have a probability of 0 in fp64 as well, and yet an order.
      {-900, 1000, -800, -850, -900, -870, -900, -860},
  };
  return judge_router(context, "router.large", rows, 3);
}

CheckResult zero_router(const CheckContext& context) {
  const std::int64_t k = 8;
  const Rows rows(4, std::vector<float>(128, 0.0f));
  return judge_lab(context, router_lab(rows, k), [&](const Observed& observed, Judge& judge) {
    judge_rows(rows, k, observed, "router.zero", judge);
    for (std::int64_t t = 0; t < 4; ++t)
      for (const float weight : observed.row(Stage::expert_weights, t, k))
        judge.sample("distance from 1/k", std::abs(weight - 1.0 / static_cast<double>(k)));
  });
}

}  // namespace

void register_router_checks(CheckRegistry& registry) {
  registry.add({"router.weights",
                "48 rows of random logits over 128 experts: ids and weights against an fp64 softmax",
                weights});
  registry.add(
      {"router.count", "1, 5 and all of 16 experts per token: exactly k ids, by falling logit", counts});
  registry.add(
      {"router.ties", "equal logits above, below and across the k-th place go to the lower id", ties});
  registry.add({"router.large", "logits of ±1000 give finite weights that sum to 1", large});
  registry.add({"router.zero", "a zero router gives experts 0 to k−1 a share of 1/k each", zero_router});
}

}  // namespace trine::contract
