// Steps of a model on the device: tokens chosen there, several steps ahead, slots side by side.
#include "compare.h"
#include "loaded_model.h"
#include "sample_tokens.h"
#include "step_helpers.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

namespace trine::test {
namespace {

using model::Choosing;
using model::Numerics;
using model::Step;
using model::StepOutput;
using model::Ticket;
using model::Wants;
using sampling::Sampler;
using sampling::SamplingParams;
using wgpu::WgpuModel;

using Tokens = std::vector<std::int32_t>;

std::unique_ptr<WgpuModel> load(const model::Weights& weights, Numerics numerics, std::int32_t slots) {
  wgpu::WgpuOptions options;
  options.device = wgpu::first_adapter;
  options.context = 1536;
  options.slots = slots;
  options.numerics = numerics;
  options.threads = 2;
  options.checked_shaders = true;
  options.self_test = false;
  return value_of(WgpuModel::load(weights, options));
}

// The recommended parameters, with more penalties.
SamplingParams usual(std::uint64_t seed) {
  SamplingParams params;
  params.temperature = 0.7f;
  params.top_k = 20;
  params.top_p = 0.8f;
  params.repeat_penalty = 1.05f;
  params.frequency_penalty = 0.1f;
  params.seed = seed;
  return params;
}

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

// One sequence in a slot, whose rows are run one at a time so that a software adapter compiles half of the
// kernels.
class SlotRunner {
 public:
  SlotRunner(model::DeviceModel& model, const Choosing& choosing, Tokens pages) : model_(model) {
    slot_ = value_of(model.open_slot(choosing));
    must(model.set_pages(slot_, std::move(pages), 0));
  }
  ~SlotRunner() {
    if (slot_ >= 0) must(model_.close_slot(slot_));
  }
  SlotRunner(const SlotRunner&) = delete;
  SlotRunner& operator=(const SlotRunner&) = delete;

  std::int32_t slot() const { return slot_; }
  model::Row row(std::int32_t token, Wants wants) { return {token, model_.length_of(slot_), slot_, wants}; }
  StepOutput run(std::int32_t token, Wants wants) { return value_of(model_.run({{row(token, wants)}})); }
  // All but the last of them, without asking for anything.
  void run_before_last(const Tokens& tokens) {
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) run(tokens[i], Wants::nothing);
  }
  // The tokens that come after `prompt`, as many steps ahead as the model allows.
  Tokens generate(const Tokens& prompt, std::size_t n) {
    run_before_last(prompt);
    Tokens tokens;
    std::deque<Ticket> on_their_way;
    for (std::size_t submitted = 0; tokens.size() < n;) {
      while (submitted < n && std::ssize(on_their_way) < model_.limits().steps_ahead) {
        const std::int32_t token = submitted == 0 ? prompt.back() : model::last_choice;
        on_their_way.push_back(value_of(model_.submit({{row(token, Wants::token)}})));
        ++submitted;
      }
      tokens.push_back(value_of(model_.wait(on_their_way.front())).tokens.at(0));
      on_their_way.pop_front();
    }
    return tokens;
  }

 private:
  static void must(const Result<void>& result) { EXPECT_TRUE(result) << to_string(result.error()); }

  model::DeviceModel& model_;
  std::int32_t slot_ = -1;
};

class DeviceSteps : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }

  // Logits of "tied" are far apart, those of the others close together.
  void start(const std::string& tiny, std::int32_t slots, std::size_t prompt_length = 9) {
    loaded = std::make_unique<LoadedModel>(models_dir + "tiny/" + tiny + ".gguf");
    model = load(loaded->weights, Numerics::fast, slots);
    prompt = sample_tokens(prompt_length, loaded->weights.config.vocab_size, 7);
  }

  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<WgpuModel> model;
  Tokens prompt;
};

