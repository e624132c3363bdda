// What a device may be used without: names, and that every combination computes the same model.
#include "wgpu/variants.h"

#include "compare.h"
#include "loaded_model.h"
#include "reference/model.h"
#include "step_helpers.h"
#include "wgpu/model.h"
#include "wgpu_fixture.h"

#include <gtest/gtest.h>
#include <cstdlib>

namespace trine::test {
namespace {

using model::Numerics;
using wgpu::Variants;
using wgpu::variants_without;
using wgpu::WgpuModel;
using Names = std::vector<std::string>;

constexpr const char* variable = "TRINE_WGPU_WITHOUT";

// Sets the variable for the life of an object.
struct Environment {
  explicit Environment(const char* value) { ::setenv(variable, value, 1); }
  ~Environment() { ::unsetenv(variable); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
};

TEST(Variants, AreAllThereUnlessNamed) {
  EXPECT_EQ(*variants_without({}), Variants{});
  const Variants some = *variants_without(Names{"integer-dot", "subgroups"});
  EXPECT_EQ(some, (Variants{.subgroups = false, .integer_dot = false}));
  EXPECT_EQ(names_of_missing(some), (Names{"subgroups", "integer-dot"}));
  EXPECT_EQ(names_of_missing(some & Variants{.f16 = false}, some), Names{"f16"});
}

TEST(Variants, TheEnvironmentLeavesOutToo) {
  const Environment environment("f16,timestamps");
  EXPECT_EQ(*variants_without(Names{"subgroups"}),
            (Variants{.subgroups = false, .f16 = false, .timestamps = false}));
}

TEST(Variants, AnUnknownNameIsAUsageErrorThatListsThem) {
  const auto expect_usage = [](const Result<Variants>& result, const std::string& where) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::usage);
    EXPECT_EQ(result.error().where, where);
    EXPECT_EQ(result.error().expected, "some of subgroups, f16, timestamps, integer-dot");
  };
  expect_usage(variants_without(Names{"integer dot"}), "--without");
  const Environment environment("f16,,subgroups");
  expect_usage(variants_without({}), variable);
}

std::vector<std::string> name_list(bool subgroups, bool integer_dot, bool f16) {
  return wgpu::names_of_missing({.subgroups = subgroups, .f16 = f16, .integer_dot = integer_dot});
}

class WithoutVariants : public testing::TestWithParam<Names> {
 protected:
  void SetUp() override {
    if (const std::string reason = wgpu::why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
  }
};

// One layer, since the kernels of all are the same.
model::Weights first_layer(const model::Weights& all) {
  model::Weights weights = all;
  weights.layers.resize(1);
  weights.config.n_layers = 1;
  return weights;
}

// Mat-vecs for one row and for several, then matrix products of less than a tile, of a few and of several
// batches, each against the reference. Rounding to 8 bits costs a product a percent or two; f32, and a cache
// of f16, next to nothing.
TEST_P(WithoutVariants, BatchesOfAnyLengthAgreeWithTheReference) {
  const Names& without = GetParam();
  const LoadedModel loaded(models_dir + "tiny/tied-Q4_K_M.gguf");
  const model::Weights weights = first_layer(loaded.weights);
  const auto vocab = static_cast<std::size_t>(weights.config.vocab_size);
  std::vector<std::int32_t> tokens(300);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>((i * 7919 + 11) % vocab);
  ThreadPool pool(2);
  reference::Sequence sequence;
  const auto expected = reference::Model(weights).forward(sequence, tokens, true, pool, nullptr);
  ASSERT_TRUE(expected) << to_string(expected.error());

  wgpu::WgpuOptions options;
  options.device = wgpu::first_adapter;
  options.context = 320;
  options.numerics = Numerics::fast;
  options.threads = 2;
  options.without = without;
  options.self_test = false;  // which would switch off what is wrong
  const auto model = WgpuModel::load(weights, options);
  ASSERT_TRUE(model) << to_string(model.error());
  EXPECT_EQ((*model)->describe().left_out, without);

  const bool rounds = std::find(without.begin(), without.end(), "integer-dot") == without.end();
  for (const std::size_t rows : {1, 16, 17, 65, 300}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    const auto slot = value_of(model::OpenSlot::open_whole(**model));
    std::vector<float> logits;
    for (std::size_t begin = 0; begin < rows;) {
      const std::size_t n = std::min(rows - begin, static_cast<std::size_t>((*model)->limits().rows));
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
      const model::Step step = rows_of({first, first + static_cast<std::ptrdiff_t>(n)},
                                       static_cast<std::int32_t>(begin), slot.id());
      const std::vector<float> some = value_of((*model)->run(step)).logits;
      logits.insert(logits.end(), some.begin(), some.end());
      begin += n;
    }
    const Difference difference = compare(logits, std::span(*expected).first(rows * vocab));
    EXPECT_LE(difference.relative_l2, rounds ? 5e-2 : 2e-3);
  }
}

std::string test_name_of(const testing::TestParamInfo<Names>& info) {
  std::string name = info.param.empty() ? "Nothing" : "";
  for (const std::string& one : info.param)
    for (const char c : one)
      if (c != '-') name += c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(LeftOut, WithoutVariants,
                         testing::Values(name_list(true, true, true), name_list(false, true, true),
                                         name_list(true, false, true), name_list(true, true, false),
                                         name_list(false, false, true), name_list(false, true, false),
                                         name_list(true, false, false), name_list(false, false, false)),
                         test_name_of);

}  // namespace
}  // namespace trine::test
