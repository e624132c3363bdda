// What is refused before a backend sees it, and what a backend is told.
#include "model/device_model.h"

#include "model/open_slot.h"
#include "trace_recorder.h"

#include <gtest/gtest.h>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace trine::model {
namespace {

constexpr std::int32_t vocab = 40;

// Takes down what it is told.
class ListeningModel final : public DeviceModel {
 public:
  ListeningModel() { config_.vocab_size = vocab; }
  const Config& config() const override { return config_; }
  DeviceInfo describe() const override {
    DeviceInfo info;
    info.stage_place = stage_places();
    return info;
  }
  const StepLimits& limits() const override { return limits_; }

  std::map<std::int32_t, Slot> placed;
  std::vector<std::int32_t> released;
  std::vector<std::uint64_t> draws;  // of the last step
  std::vector<std::int32_t> head_rows, token_rows, logits_rows;
  std::int32_t positions = 0;
  bool one_each = false, fails = false;
  int steps = 0;
  void forget_steps() { ring_.clear(); }
  std::vector<std::pair<Stage, Place>> delivers;  // where this stage ran, when it is traced

 protected:
  Result<void> place_choosing(std::int32_t slot, const Slot& entry) override { return place(slot, entry); }
  Result<void> place_pages(std::int32_t slot, const Slot& entry) override { return place(slot, entry); }
  Result<void> place_allowed(std::int32_t slot, const Slot& entry) override { return place(slot, entry); }
  void release_slot(std::int32_t slot) override { released.push_back(slot); }
  Result<void> submit_plan(const StepPlan& plan, StageTap* trace) override {
    if (fails) return fail(ErrorCode::inference, "the device is gone");
    draws = plan.draws;
    head_rows = plan.head_rows;
    token_rows = plan.token_rows;
    logits_rows = plan.logits_rows;
    positions = plan.positions;
    one_each = plan.one_each;
    EXPECT_LT(plan.ring_index, limits_.steps_ahead);
    EXPECT_TRUE(ring_.emplace(plan.ring_index, ++steps).second) << "two steps of one ring index";
    const std::vector<float> value = {1};
    for (const auto& [stage, place] : delivers)
      if (trace != nullptr && trace->wants(stage, 0)) trace->take(place, stage, 0, 0, 1, 1, value);
    return {};
  }
  Result<StepOutput> take_output(std::int32_t ring_index) override {
    if (fails) return fail(ErrorCode::inference, "the device is gone");
    return StepOutput{.tokens = {ring_.extract(ring_index).mapped()}, .logits = {}};
  }

 private:
  Result<void> place(std::int32_t slot, const Slot& entry) {
    placed[slot] = entry;
    return {};
  }
  Config config_;
  std::map<std::int32_t, int> ring_;  // the number of the step that has it
  StepLimits limits_{.kv_page_size = 4, .kv_pages = 8, .rows = 6, .slots = 3, .steps_ahead = 2};
};

std::string refusal(const Result<StepOutput>& result) {
  return result ? "" : result.error().code == ErrorCode::inference ? result.error().what : "another code";
}

class DeviceModelTest : public testing::Test {
 protected:
  std::int32_t open(std::vector<std::int32_t> pages, std::int32_t held = 0) {
    const Result<std::int32_t> slot = model.open_slot();
    EXPECT_TRUE(slot);
    EXPECT_TRUE(model.set_pages(*slot, std::move(pages), held));
    return *slot;
  }
  std::string run(std::vector<Row> rows) { return refusal(model.run({std::move(rows)})); }

