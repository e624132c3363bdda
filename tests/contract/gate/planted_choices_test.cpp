// Devices whose logits are right and whose tokens do not follow from them: leg S.
#include "contract/gate/choices.h"
#include "forwarding_model.h"
#include "gate_fixture.h"
#include "step_helpers.h"

#include <map>
#include <optional>

namespace trine::test {
namespace {

using contract::Verdict;
using model::Numerics;

enum class Mistake { none, draw_number, lagging_count, neighbours_rules, late_mask };

// Chooses by itself from the real backend's logits.
class Chooser final : public ForwardingModel {
 public:
  Chooser(std::unique_ptr<model::DeviceModel> real, Mistake mistake)
      : ForwardingModel(std::move(real)), mistake_(mistake) {}

 protected:
  struct Slot {
    model::Choosing choosing;
    std::vector<std::int32_t> chosen;
    std::vector<std::uint32_t> allowed, allowed_before;
  };

  Result<void> place_choosing(std::int32_t slot, const model::Slot& entry) override {
    slots_[slot] = {entry.choosing, {}, entry.allowed, {}};
    return ForwardingModel::place_choosing(slot, entry);
  }
  Result<void> place_allowed(std::int32_t slot, const model::Slot& entry) override {
    slots_[slot].allowed_before = std::exchange(slots_[slot].allowed, entry.allowed);
    return ForwardingModel::place_allowed(slot, entry);
  }
  Result<model::StepOutput> run_step(const model::Step& step, model::TraceSink* trace) override {
    model::Step changed = step;
    for (model::Row& row : changed.rows) {
      if (row.token == model::last_choice) row.token = slots_[row.slot].chosen.back();
      if (row.wants == model::Wants::token) row.wants = model::Wants::both;
    }
    TRINE_TRY(model::StepOutput output, real_->run(changed, trace));
    const auto vocab = static_cast<std::size_t>(config().vocab_size);
    std::vector<float> wanted;
    std::size_t next = 0, token = 0;
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      if (changed.rows[i].wants == model::Wants::nothing) continue;
      const std::span<const float> logits = std::span(output.logits).subspan(next++ * vocab, vocab);
      if (model::wants_logits(step.rows[i].wants)) wanted.insert(wanted.end(), logits.begin(), logits.end());
      if (model::wants_token(step.rows[i].wants)) output.tokens[token++] = choose(step.rows[i].slot, logits);
    }
    output.logits = std::move(wanted);
    return output;
  }

 private:
  std::int32_t choose(std::int32_t index, std::span<const float> logits) {
    Slot& slot = slots_[index];
    const bool has_neighbour = slots_.contains(index + 1);
    const auto& rules = mistake_ == Mistake::neighbours_rules && has_neighbour ? slots_[index + 1] : slot;
    sampling::Sampler sampler(rules.choosing.params);
    sampler.accept_prompt(slot.choosing.prompt);
    std::span<const std::int32_t> known(slot.chosen);
    // No token of the vocabulary: it counts as a draw and nothing else.
    const std::int32_t nothing[] = {config().vocab_size};
    const bool lags = mistake_ == Mistake::lagging_count && !known.empty();
    if (lags) known = known.first(known.size() - 1);
    sampler.accept_chosen(known);
    if (lags || mistake_ == Mistake::draw_number) sampler.accept_chosen(nothing);
    sampler.allow(mistake_ == Mistake::late_mask && !slot.allowed_before.empty() ? slot.allowed_before
                                                                                 : slot.allowed);
    slot.chosen.push_back(value_of(sampler.sample(logits)));
    return slot.chosen.back();
  }

  Mistake mistake_;
  std::map<std::int32_t, Slot> slots_;
};

contract::CheckResult leg_with(Mistake mistake, std::int32_t slots = 8) {
  GateBench bench(demo_path, 2);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  model::LoadOptions options;
  options.numerics = Numerics::fast;
  options.context = contract::context_for(bench.prompts);
  options.slots = slots;
  Chooser device(value_of(backend::load_model("cpu", bench.weights, options)), mistake);
  const contract::ChoiceRun run = value_of(contract::run_choices(device, bench.prompts));
  EXPECT_EQ(run.settings.size(), 7u);
  return contract::judge_choices(run).result;
}

TEST(PlantedChoices, TheRulesThemselvesPass) {
  for (const std::int32_t slots : {2, 4, 8}) {
    const contract::CheckResult leg = leg_with(Mistake::none, slots);
    EXPECT_EQ(leg.verdict, Verdict::pass) << leg.reason;
  }
}

TEST(PlantedChoices, AWrongDrawNumber) {
  const contract::CheckResult leg = leg_with(Mistake::draw_number);
  EXPECT_EQ(leg.verdict, Verdict::fail);
  EXPECT_NE(leg.reason.find("recommended"), std::string::npos) << leg.reason;
}

TEST(PlantedChoices, APenaltyCountThatLagsOneStep) {
  EXPECT_EQ(leg_with(Mistake::lagging_count).verdict, Verdict::fail);
}

TEST(PlantedChoices, ANeighboursParameters) {
  EXPECT_EQ(leg_with(Mistake::neighbours_rules).verdict, Verdict::fail);
}

TEST(PlantedChoices, AMaskOneTokenLate) {
  const contract::CheckResult leg = leg_with(Mistake::late_mask);
  EXPECT_EQ(leg.verdict, Verdict::fail);
  EXPECT_NE(leg.reason.find("mask"), std::string::npos) << leg.reason;
}

// A device that has no room for neighbours proves nothing about them.
TEST(PlantedChoices, OneSlotIsNotEnough) {
  GateBench bench(demo_path, 1);
  model::LoadOptions options;
  options.slots = 1;
  const auto device = value_of(backend::load_model("cpu", bench.weights, options));
  EXPECT_FALSE(contract::run_choices(*device, bench.prompts));
}

}  // namespace
}  // namespace trine::test
