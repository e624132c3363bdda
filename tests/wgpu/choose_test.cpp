// The kernels that choose tokens, alone: against the host's sampler over logits of many kinds.
#include "wgpu/choose.h"

#include "loaded_model.h"
#include "step_helpers.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

namespace trine::test {
namespace {

using model::Wants;
using sampling::Sampler;
using sampling::SamplingParams;
using Floats = std::vector<float>;
using Tokens = std::vector<std::int32_t>;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// Slots of a vocabulary, and logits that the test makes up.
class Chooser {
 public:
  Chooser(wgpu::Gpu& gpu, std::int32_t vocab, std::int32_t slots) : gpu_(gpu), kernels_(gpu) {
    config_ = LoadedModel(models_dir + "tiny/tiny-F16.gguf").weights.config;
    config_.vocab_size = vocab;
    work_ = value_of(wgpu::Workspace::create(
        gpu, config_, wgpu::plan_capacity(config_, kernels_.tuning(), gpu.limits(), 256, slots)));
    ops_ = value_of(wgpu::make_choose({kernels_, work_, config_, model::Numerics::fast}));
    slots_ = std::make_unique<wgpu::Slots>(gpu, work_, vocab);
    entries_.resize(static_cast<std::size_t>(slots));
  }

  void open(std::int32_t slot, const model::Choosing& choosing, std::vector<std::uint32_t> allowed = {}) {
    model::Slot& entry = entries_[static_cast<std::size_t>(slot)];
    entry.choosing = choosing;
    entry.allowed = std::move(allowed);
    must(slots_->place_choosing(slot, entry));
    must(slots_->place_allowed(slot, entry));
  }
  void allow(std::int32_t slot, std::vector<std::uint32_t> allowed) {
    entries_[static_cast<std::size_t>(slot)].allowed = std::move(allowed);
    must(slots_->place_allowed(slot, entries_[static_cast<std::size_t>(slot)]));
  }

  // The tokens chosen by these slots, each from its logits; -1 for none. One slice.
  Tokens choose(const Tokens& slots, const std::vector<Floats>& logits,
                const std::vector<std::uint64_t>& draws) {
    const auto n = static_cast<std::uint32_t>(slots.size());
    EXPECT_LE(n, work_.capacity.logits_rows);
    model::Step step;
    std::vector<std::uint32_t> choices;
    Floats all;
    for (std::size_t i = 0; i < n; ++i) {
      step.rows.push_back({1, 0, slots[i], Wants::token});
      choices.insert(choices.end(),
                     {static_cast<std::uint32_t>(slots[i]), static_cast<std::uint32_t>(draws[i]),
                      static_cast<std::uint32_t>(draws[i] >> 32), 1});
      all.insert(all.end(), logits[i].begin(), logits[i].end());
    }
    model::StepPlan plan{.rows = step.rows, .slots = entries_};
    for (std::uint32_t i = 0; i < n; ++i) plan.head_rows.push_back(static_cast<std::int32_t>(i));
    wgpu::Step header;
    header.n_rows = header.n_logits = n;
    must(gpu_.write(work_.step, 0, std::as_bytes(std::span(&header, 1))));
    must(gpu_.write(work_.choices, 0, wgpu::bytes_of(choices)));
    must(gpu_.write(work_.logits, 0, wgpu::bytes_of(all)));
    wgpu::Pass pass{.config = config_,
                    .gpu = gpu_,
                    .work = work_,
                    .plan = plan,
                    .trace = nullptr,
                    .commands = gpu_.record(),
                    .n_rows = n,
                    .n_logits = n};
    wgpu::record_choice(pass, ops_, *slots_, 0, n);
    must(gpu_.submit(std::move(pass.commands)));
    const auto last = wgpu::read_values<std::int32_t>(gpu_, work_.last_choices, entries_.size());
    Tokens tokens;
    for (const std::int32_t slot : slots) tokens.push_back(last[static_cast<std::size_t>(slot)]);
    return tokens;
  }

  // What became of the logits of the first row.
  Floats adjusted() {
    return wgpu::read_values<float>(gpu_, work_.logits, static_cast<std::size_t>(config_.vocab_size));
  }

 private:
  static void must(const Result<void>& result) { EXPECT_TRUE(result) << to_string(result.error()); }
  static void must(const Result<wgpu::Submission>& result) {
    EXPECT_TRUE(result) << to_string(result.error());
  }

