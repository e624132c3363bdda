#include "contract/checks/checks.h"
#include "contract/checks/lab.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

// The experts as moe-expert-dispatch-v1 states them, on labs with random weights: what the backend's own MoE
// block makes of its own input, ids and weights (all read from the trace) against the definition in fp64.

namespace trine::contract {
namespace {

using model::Stage;

std::vector<std::int32_t> all_tokens(const Lab& lab) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(lab.vocab));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

Lab random_lab(std::int64_t n_experts, std::int64_t experts_per_token) {
  Lab lab(n_experts, experts_per_token, 32, 24);
  Lab::fill(lab.embed, 1, 1);
  Lab::fill(lab.router, 2, 0.5f);
  Lab::fill(lab.gate, 3, 0.25f);
  Lab::fill(lab.up, 4, 0.25f);
  Lab::fill(lab.down, 5, 0.25f);
  return lab;
}

double dot(const float* w, const float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(w[i]) * x[i];
  return sum;
}

// silu(W_gate g) ⊙ W_up g of one expert: [F].
std::vector<float> expected_act(Lab& lab, std::int64_t expert, const std::vector<float>& g) {
  std::vector<float> act;
  for (std::int64_t f = 0; f < lab.ffn; ++f) {
    const double gate = dot(lab.expert(lab.gate, expert) + f * Lab::hidden, g.data(), Lab::hidden);
    const double up = dot(lab.expert(lab.up, expert) + f * Lab::hidden, g.data(), Lab::hidden);
    act.push_back(static_cast<float>(gate / (1 + std::exp(-gate)) * up));
  }
  return act;
}

// Σ_k w_k · W_down^e act^e: [H].
std::vector<double> expected_out(Lab& lab, const Observed& observed, std::int64_t t) {
  const std::vector<float> g = observed.row(Stage::ffn_norm, t, Lab::hidden);
  const std::vector<std::int64_t> ids = observed.ids(t, lab.experts_per_token);
  const std::vector<float> weights = observed.row(Stage::expert_weights, t, lab.experts_per_token);
  std::vector<double> out(static_cast<std::size_t>(Lab::hidden));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= lab.n_experts)
      return std::vector<double>(out.size(), std::numeric_limits<double>::quiet_NaN());
    const std::vector<float> act = expected_act(lab, ids[i], g);
    for (std::int64_t h = 0; h < Lab::hidden; ++h)
      out[static_cast<std::size_t>(h)] +=
          weights[i] * dot(lab.expert(lab.down, ids[i]) + h * lab.ffn, act.data(), lab.ffn);
  }
  return out;
}

template <typename Expected>
double relative_l2(const std::vector<float>& actual, const Expected& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double e = expected[i], d = actual[i] - e;
    difference += d * d;
    norm += e * e;
  }
  return std::sqrt(difference / norm);
}

// Sums of 64 products in fp32 err by at most 64 · 2^-24 ≈ 4e-6 of their terms' size, of which the contract
// makes 1e-5.
void judge_moe_out(Lab& lab, const Observed& observed, std::string_view check, Judge& judge) {
  for (std::int64_t t = 0; t < lab.vocab; ++t)
    judge.sample("moe_out relative L2",
                 relative_l2(observed.row(Stage::moe_out, t, Lab::hidden), expected_out(lab, observed, t)));
  judge.hold(stated_bounds(check));
}

CheckResult dense(const CheckContext& context) {
  Lab lab = random_lab(1, 1);
  return judge_lab(context, lab, [&](const Observed& observed, Judge& judge) {
    judge_moe_out(lab, observed, "dispatch.dense", judge);
    for (std::int64_t t = 0; t < lab.vocab; ++t)
      judge.expect(observed.row(Stage::expert_weights, t, 1)[0] == 1.0f, "the only expert has weight 1");
  });
}

CheckResult combine_experts(const CheckContext& context) {
  Lab lab = random_lab(8, 4);
  return judge_lab(context, lab, [&](const Observed& observed, Judge& judge) {
    judge_moe_out(lab, observed, "dispatch.weighted-sum", judge);
  });
}