// Through position 128, from where attention takes its positions in several chunks, and over pages of 64.
TEST_F(DeviceSteps, GreedyTokensAreTheLargestLogits) {
  start("tiny-F16", 1, 110);
  Tokens chosen;
  chosen = SlotRunner(*model, {greedy()}, {5, 0, 3}).generate(prompt, 40);
  SlotRunner plain(*model, {greedy()}, {1, 2, 4});
  plain.run_before_last(prompt);
  std::int32_t token = prompt.back();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    token = argmax(plain.run(token, Wants::logits).logits);
    ASSERT_EQ(chosen[i], token) << "step " << i;
  }
}

TEST_F(DeviceSteps, GreedyTokensOfTheDemoEqualTransformers) {
  const LoadedModel demo(demo_path);
  const auto adapter = wgpu::must(wgpu::choose_adapter(wgpu::first_adapter));
  const std::size_t cases = adapter.type == "software" ? 1 : 3;
  std::ifstream file(models_dir + "demo-coder-Q4_K_M.golden.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  const auto exact = load(demo.weights, Numerics::exact, 1);
  ASSERT_GE(golden["cases"].size(), cases);
  for (std::size_t i = 0; i < cases; ++i) {
    const nlohmann::json& item = golden["cases"][i];
    const Tokens expected = item["greedy"];
    SlotRunner runner(*exact, {greedy()}, {0, 1, 2, 3, 4, 5, 6, 7});
    EXPECT_EQ(runner.generate(item["tokens"].get<Tokens>(), expected.size()), expected) << item["text"];
  }
}

// Tokens chosen on the device are the sampler's, on the logits that come with them: a step that wants both
// gives those before any penalty.
TEST_F(DeviceSteps, TokensAreTheSamplersOnTheLogitsBesideThem) {
  start("tiny-F16", 2);
  const auto vocab = static_cast<std::size_t>(loaded->weights.config.vocab_size);
  const Choosing choosing{usual(9), prompt, {3, 1, 4, 1}};
  SlotRunner runner(*model, choosing, {0});
  Sampler sampler(choosing.params);
  sampler.accept_prompt(choosing.prompt);
  sampler.accept_chosen(choosing.chosen);
  runner.run_before_last(prompt);
  std::int32_t token = prompt.back();
  std::size_t differ = 0;
  for (int step = 0; step < 24; ++step) {
    if (step == 8 || step == 16) {
      std::vector<std::uint32_t> allowed(step == 8 ? (vocab + 31) / 32 : 0, 0x5a5a5a5a);
      EXPECT_TRUE(model->set_allowed(runner.slot(), allowed));
      sampler.allow(allowed);
    }
    const StepOutput output = runner.run(step == 0 ? token : model::last_choice, Wants::both);
    ASSERT_EQ(output.logits.size(), vocab);
    token = value_of(sampler.sample(output.logits));
    ASSERT_EQ(output.tokens, Tokens{token}) << "step " << step;
    differ += token != argmax(output.logits) ? 1 : 0;
  }
  EXPECT_GT(differ, 3u);  // it was no greedy decoding
}

// Nothing of a token depends on the steps ahead, on slots beside it with other rules, on the slot's number,
// or on which pages it has.
TEST_F(DeviceSteps, SlotsSideBySideChooseAsEachAlone) {
  start("tiny-F16", 5);
  const std::vector<SamplingParams> params = {usual(1), greedy(), usual(2), usual(3), usual(4)};
  constexpr std::size_t steps = 70;  // over the end of a page
  std::vector<Tokens> prompts, alone;
  for (std::size_t i = 0; i < params.size(); ++i) {
    prompts.push_back(sample_tokens(2 + i, loaded->weights.config.vocab_size, static_cast<std::uint32_t>(i)));
    alone.push_back(SlotRunner(*model, {params[i], prompts[i]}, {9, 2}).generate(prompts[i], steps));
  }
  std::deque<SlotRunner> all;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto page = static_cast<std::int32_t>(i);
    all.emplace_back(*model, Choosing{params[i], prompts[i]}, Tokens{10 - page, page});
    all.back().run_before_last(prompts[i]);
  }
  std::vector<Tokens> together(params.size());
  std::deque<Ticket> on_their_way;
  for (std::size_t step = 0; step < steps + 2; ++step) {
    if (step < steps) {
      Step next;
      for (std::size_t i = 0; i < params.size(); ++i)
        next.rows.push_back(all[i].row(step == 0 ? prompts[i].back() : model::last_choice, Wants::token));
      on_their_way.push_back(value_of(model->submit(next)));
    }
    if (step < 2) continue;
    const StepOutput output = value_of(model->wait(on_their_way.front()));
    on_their_way.pop_front();
    ASSERT_EQ(output.tokens.size(), params.size());
    for (std::size_t i = 0; i < params.size(); ++i) together[i].push_back(output.tokens[i]);
  }
  EXPECT_EQ(together, alone);
}