  wgpu::Gpu& gpu_;
  wgpu::KernelCache kernels_;
  model::Config config_;
  wgpu::Workspace work_;
  wgpu::ChooseOps ops_;
  std::unique_ptr<wgpu::Slots> slots_;
  std::vector<model::Slot> entries_;
};

// Many of the same value, so that ties are met.
Floats random_logits(std::mt19937& random, std::size_t n) {
  std::normal_distribution<float> normal(0, 4);
  Floats logits(n);
  for (float& logit : logits) logit = std::round(normal(random) * 8) / 8;
  return logits;
}

Tokens random_tokens(std::mt19937& random, std::size_t n, std::int32_t below) {
  std::uniform_int_distribution<std::int32_t> any(0, below - 1);
  Tokens tokens(n);
  for (std::int32_t& token : tokens) token = any(random);
  return tokens;
}

std::vector<std::uint32_t> random_mask(std::mt19937& random, std::size_t vocab) {
  std::vector<std::uint32_t> mask((vocab + 31) / 32);
  for (std::uint32_t& word : mask) word = static_cast<std::uint32_t>(random());
  return mask;
}

// What people set, and what is at the edge.
std::vector<SamplingParams> many_params(std::int32_t vocab) {
  std::vector<SamplingParams> all(16);
  const auto set = [&](std::size_t i, float temperature, std::int32_t top_k, float top_p, float min_p) {
    all[i].temperature = temperature;
    all[i].top_k = top_k;
    all[i].top_p = top_p;
    all[i].min_p = min_p;
    all[i].seed = 0xfedcba9876543210 + i;
  };
  const auto penalise = [&](std::size_t i, float repeat, std::int32_t window, float presence,
                            float frequency) {
    all[i].repeat_penalty = repeat;
    all[i].penalty_window = window;
    all[i].presence_penalty = presence;
    all[i].frequency_penalty = frequency;
  };
  set(0, 0.7f, 20, 0.8f, 0), penalise(0, 1.05f, 64, 0, 0);
  set(1, 0, 0, 1, 0), penalise(1, 1.3f, 5, 0.5f, 0.3f);
  set(2, 1, 0, 1, 0);
  set(3, 1.5f, 0, 1, 0.2f), penalise(3, 1.2f, -1, 0, 0);
  set(4, 0.3f, 0, 0.9f, 0), penalise(4, 1.1f, 0, 0, 0.7f);
  set(5, 2, 1, 1, 0), penalise(5, 2, 1, 0, 0);
  set(6, 0.8f, 5, 1, 0), penalise(6, 1, 64, -0.4f, 0.1f);
  set(7, 1, vocab, 0, 0);
  set(8, 100, 0, 1, 0), penalise(8, 0.5f, 64, 1, -0.2f);
  set(9, 0.9f, 40, 0.95f, 0.05f), penalise(9, 1.05f, 64, 0.1f, 0.1f);
  set(10, 1e-40f, 0, 1, 0);
  set(11, 1.3f, 64, 0.99f, 0), penalise(11, 1.7f, 3, 0, 0);
  set(12, 1.3f, 65, 0.99f, 0), penalise(12, 1.7f, -1, 0.2f, 0.2f);
  set(13, 3, 200, 1, 0.01f);
  set(14, 0, 0, 1, 0);
  set(15, 1, vocab + 5, 0.5f, 0);
  all[9].logit_bias = {{3, 2.5f}, {vocab - 1, -100.0f}, {3, 1.25f}, {7, 0.1f}, {3, -0.3f}};
  all[14].logit_bias = {{vocab / 2, 9.75f}, {1, 1e-3f}};
  return all;
}

using Choose = wgpu::GpuTest;

// Sixteen slots with rules of their own, side by side in each step, with histories and masks that change.
TEST_F(Choose, WhatTheSamplerChooses) {
  constexpr std::size_t n_slots = 16;
  for (const std::int32_t vocab : {40, 517, 20011}) {
    SCOPED_TRACE(vocab);
    const auto size = static_cast<std::size_t>(vocab);
    std::mt19937 random(static_cast<std::uint32_t>(vocab));
    Chooser chooser(gpu(), vocab, n_slots);
    const std::vector<SamplingParams> params = many_params(vocab);
    std::vector<Sampler> samplers;
    Tokens slots;
    std::vector<std::uint64_t> draws;
    for (std::size_t i = 0; i < n_slots; ++i) {
      const auto slot = static_cast<std::int32_t>(i);
      const model::Choosing choosing{params[i], random_tokens(random, 7 * i, vocab),
                                     random_tokens(random, i, 40)};
      slots.push_back(slot);
      draws.push_back(choosing.chosen.size());
      samplers.emplace_back(params[i]);
      samplers.back().accept_prompt(choosing.prompt);
      samplers.back().accept_chosen(choosing.chosen);
      chooser.open(slot, choosing);
    }
    const int steps = vocab > 10000 ? 6 : 30;
    for (int step = 0; step < steps; ++step) {
      std::vector<Floats> logits;
      for (std::size_t i = 0; i < n_slots; ++i) logits.push_back(random_logits(random, size));
      if (step % 5 == 2) {  // one slot's mask comes, changes or goes
        const std::size_t slot = random() % n_slots;
        const std::vector<std::uint32_t> mask =
            random() % 3 == 0 ? std::vector<std::uint32_t>() : random_mask(random, size);
        chooser.allow(static_cast<std::int32_t>(slot), mask);
        samplers[slot].allow(mask);
      }
      const Tokens chosen = chooser.choose(slots, logits, draws);
      for (std::size_t i = 0; i < n_slots; ++i) {
        ASSERT_EQ(chosen[i], value_of(samplers[i].sample(logits[i]))) << "slot " << i << ", step " << step;
        ++draws[i];
      }
    }
  }
}

// A slot chooses alone what it chooses among others, and by rules that come later as by those it began with.
TEST_F(Choose, NeighboursAndWhatWasBeforeChangeNothing) {
  constexpr std::int32_t vocab = 517;
  const std::vector<SamplingParams> params = many_params(vocab);
  Chooser chooser(gpu(), vocab, 3);
  std::mt19937 random(3);
  std::vector<Floats> logits;
  for (int i = 0; i < 12; ++i) logits.push_back(random_logits(random, vocab));
  for (const std::size_t which : {0, 1, 3, 9}) {
    SCOPED_TRACE(which);
    const model::Choosing choosing{params[which], {1, 2, 3}, {4, 5}};
    Tokens alone, among;
    chooser.open(1, choosing);
    for (std::size_t i = 0; i < 6; ++i) alone.push_back(chooser.choose({1}, {logits[i]}, {2 + i})[0]);
    chooser.open(0, {params[9], {9, 9, 9}, {}}, random_mask(random, vocab));
    chooser.open(1, choosing);
    chooser.open(2, {params[2]});
    for (std::size_t i = 0; i < 6; ++i)
      among.push_back(chooser.choose({2, 1, 0}, {logits[i + 6], logits[i], logits[i + 5]}, {i, 2 + i, i})[1]);
    EXPECT_EQ(among, alone);
  }
}

// Penalties, bias and mask are the host's to the bit, by the formula that sampler.cpp states.
TEST_F(Choose, LogitsAreAdjustedToTheBit) {
  constexpr std::int32_t vocab = 4000;
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 5);
  std::uniform_real_distribution<float> penalty(0.3f, 2.0f), cost(-2, 2);
  Chooser chooser(gpu(), vocab, 1);
  for (int round = 0; round < 8; ++round) {
    SamplingParams params;
    params.temperature = 0;
    params.penalty_window = 500;
    params.repeat_penalty = penalty(random);
    params.presence_penalty = cost(random);
    params.frequency_penalty = cost(random);
    model::Choosing choosing{params, random_tokens(random, 900, vocab), random_tokens(random, 700, 400)};
    for (const std::int32_t token : random_tokens(random, 50, vocab))
      choosing.params.logit_bias.emplace_back(token, normal(random));
    Floats logits(vocab);
    for (float& logit : logits) logit = normal(random);
    chooser.open(0, choosing);
    chooser.choose({0}, {logits}, {0});

    Floats expected = logits;
    std::vector<int> seen(vocab), generated(vocab);
    Floats bias(vocab);
    for (std::size_t i = choosing.chosen.size() - 500; i < choosing.chosen.size(); ++i)
      ++seen[static_cast<std::size_t>(choosing.chosen[i])];
    for (const std::int32_t token : choosing.chosen) ++generated[static_cast<std::size_t>(token)];
    for (const auto& [token, value] : choosing.params.logit_bias)
      bias[static_cast<std::size_t>(token)] += value;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      float scale = 1;
      if (seen[i] > 0) scale = logits[i] > 0 ? 1.0f / params.repeat_penalty : params.repeat_penalty;
      const float count = static_cast<float>(generated[i]);
      const float product = params.frequency_penalty * count;
      const float cost = generated[i] == 0 ? 0 : params.presence_penalty + product;
      expected[i] = logits[i] * scale;
      expected[i] -= cost;
      expected[i] += bias[i];
    }
    const Floats actual = chooser.adjusted();
    std::size_t differ = 0;
    for (std::size_t i = 0; i < actual.size(); ++i)
      differ += std::bit_cast<std::uint32_t>(actual[i]) != std::bit_cast<std::uint32_t>(expected[i]) ? 1 : 0;
    EXPECT_EQ(differ, 0u) << "of " << vocab << " in round " << round;
  }
}