// The same experts under other ids. Their outputs are of very different size and sign, so that in fp32 a sum
// in the order of the ids, or in no order, would change bits.
CheckResult rank_order(const CheckContext& context) {
  Lab lab = random_lab(8, 4);
  for (std::int64_t e = 0; e < lab.n_experts; ++e)
    for (std::int64_t i = 0; i < lab.ffn * Lab::hidden; ++i)
      lab.expert(lab.down, e)[i] *= e % 2 == 0 ? 1000 : -1.0f / 7;
  Lab relabelled = lab;
  for (std::int64_t e = 0; e < lab.n_experts; ++e) {
    const std::int64_t to = (3 * e + 5) % lab.n_experts;
    std::copy_n(lab.router.begin() + e * Lab::hidden, Lab::hidden,
                relabelled.router.begin() + to * Lab::hidden);
    for (auto matrix : {&Lab::gate, &Lab::up, &Lab::down})
      std::copy_n(lab.expert(lab.*matrix, e), lab.ffn * Lab::hidden,
                  relabelled.expert(relabelled.*matrix, to));
  }
  const auto first = make_model(lab);
  const auto second = make_model(relabelled);
  if (!first || !second) return not_run(to_string((first ? second : first).error()));
  Judge judge;
  for (const model::Numerics numerics : numerics_of(context)) {
    const auto a = observe(context, numerics, *first, all_tokens(lab));
    const auto b = observe(context, numerics, *second, all_tokens(lab));
    if (!a || !b) return failed_with((a ? b : a).error());
    double rank_differs_from_id = 0;
    for (std::int64_t t = 0; t < lab.vocab; ++t) {
      const std::vector<std::int64_t> ids = b->ids(t, lab.experts_per_token);
      rank_differs_from_id += std::is_sorted(ids.begin(), ids.end()) ? 0 : 1;
      const std::vector<float> x = a->row(Stage::moe_out, t, Lab::hidden);
      const std::vector<float> y = b->row(Stage::moe_out, t, Lab::hidden);
      double bits = 0;
      for (std::size_t i = 0; i < x.size(); ++i) bits += x[i] == y[i] ? 0 : 1;
      judge.sample("values that relabelling changes", bits);
    }
    judge.expect(rank_differs_from_id > 0, "some token's experts are not in the order of their ids");
  }
  judge.hold(stated_bounds("dispatch.rank-order"));
  return judge.result();
}

// No router output, NaN included, makes an id that no expert has; what cannot be computed shows as NaN.
CheckResult range(const CheckContext& context) {
  Judge judge;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const std::int64_t spoiled : {0, 3, 7}) {
      Lab lab = random_lab(8, 4);
      std::fill_n(lab.router.begin() + spoiled * Lab::hidden, Lab::hidden, bad);
      const auto model = make_model(lab);
      if (!model) return not_run(to_string(model.error()));
      for (const model::Numerics numerics : numerics_of(context)) {
        const auto observed = observe(context, numerics, *model, all_tokens(lab));
        if (!observed) return failed_with(observed.error());
        for (std::int64_t t = 0; t < lab.vocab; ++t) {
          const std::vector<std::int64_t> ids = observed->ids(t, lab.experts_per_token);
          const std::set<std::int64_t> distinct(ids.begin(), ids.end());
          judge.expect(
              distinct.size() == ids.size() && *distinct.begin() >= 0 && *distinct.rbegin() < lab.n_experts,
              "expert ids are distinct and below the number of experts");
          const std::vector<float> logits = observed->row(Stage::router_logits, t, lab.n_experts);
          if (!std::isnan(logits[static_cast<std::size_t>(spoiled)])) continue;
          const std::vector<float> out = observed->row(Stage::moe_out, t, Lab::hidden);
          judge.expect(std::all_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }),
                       "a NaN of the router shows in the block's output");
        }
      }
    }
  }
  LabFile more;
  more.experts_per_token = 9;
  judge.expect(!make_model(random_lab(8, 4), more),
               "a file that asks for more experts than it has is refused");
  return judge.result();
}

