#include "cpu_fixture.h"
#include "reference/model.h"
#include "scaled_weights.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>

namespace trine::test {
namespace {

// Values of the first layer are near 10^6, which f16 does not have; W_o takes them back to where they were.
TEST(KvRangeTest, ValuesBeyondF16GiveTheReferencesLogits) {
  LoadedModel loaded(models_dir + "tiny/tiny-BF16.gguf");
  model::LayerWeights& first = loaded.weights.layers.front();
  const auto values = scale_weight(first.attn_v, 0x1p20f), output = scale_weight(first.attn_output, 0x1p-20f);

  const std::vector<std::int32_t> tokens = sample_tokens(23, loaded.weights.config.vocab_size);
  ThreadPool pool(2);
  reference::Sequence sequence;
  const auto expected = reference::Model(loaded.weights).forward(sequence, tokens, true, pool, nullptr);
  ASSERT_TRUE(expected) << to_string(expected.error());
  float largest = 0;
  for (const float value : sequence.values.front()) largest = std::max(largest, std::abs(value));
  ASSERT_GT(largest, 65504);

  const auto check = [&](const model::LoadOptions& asked, model::KvType type) {
    CpuRunner runner(loaded, asked);
    EXPECT_EQ(runner.model->describe().kv_type, type);
    const Difference difference = compare(runner.run(tokens), *expected);
    EXPECT_TRUE(difference.cosine >= 0.999) << name_of(type) << ": " << difference.cosine;
  };
  for (const model::Numerics numerics : {model::Numerics::exact, model::Numerics::fast})
    check(options(numerics), model::KvType::f32);
  model::LoadOptions asked = options(model::Numerics::fast);
  asked.kv_type = model::KvType::bf16;
  check(asked, model::KvType::bf16);
}

}  // namespace
}  // namespace trine::test