// As the sampler fails, for greedy choices and others; neighbours are not disturbed, nor what comes later.
TEST_F(Choose, NoTokenWhereNoneCanBeChosen) {
  constexpr std::int32_t vocab = 517;
  const std::vector<SamplingParams> params = many_params(vocab);
  for (const std::size_t which : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
    SCOPED_TRACE(which);
    Chooser chooser(gpu(), vocab, 6);
    const Floats sound(vocab, 1.0f), nothing(vocab, -infinity);
    Floats one = nothing, with_nan = sound, negative_nan = sound, with_infinity = sound;
    one[400] = -1e30f;
    with_nan[516] = nan;
    negative_nan[0] = -nan;
    with_infinity[100] = infinity;
    const Tokens slots = {0, 1, 2, 3, 4, 5};
    const std::vector<Floats> logits = {sound, with_nan, nothing, with_infinity, one, negative_nan};
    for (const std::int32_t slot : slots) chooser.open(slot, {params[which], {1}, {2}});
    const Tokens chosen = chooser.choose(slots, logits, {1, 1, 1, 1, 1, 1});
    EXPECT_GE(chosen[0], 0);
    EXPECT_EQ(chosen[1], model::no_token);
    EXPECT_EQ(chosen[2], model::no_token);
    EXPECT_EQ(chosen[3], model::no_token);
    EXPECT_EQ(chosen[4], 400);
    EXPECT_EQ(chosen[5], model::no_token);
    // A mask hides an infinity, and no NaN.
    std::vector<std::uint32_t> mask(17, 0xffffffff);
    mask[3] &= ~(1u << 4);
    mask[16] &= ~(1u << 4);
    for (const std::int32_t slot : slots) chooser.allow(slot, mask);
    const Tokens masked = chooser.choose(slots, logits, {2, 2, 2, 2, 2, 2});
    EXPECT_EQ(masked[1], model::no_token);
    EXPECT_GE(masked[3], 0);
    EXPECT_NE(masked[3], 100);
  }
}

