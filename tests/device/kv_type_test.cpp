#include "device/kv_type.h"

#include "loaded_model.h"
#include "scaled_weights.h"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
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

TEST_F(KvTypeTest, WeightsThatAreNoNumbersDoNotFit) {
  const auto values = test::scale_weight(loaded.weights.layers.back().attn_v, 1);
  values->front() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(choose(), KvType::f32);
}

}  // namespace
}  // namespace trine::device