  ListeningModel model;
};

TEST_F(DeviceModelTest, RefusesRowsThatAreOutOfRange) {
  const std::int32_t slot = open({0, 1});
  EXPECT_NE(run({}), "");
  EXPECT_NE(run({{vocab, 0, slot}}), "");
  EXPECT_NE(run({{-2, 0, slot}}), "");
  EXPECT_NE(run({{0, -1, slot}}), "");
  EXPECT_NE(run({{0, 0, slot + 1}}), "");
  EXPECT_NE(run({{0, 0, -1}}), "");
  EXPECT_NE(run({{0, 0, 99}}), "");
  EXPECT_NE(run(std::vector<Row>(7, Row{0, 0, slot})), "");
  EXPECT_EQ(model.steps, 0);
  EXPECT_EQ(run({{0, 0, slot}}), "");
}

TEST_F(DeviceModelTest, RefusesGaps) {
  const std::int32_t slot = open({0, 1});
  EXPECT_NE(run({{0, 1, slot}}), "") << "position 0 was never run";
  EXPECT_NE(run({{0, 0, slot}, {0, 2, slot}}), "");
  EXPECT_NE(run({{0, 1, slot}, {0, 0, slot}}), "");
  EXPECT_NE(run({{0, 0, slot}, {0, 0, slot}}), "");
  EXPECT_EQ(run({{0, 0, slot}, {0, 1, slot}}), "");
  EXPECT_EQ(model.length_of(slot), 2);
  EXPECT_NE(run({{0, 3, slot}}), "");
  EXPECT_EQ(run({{0, 1, slot}}), "") << "what was run may be run again";
  EXPECT_EQ(model.length_of(slot), 2);
  EXPECT_NE(run({{0, 2, slot}, {0, 3, slot}, {0, 4, slot}, {0, 5, slot}, {0, 6, slot}, {0, 8, slot}}), "");
  EXPECT_EQ(model.length_of(slot), 2) << "nothing of a refused step was run";
  EXPECT_EQ(run({{0, 2, slot}, {0, 3, slot}, {0, 4, slot}, {0, 5, slot}, {0, 6, slot}, {0, 7, slot}}), "");
  EXPECT_NE(run({{0, 8, slot}}), "") << "behind the last page";
}

TEST_F(DeviceModelTest, RefusesPageTablesThatRepeatAPageOrNameNone) {
  const std::int32_t slot = open({0});
  EXPECT_FALSE(model.set_pages(slot, {0, 1, 0}, 0));
  EXPECT_FALSE(model.set_pages(slot, {8}, 0));
  EXPECT_FALSE(model.set_pages(slot, {-1}, 0));
  EXPECT_FALSE(model.set_pages(slot, {1, 2}, 9));
  EXPECT_FALSE(model.set_pages(slot, {1, 2}, -1));
  EXPECT_FALSE(model.set_pages(2, {1}, 0)) << "not open";
  const std::int32_t more[] = {0};
  EXPECT_FALSE(model.add_pages(slot, more));
  EXPECT_EQ(model.placed[slot].pages, (std::vector<std::int32_t>{0}));
}

// Pages that hold the same prefix may be in several tables, and are written by nobody then.
TEST_F(DeviceModelTest, RefusesToWriteAPageThatSeveralSlotsHold) {
  const std::int32_t a = open({0, 1}, 4), b = open({0, 2}, 4);
  EXPECT_EQ(run({{0, 4, a}, {0, 4, b}}), "");
  EXPECT_NE(run({{0, 3, a}}), "");
  ASSERT_TRUE(model.close_slot(b));
  EXPECT_EQ(run({{0, 3, a}}), "");
}

TEST_F(DeviceModelTest, SlotsAreTakenAndGivenBack) {
  EXPECT_EQ(model.open_slot().value_or(-1), 0);
  EXPECT_EQ(model.open_slot().value_or(-1), 1);
  EXPECT_EQ(model.open_slot().value_or(-1), 2);
  EXPECT_FALSE(model.open_slot());
  ASSERT_TRUE(model.close_slot(1));
  EXPECT_FALSE(model.close_slot(1));
  EXPECT_EQ(model.released, (std::vector<std::int32_t>{1}));
  EXPECT_EQ(model.open_slot().value_or(-1), 1);
  EXPECT_TRUE(model.placed[1].pages.empty());
}

TEST_F(DeviceModelTest, RefusesRulesOfChoosingThatMakeNoSense) {
  Choosing choosing;
  choosing.params.top_p = 2;
  EXPECT_FALSE(model.open_slot(choosing));
  choosing = {};
  choosing.prompt = {vocab};
  EXPECT_FALSE(model.open_slot(choosing));
  choosing = {};
  choosing.chosen = {-1};
  EXPECT_FALSE(model.open_slot(choosing));
  const std::int32_t slot = open({0});
  EXPECT_FALSE(model.set_choosing(slot, choosing));
  EXPECT_FALSE(model.set_allowed(slot, {1}));
  EXPECT_TRUE(model.set_allowed(slot, {1, 0}));
  EXPECT_TRUE(model.set_allowed(slot, {}));
}

TEST_F(DeviceModelTest, CountsDrawsAndKnowsWhatWasChosen) {
  Choosing choosing;
  choosing.chosen = {1, 2, 3};
  const std::int32_t slot = model.open_slot(choosing).value_or(-1);
  ASSERT_TRUE(model.set_pages(slot, {0, 1}, 0));
  EXPECT_NE(run({{last_choice, 0, slot, Wants::token}}), "") << "nothing was chosen on the device yet";
  EXPECT_EQ(run({{0, 0, slot, Wants::logits}}), "");
  EXPECT_TRUE(model.draws.empty());
  EXPECT_EQ(run({{0, 1, slot, Wants::token}}), "");
  EXPECT_EQ(model.draws, (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(run({{last_choice, 2, slot, Wants::both}}), "");
  EXPECT_EQ(model.draws, (std::vector<std::uint64_t>{4}));
  EXPECT_NE(run({{0, 3, slot, Wants::token}, {0, 4, slot}}), "") << "only the last row chooses";
}

TEST_F(DeviceModelTest, SaysWhatEveryBackendReadsOffTheRows) {
  const std::int32_t a = open({0, 1}), b = open({2, 3});
  EXPECT_EQ(run({{0, 0, a}, {0, 0, b, Wants::token}, {0, 1, a, Wants::both}}), "");
  EXPECT_EQ(model.head_rows, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(model.token_rows, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(model.logits_rows, (std::vector<std::int32_t>{2}));
  EXPECT_EQ(model.positions, 2);
  EXPECT_FALSE(model.one_each);
  EXPECT_EQ(run({{0, 2, a}, {0, 1, b}}), "");
  EXPECT_TRUE(model.one_each);
  EXPECT_EQ(model.positions, 3);
}

TEST_F(DeviceModelTest, TicketsAreForOneWaitEachInAnyOrder) {
  const std::int32_t slot = open({0, 1});
  const auto first = model.submit({{{0, 0, slot}}}), second = model.submit({{{0, 1, slot}}});
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(model.submit({{{0, 2, slot}}})) << "two are on their way";
  EXPECT_FALSE(model.time_step({{{0, 2, slot}}}, false));
  EXPECT_EQ(model.wait(*second)->tokens.front(), 2);
  const auto third = model.submit({{{0, 2, slot}}});
  ASSERT_TRUE(third) << "where the second was";
  EXPECT_FALSE(model.wait(*second));
  EXPECT_EQ(model.wait(*first)->tokens.front(), 1);
  EXPECT_EQ(model.wait(*third)->tokens.front(), 3);
  EXPECT_FALSE(model.wait(*first));
  EXPECT_FALSE(model.wait(77));
}

TEST_F(DeviceModelTest, AStepThatFailsFreesItsRingIndex) {
  const std::int32_t slot = open({0, 1});
  const auto first = model.submit({{{0, 0, slot}}});
  ASSERT_TRUE(first);
  model.fails = true;
  EXPECT_FALSE(model.submit({{{0, 1, slot}}}));
  EXPECT_FALSE(model.wait(*first));
  EXPECT_FALSE(model.wait(*first)) << "once is all";
  model.fails = false;
  model.forget_steps();
  EXPECT_TRUE(model.submit({{{0, 1, slot}}}));
  EXPECT_TRUE(model.submit({{{0, 2, slot}}}));
}

TEST_F(DeviceModelTest, SaysWhereStagesRanThatWereTraced) {
  const std::int32_t slot = open({0, 1});
  const auto place = [&](Stage stage) {
    return model.describe().stage_place[static_cast<std::size_t>(stage)];
  };
  model.delivers = {{Stage::attention, Place::device}, {Stage::moe_out, Place::host}};
  EXPECT_EQ(run({{0, 0, slot}}), "");
  EXPECT_EQ(place(Stage::attention), "") << "nothing was traced";

  test::TraceRecorder trace;
  EXPECT_TRUE(model.run({{{0, 1, slot}}}, &trace));
  EXPECT_EQ(trace.stages.size(), 2u);
  EXPECT_EQ(place(Stage::attention), "device");
  EXPECT_EQ(place(Stage::moe_out), "host");
  EXPECT_EQ(place(Stage::embed), "");

  // Once on the host is on the host.
  model.delivers = {{Stage::attention, Place::host}, {Stage::moe_out, Place::device}};
  EXPECT_TRUE(model.run({{{0, 2, slot}}}, &trace));
  EXPECT_EQ(place(Stage::attention), "host");
  EXPECT_EQ(place(Stage::moe_out), "host");
}

TEST_F(DeviceModelTest, AStepThatFailsLeavesItsSlotsAsTheyWere) {
  const std::int32_t slot = open({0, 1});
  model.fails = true;
  EXPECT_EQ(run({{0, 0, slot, Wants::token}}), "the device is gone");
  EXPECT_EQ(model.length_of(slot), 0);
  model.fails = false;
  EXPECT_NE(run({{last_choice, 0, slot}}), "");
  EXPECT_EQ(run({{0, 0, slot, Wants::token}}), "");
  EXPECT_EQ(model.draws, (std::vector<std::uint64_t>{0}));
}

}  // namespace
}  // namespace trine::model