// A slot closed while its steps are on their way gives its pages and number to the next at once.
TEST_F(DeviceSteps, PagesAreGivenAwayWhileStepsAreOnTheirWay) {
  start("tiny-F16", 1, 5);
  const Tokens expected = SlotRunner(*model, {usual(5), prompt}, {0}).generate(prompt, 12);
  const Tokens other = sample_tokens(4, loaded->weights.config.vocab_size, 99);
  std::vector<Ticket> left;
  {
    SlotRunner first(*model, {usual(6), other}, {0});
    first.run_before_last(other);
    left.push_back(value_of(model->submit({{first.row(other.back(), Wants::token)}})));
    left.push_back(value_of(model->submit({{first.row(model::last_choice, Wants::token)}})));
  }
  const auto slot = value_of(model->open_slot({usual(5), prompt}));
  EXPECT_TRUE(model->set_pages(slot, {0}, 0));
  const auto row = [&](std::int32_t token, Wants wants) {
    return model::Row{token, model->length_of(slot), slot, wants};
  };
  // Waited for in another order than they were submitted.
  const Ticket next = value_of(model->submit({{row(prompt[0], Wants::nothing)}}));
  EXPECT_TRUE(value_of(model->wait(next)).tokens.empty());
  for (std::size_t i = 1; i + 1 < prompt.size(); ++i)
    value_of(model->run({{row(prompt[i], Wants::nothing)}}));
  Tokens chosen;
  for (std::size_t i = 0; i < expected.size(); ++i)
    chosen.push_back(
        value_of(model->run({{row(i == 0 ? prompt.back() : model::last_choice, Wants::token)}})).tokens[0]);
  EXPECT_EQ(chosen, expected);
  const auto second = value_of(model->wait(left[1])), first = value_of(model->wait(left[0]));
  EXPECT_EQ(first.tokens.size() + second.tokens.size(), 2u);
  EXPECT_TRUE(model->close_slot(slot));
}

// More rows than a slice of logits has, and more slots: some want tokens, some logits, some both.
TEST_F(DeviceSteps, MoreRowsThanASliceHolds) {
  constexpr std::int32_t n = 22;
  start("tiny-F16", n, 2);
  const auto vocab = static_cast<std::size_t>(loaded->weights.config.vocab_size);
  const Wants kinds[] = {Wants::token, Wants::both, Wants::token, Wants::token, Wants::logits};
  const auto rules_of = [](std::size_t i) { return Choosing{i % 2 == 0 ? greedy() : usual(i)}; };
  std::deque<SlotRunner> slots;
  for (std::int32_t i = 0; i < n; ++i)
    slots.emplace_back(*model, rules_of(static_cast<std::size_t>(i)), Tokens{i});
  Step step;
  // Two rows and a third that chooses, of each slot.
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    const std::int32_t slot = slots[i].slot();
    step.rows.push_back({token, 0, slot, i % 3 == 0 ? Wants::logits : Wants::nothing});
    step.rows.push_back({token + 1, 1, slot, i % 2 == 0 ? Wants::logits : Wants::nothing});
    step.rows.push_back({token + 2, 2, slot, kinds[i % 5]});
  }
  const StepOutput together = value_of(model->run(step));
  std::size_t next_token = 0, next_logits = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    EXPECT_TRUE(model->set_choosing(slots[i].slot(), rules_of(i)));
    for (std::size_t r = 3 * i; r < 3 * i + 3; ++r) {
      const model::Row& row = step.rows[r];
      const StepOutput alone = value_of(model->run({{row}}));
      ASSERT_EQ(alone.logits.size(), model::wants_logits(row.wants) ? vocab : 0);
      if (!alone.tokens.empty()) {
        EXPECT_EQ(together.tokens.at(next_token++), alone.tokens[0]) << i;
      }
      if (alone.logits.empty()) continue;
      ASSERT_LE((next_logits + 1) * vocab, together.logits.size());
      EXPECT_EQ(std::memcmp(&together.logits[next_logits++ * vocab], alone.logits.data(), vocab * 4), 0) << i;
    }
  }
  EXPECT_EQ(next_token, together.tokens.size());
  EXPECT_EQ(next_logits * vocab, together.logits.size());
  EXPECT_GT(next_token, 16u);
  EXPECT_GT(next_logits, 16u);
}

