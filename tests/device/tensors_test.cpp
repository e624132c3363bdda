#include "device/tensors.h"

#include "loaded_model.h"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace trine::device {
namespace {

// Notes each tensor that it is shown with its own place.
struct Names {
  std::multiset<std::string> seen;
  std::string fails_at = {};

  Result<void> norm(const model::Weight& weight, const model::Weight& place) {
    EXPECT_EQ(&weight, &place) << weight.tensor->name;
    seen.insert(weight.tensor->name);
    return weight.tensor->name == fails_at ? fail(ErrorCode::inference, "planted") : Result<void>();
  }
  Result<void> head_norms(const model::Weight& q_norm, const model::Weight& k_norm,
                          const model::LayerWeights& layer) {
    TRINE_CHECK_OK(norm(q_norm, layer.attn_q_norm));
    return norm(k_norm, layer.attn_k_norm);
  }
  Result<void> matrix(const model::Weight& weight, const model::Weight& place) { return norm(weight, place); }
  Result<void> experts(const model::Weight& weight, const model::Weight& beside, const model::Weight& place) {
    EXPECT_EQ(weight.experts, beside.experts);
    const std::string& name = weight.tensor->name;
    const bool down = name.ends_with("ffn_down_exps.weight");
    EXPECT_EQ(&weight == &beside, down) << name;
    return norm(weight, place);
  }
};

TEST(TensorsTest, EveryTensorOfTheFileIsShownOnceWithItsPlace) {
  for (const std::string& path : test::tiny_paths()) {
    const test::LoadedModel loaded(path);
    std::multiset<std::string> in_file;
    for (const gguf::TensorInfo& tensor : loaded.file->tensors()) in_file.insert(tensor.name);
    Names names;
    EXPECT_TRUE(for_each_tensor(loaded.weights, loaded.weights, names).has_value());
    EXPECT_EQ(names.seen, in_file) << path;
  }
}

TEST(TensorsTest, AnErrorEndsTheWalk) {
  const test::LoadedModel loaded(test::tiny_paths().front());
  Names names{.seen = {}, .fails_at = "blk.1.ffn_norm.weight"};
  const Result<void> done = for_each_tensor(loaded.weights, loaded.weights, names);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().what, "planted");
  EXPECT_EQ(names.seen.count("blk.1.ffn_norm.weight"), 1u);
  EXPECT_EQ(names.seen.count("blk.1.ffn_gate_inp.weight"), 0u);
}

}  // namespace
}  // namespace trine::device