// All equal, ascending and descending: the lower ids of equal ones are kept, whatever part they are in.
TEST_F(Choose, TiesAndOrdersOfEveryKind) {
  constexpr std::int32_t vocab = 20011;
  Chooser chooser(gpu(), vocab, 4);
  std::vector<Floats> logits(4, Floats(vocab, 0.5f));
  for (std::size_t i = 0; i < vocab; ++i) {
    logits[1][i] = static_cast<float>(i) / 1000;
    logits[2][i] = -static_cast<float>(i) / 1000;
    logits[3][i] = i % 2 == 0 ? 0.0f : -0.0f;
  }
  for (const std::int32_t top_k : {0, 1, 2, 20, 64, 500}) {
    for (const float top_p : {1.0f, 0.5f}) {
      SCOPED_TRACE(testing::Message() << "top_k " << top_k << ", top_p " << top_p);
      SamplingParams params;
      params.temperature = 1;
      params.top_k = top_k;
      params.top_p = top_p;
      params.seed = 77;
      std::vector<Sampler> samplers(4, Sampler(params));
      for (std::int32_t slot = 0; slot < 4; ++slot) chooser.open(slot, {params});
      for (std::uint64_t draw = 0; draw < 4; ++draw) {
        const Tokens chosen = chooser.choose({0, 1, 2, 3}, logits, {draw, draw, draw, draw});
        for (std::size_t i = 0; i < 4; ++i) {
          const std::int32_t expected = value_of(samplers[i].sample(logits[i]));
          EXPECT_EQ(chosen[i], expected) << "row " << i << ", draw " << draw;
        }
      }
    }
  }
}

}  // namespace
}  // namespace trine::test