// Times leave no trace in what is chosen later.
TEST_F(DeviceSteps, TimingAStepChangesNoChoice) {
  start("tiny-F16", 1, 4);
  if (!model->times_kernels()) GTEST_SKIP() << "no timestamps";
  const Tokens expected = SlotRunner(*model, {usual(5), prompt}, {0}).generate(prompt, 8);
  SlotRunner runner(*model, {usual(5), prompt}, {0});
  Tokens chosen = runner.generate(prompt, 4);
  const auto time = value_of(model->time_step({{runner.row(model::last_choice, Wants::token)}}, true));
  EXPECT_GT(time.microseconds, 0);
  EXPECT_TRUE(std::any_of(time.kernels.begin(), time.kernels.end(),
                          [](const auto& kernel) { return kernel.name.starts_with("sample"); }));
  while (chosen.size() < expected.size())
    chosen.push_back(runner.run(model::last_choice, Wants::token).tokens.at(0));
  EXPECT_EQ(chosen, expected);
}

// A token whose embedding is no number spoils the logits behind it.
TEST_F(DeviceSteps, LogitsThatAreNoNumbersGiveNoToken) {
  start("tiny-F16", 1, 6);
  model::Weights& weights = loaded->weights;
  ASSERT_FALSE(weights.tied);
  const Tokens healthy = SlotRunner(*model, {greedy()}, {0}).generate(prompt, 8);
  // The first token that is new, after two of its kind that are not.
  const auto bad = std::find_if(healthy.begin() + 1, healthy.end(), [&](const std::int32_t& token) {
    const auto seen = [&](auto from, auto to) { return std::find(from, to, token) != to; };
    return !seen(healthy.cbegin(), healthy.cbegin() + (&token - healthy.data())) &&
           !seen(prompt.cbegin(), prompt.cend());
  });
  ASSERT_LT(bad, healthy.end() - 1);
  std::vector<std::byte> table(weights.embed.data, weights.embed.data + weights.embed.expert_bytes());
  const std::vector<std::uint16_t> nan(weights.embed.row_bytes / 2, 0x7e00);
  std::memcpy(table.data() + static_cast<std::size_t>(*bad) * weights.embed.row_bytes, nan.data(),
              weights.embed.row_bytes);
  weights.embed.data = table.data();
  const auto spoilt = load(weights, Numerics::fast, 1);
  const Tokens tokens = SlotRunner(*spoilt, {greedy()}, {0}).generate(prompt, healthy.size());
  for (std::size_t i = 0; i <= static_cast<std::size_t>(bad - healthy.begin()); ++i)
    EXPECT_EQ(tokens[i], healthy[i]) << i;
  EXPECT_EQ(tokens[static_cast<std::size_t>(bad - healthy.begin()) + 1], model::no_token);
}

}  // namespace
}  // namespace trine::test
