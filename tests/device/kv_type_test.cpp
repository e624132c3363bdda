#include "device/kv_type.h"

#include "loaded_model.h"
#include "scaled_weights.h"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace trine::device {
namespace {

class KvTypeTest : public ::testing::Test {
 protected:
  KvType choose(model::Numerics numerics = model::Numerics::fast) {
    return safe_kv_type(kv_type_for(numerics), loaded.weights, 2);
  }

  test::LoadedModel loaded{test::models_dir + "tiny/tiny-BF16.gguf"};
};

TEST_F(KvTypeTest, OnlyFastNumericsHalveTheElements) {
  EXPECT_EQ(choose(model::Numerics::fast), KvType::f16);
  EXPECT_EQ(choose(model::Numerics::exact), KvType::f32);
}

TEST_F(KvTypeTest, EveryModelOfTheRepositoryFits) {
  ThreadPool pool(2);
  std::vector<std::string> paths = test::tiny_paths();
  paths.push_back(test::demo_path);
  for (const std::string& path : paths)
    EXPECT_TRUE(kv_fits_f16(test::LoadedModel(path).weights, pool)) << path;
}

// A row of W_v that is `length` long, under a norm whose weights are one, reaches √H · length when the
// activations have its direction.
TEST_F(KvTypeTest, AValueMayBeAsLongAsItsRowAllows) {
  model::LayerWeights& last = loaded.weights.layers.back();
  const auto ones = test::scale_weight(last.attn_norm, 0);
  for (float& value : *ones) value = 1;
  const auto values = test::scale_weight(last.attn_v, 0);
  const auto hidden = static_cast<float>(loaded.weights.config.hidden_size);
  values->back() = 60000 / std::sqrt(hidden);
  EXPECT_EQ(choose(), KvType::f16);
  values->back() = -65600 / std::sqrt(hidden);
  EXPECT_EQ(choose(), KvType::f32);
}

TEST_F(KvTypeTest, AKeyMayBeAsLongAsItsNormAllows) {
  model::LayerWeights& first = loaded.weights.layers.front();
  const auto values = test::scale_weight(first.attn_k_norm, 0);
  const auto head = static_cast<float>(loaded.weights.config.head_dim);
  values->front() = -60000 / std::sqrt(head);
  EXPECT_EQ(choose(), KvType::f16);
  values->front() = 65600 / std::sqrt(head);
  EXPECT_EQ(choose(), KvType::f32);
}

TEST_F(KvTypeTest, WhatIsAskedForIsTakenOrRefused) {
  const auto chosen = [&](std::optional<KvType> asked, model::Numerics numerics = model::Numerics::fast) {
    return choose_kv_type(asked, numerics, loaded.weights, 2);
  };
  loaded.weights.config.head_dim = 64;  // nothing else is read of it
  for (const KvType type : model::all_kv_types) EXPECT_EQ(chosen(type).value(), type) << name_of(type);
  EXPECT_EQ(chosen({}).value(), KvType::f16);
  EXPECT_EQ(chosen({}, model::Numerics::exact).value(), KvType::f32);
  EXPECT_EQ(chosen(KvType::f32, model::Numerics::exact).value(), KvType::f32);
  for (const KvType type : {KvType::f16, KvType::bf16, KvType::q8_0}) {
    const auto refused = chosen(type, model::Numerics::exact);
    ASSERT_FALSE(refused) << name_of(type);
    EXPECT_EQ(refused.error().code, ErrorCode::usage);
    EXPECT_EQ(refused.error().actual, name_of(type));
  }
  loaded.weights.config.head_dim = 48;
  const auto ragged = chosen(KvType::q8_0);
  ASSERT_FALSE(ragged);
  EXPECT_EQ(ragged.error().code, ErrorCode::usage);
  EXPECT_NE(ragged.error().what.find("48"), std::string::npos);
}

TEST_F(KvTypeTest, F16IsRefusedByNameWhereItDoesNotFit) {
  const auto scaled = test::scale_weight(loaded.weights.layers.front().attn_v, 0x1p30f);
  EXPECT_EQ(choose_kv_type({}, model::Numerics::fast, loaded.weights, 2).value(), KvType::f32);
  const auto refused = choose_kv_type(KvType::f16, model::Numerics::fast, loaded.weights, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::model_load);
  EXPECT_NE(refused.error().hint.find("bf16"), std::string::npos);
  EXPECT_EQ(choose_kv_type(KvType::bf16, model::Numerics::fast, loaded.weights, 2).value(), KvType::bf16);
}

TEST_F(KvTypeTest, WeightsThatAreNoNumbersDoNotFit) {
  const auto values = test::scale_weight(loaded.weights.layers.back().attn_v, 1);
  values->front() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(choose(), KvType::f32);
}

}  // namespace
}  // namespace trine::device