CheckResult batch_independence(const CheckContext& context) {
  const Lab lab = random_lab(8, 4);
  const auto model = make_model(lab);
  if (!model) return not_run(to_string(model.error()));
  Judge judge;
  for (const model::Numerics numerics : numerics_of(context)) {
    const auto together = observe(context, numerics, *model, all_tokens(lab));
    if (!together) return failed_with(together.error());
    for (const std::int32_t t : {0, 7, 23}) {
      const auto alone = observe(context, numerics, *model, {t});
      if (!alone) return failed_with(alone.error());
      judge.expect(alone->ids(0, 4) == together->ids(t, 4), "a token's experts do not depend on its batch");
      judge.sample("moe_out relative L2", relative_l2(alone->row(Stage::moe_out, 0, Lab::hidden),
                                                      together->row(Stage::moe_out, t, Lab::hidden)));
    }
  }
  judge.hold(stated_bounds("dispatch.batch-independence"));
  return judge.result();
}

// Experts that the router never chooses hold NaN: whoever reads them shows it.
CheckResult laziness(const CheckContext& context) {
  Lab lab = random_lab(8, 3);
  Lab::fill(lab.embed, 1, 1);
  for (std::int64_t t = 0; t < lab.vocab; ++t) lab.embed[static_cast<std::size_t>(t * Lab::hidden)] = 4;
  for (std::int64_t e = 0; e < lab.n_experts; ++e)
    lab.router[static_cast<std::size_t>(e * Lab::hidden)] = e % 2 == 0 ? 20.0f : -20.0f;
  Lab poisoned = lab;
  for (std::int64_t e = 1; e < lab.n_experts; e += 2)
    for (auto matrix : {&Lab::gate, &Lab::up, &Lab::down})
      std::fill_n(poisoned.expert(poisoned.*matrix, e), lab.ffn * Lab::hidden,
                  std::numeric_limits<float>::quiet_NaN());
  return judge_lab(context, poisoned, [&](const Observed& observed, Judge& judge) {
    for (std::int64_t t = 0; t < lab.vocab; ++t)
      for (const std::int64_t id : observed.ids(t, lab.experts_per_token))
        judge.expect(id % 2 == 0, "the router chooses even experts only");
    judge_moe_out(lab, observed, "dispatch.laziness", judge);
  });
}

CheckResult expert_act(const CheckContext& context) {
  Lab lab = random_lab(8, 4);
  return judge_lab(context, lab, [&](const Observed& observed, Judge& judge) {
    for (std::int64_t t = 0; t < lab.vocab; ++t) {
      const std::vector<float> g = observed.row(Stage::ffn_norm, t, Lab::hidden);
      const std::vector<float> acts = observed.row(Stage::expert_act, t, lab.experts_per_token * lab.ffn);
      std::vector<float> expected;
      for (const std::int64_t id : observed.ids(t, lab.experts_per_token)) {
        const bool valid = id >= 0 && id < lab.n_experts;
        const std::vector<float> one = valid ? expected_act(lab, id, g)
                                             : std::vector<float>(static_cast<std::size_t>(lab.ffn),
                                                                  std::numeric_limits<float>::quiet_NaN());
        expected.insert(expected.end(), one.begin(), one.end());
      }
      judge.sample("expert_act relative L2", relative_l2(acts, expected));
    }
    judge.hold(stated_bounds("dispatch.expert-act"));
  });
}

}  // namespace

void register_dispatch_checks(CheckRegistry& registry) {
  registry.add({"dispatch.dense",
                "a single expert gives what the dense feed-forward network of its weights gives", dense});
  registry.add({"dispatch.weighted-sum", "4 of 8 experts: the block's output against Σ w·expert in fp64",
                combine_experts});
  registry.add(
      {"dispatch.rank-order", "other ids for the same experts change no bit of the output", rank_order});
  registry.add({"dispatch.range",
                "NaN and infinite router weights make no id out of range and show as NaN; a file "
                "with k above E is refused",
                range});
  registry.add({"dispatch.batch-independence", "a token alone and among 23 others has the same output",
                batch_independence});
  registry.add(
      {"dispatch.laziness", "NaN in every expert that is not chosen leaves the output as it was", laziness});
  registry.add({"dispatch.expert-act", "silu(gate)·up of each chosen expert, in rank order, against fp64",
                expert_act});
}

}  // namespace trine::contract
