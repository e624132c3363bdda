// What goes wrong around a model: memory that stays, memory that is not there, a device that goes away.
#include "wgpu/model.h"

#include "loaded_model.h"
#include "model/open_slot.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <chrono>
#include <fstream>
#include <memory>

namespace trine::test {
namespace {

using model::Numerics;
using model::Stage;
using wgpu::WgpuModel;
using wgpu::WgpuOptions;

class BadDays : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }

  static WgpuOptions options() {
    WgpuOptions result;
    result.device = wgpu::first_adapter;
    result.context = 256;
    result.threads = 2;
    result.self_test = false;
    return result;
  }

  // One row at this position of a sequence, whose earlier ones are of no matter.
  static Result<void> step(model::DeviceModel& model, std::int32_t position,
                           model::TraceSink* trace = nullptr) {
    TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open(model));
    TRINE_CHECK_OK(model.set_pages(slot.id(), {0}, position));
    TRINE_CHECK_OK(model.run({{{7, position, slot.id(), model::Wants::both}}}, trace));
    return {};
  }
};

// Fifty times; fewer where a load takes half a second.
TEST_F(BadDays, LoadingAgainAndAgainKeepsNoMemory) {
  if (wgpu::keeps_freed_memory) GTEST_SKIP() << "AddressSanitizer keeps what was freed";
  const auto adapter = wgpu::choose_adapter(wgpu::first_adapter);
  ASSERT_TRUE(adapter);
  const bool slow = adapter->type == "software";
  const int warm_up = slow ? 4 : 10, cycles = slow ? 12 : 40;
  const LoadedModel loaded(demo_path);
  const auto cycle = [&] {
    const auto model = WgpuModel::load(loaded.weights, options());
    ASSERT_TRUE(model) << to_string(model.error());
    const auto done = step(**model, 0);
    ASSERT_TRUE(done) << to_string(done.error());
  };
  for (int i = 0; i < warm_up; ++i) cycle();
  const std::uint64_t before = wgpu::resident_bytes();
  for (int i = 0; i < cycles; ++i) cycle();
  const std::uint64_t after = wgpu::resident_bytes();
  RecordProperty("growth_kib", std::to_string((static_cast<std::int64_t>(after - before)) / 1024));
  // Of so many models of 25 MB and their buffers, less than one may stay.
  EXPECT_LT(after, before + (24 << 20)) << before << " and then " << after << " bytes";
}

// Weights without data, which nobody may read before it is known that there is room for them.
model::Weights without_data(model::Weights weights) {
  const auto empty = [](model::Weight& weight) { weight.data = nullptr; };
  for (model::Weight* weight : {&weights.embed, &weights.output_norm, &weights.output}) empty(*weight);
  for (model::LayerWeights& layer : weights.layers)
    for (const model::TensorRule& rule : model::tensor_table())
      if (rule.of_layer != nullptr) empty(layer.*rule.of_layer);
  return weights;
}

TEST_F(BadDays, AContextWithoutRoomIsRefusedBeforeAnyWeightIsRead) {
  const LoadedModel loaded(demo_path);
  const model::Weights weights = without_data(loaded.weights);
  for (const Numerics numerics : {Numerics::fast, Numerics::exact}) {
    WgpuOptions huge = options();
    huge.numerics = numerics;
    huge.context = 2'000'000'000;
    huge.self_test = true;  // which must not take it for a wrong kernel
    const auto result = WgpuModel::load(weights, huge);
    ASSERT_FALSE(result);
    const std::string text = to_string(result.error());
    EXPECT_EQ(result.error().code, ErrorCode::model_load) << text;
    EXPECT_NE(result.error().where.find("2000000000 positions"), std::string::npos) << text;
    EXPECT_NE(result.error().expected.find("at most "), std::string::npos) << text;
    EXPECT_NE(result.error().actual.find(" GiB"), std::string::npos) << text;
    EXPECT_NE(result.error().hint.find("--ctx"), std::string::npos) << text;
  }
}

TEST_F(BadDays, ADeviceLostBetweenTokensIsAnError) {
  const LoadedModel loaded(models_dir + "tiny/tiny-Q4_K.gguf");
  const auto model = WgpuModel::load(loaded.weights, options());
  ASSERT_TRUE(model) << to_string(model.error());
  for (std::int32_t position = 0; position < 3; ++position) ASSERT_TRUE(step(**model, position)) << position;
  (*model)->lose_device();
  const auto begin = std::chrono::steady_clock::now();
  for (std::int32_t position = 3; position < 5; ++position) {
    const auto lost = step(**model, position);
    ASSERT_FALSE(lost) << position;
    EXPECT_EQ(lost.error().code, ErrorCode::inference);
    EXPECT_NE(to_string(lost.error()).find("lost"), std::string::npos) << to_string(lost.error());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

// In the middle of a pass, with work recorded and submitted.
class LosesItsDevice final : public model::TraceSink {
 public:
  explicit LosesItsDevice(WgpuModel& model) : model_(model) {}
  bool wants(Stage stage, int) override { return stage == Stage::attention; }
  void take(Stage, int, std::int64_t, std::int64_t, std::int64_t, std::span<const float>) override {
    model_.lose_device();
  }

 private:
  WgpuModel& model_;
};

TEST_F(BadDays, ADeviceLostWithinAPassIsAnError) {
  const LoadedModel loaded(models_dir + "tiny/tiny-Q4_K.gguf");
  {
    const auto model = WgpuModel::load(loaded.weights, options());
    ASSERT_TRUE(model) << to_string(model.error());
    LosesItsDevice sink(**model);
    const auto lost = step(**model, 0, &sink);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::inference);
    EXPECT_NE(to_string(lost.error()).find("lost"), std::string::npos) << to_string(lost.error());
  }
  // The next model of this process is as good as the first.
  const auto next = WgpuModel::load(loaded.weights, options());
  ASSERT_TRUE(next) << to_string(next.error());
  EXPECT_TRUE(step(**next, 0));
}

}  // namespace
}  // namespace trine::test
