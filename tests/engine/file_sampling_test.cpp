// general.sampling.* of a file: what becomes the default, and what is said of the rest.
#include "engine/file_sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

namespace trine::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

FileSampling with(const std::vector<std::pair<std::string, gguf::Value>>& entries) {
  gguf::Metadata metadata;
  for (const auto& [key, value] : entries) metadata.add("general.sampling." + key, value);
  return read_file_sampling(metadata);
}

TEST(FileSampling, NothingStatedIsTheProgramsOwn) {
  const FileSampling none = with({});
  EXPECT_EQ(none.params.temperature, 0.7f);
  EXPECT_EQ(none.params.top_k, 0);
  EXPECT_EQ(none.params.top_p, 1);
  EXPECT_EQ(none.params.repeat_penalty, 1);
  EXPECT_THAT(none.used, IsEmpty());
  EXPECT_THAT(none.warnings, IsEmpty());
}

// As Qwen3-Coder's generation_config.json has them.
TEST(FileSampling, EveryKeySetsItsParameter) {
  const FileSampling all = with({{"temp", gguf::make_value(0.6f)},
                                 {"top_k", gguf::make_value(std::int32_t{20})},
                                 {"top_p", gguf::make_value(0.8f)},
                                 {"min_p", gguf::make_value(0.05f)},
                                 {"penalty_repeat", gguf::make_value(1.05f)},
                                 {"penalty_last_n", gguf::make_value(std::int32_t{128})}});
  EXPECT_EQ(all.params.temperature, 0.6f);
  EXPECT_EQ(all.params.top_k, 20);
  EXPECT_EQ(all.params.top_p, 0.8f);
  EXPECT_EQ(all.params.min_p, 0.05f);
  EXPECT_EQ(all.params.repeat_penalty, 1.05f);
  EXPECT_EQ(all.params.penalty_window, 128);
  EXPECT_EQ(all.used.size(), 6u);
  EXPECT_THAT(all.used, testing::Contains("general.sampling.top_k"));
  EXPECT_THAT(all.warnings, IsEmpty());
  EXPECT_EQ(describe(all.params),
            "temperature 0.6, top-k 20, top-p 0.8, min-p 0.05, repeat penalty 1.05 over 128 tokens");
  // Whole numbers where fractions are usual.
  EXPECT_EQ(with({{"temp", gguf::make_value(std::uint32_t{0})}}).params.temperature, 0);
}

TEST(FileSampling, AWindowOfZeroIsNoPenaltyAndMinusOneIsEverything) {
  const FileSampling off = with(
      {{"penalty_repeat", gguf::make_value(1.3f)}, {"penalty_last_n", gguf::make_value(std::int32_t{0})}});
  EXPECT_EQ(off.params.repeat_penalty, 1);
  const FileSampling whole = with(
      {{"penalty_repeat", gguf::make_value(1.3f)}, {"penalty_last_n", gguf::make_value(std::int32_t{-1})}});
  EXPECT_EQ(whole.params.penalty_window, -1);
  EXPECT_TRUE(sampling::validate(whole.params, 100).has_value());
}

TEST(FileSampling, WhatCannotBeIsLeftOutAndSaid) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::pair<std::string, gguf::Value> bad[] = {{"temp", gguf::make_value(-1.0f)},
                                                     {"temp", gguf::make_value(nan)},
                                                     {"temp", gguf::make_value("0.7")},
                                                     {"top_k", gguf::make_value(std::int32_t{-5})},
                                                     {"top_p", gguf::make_value(1.5f)},
                                                     {"min_p", gguf::make_value(-0.1f)},
                                                     {"penalty_repeat", gguf::make_value(0.0f)},
                                                     {"penalty_last_n", gguf::make_value(std::int32_t{-2})},
                                                     {"top_k", gguf::make_value(std::uint64_t{1} << 40)}};
  for (const auto& entry : bad) {
    const FileSampling left_out = with({entry});
    EXPECT_THAT(left_out.warnings, ElementsAre(HasSubstr("general.sampling." + entry.first)));
    EXPECT_THAT(left_out.used, IsEmpty());
    EXPECT_TRUE(sampling::validate(left_out.params, 100).has_value());
    EXPECT_EQ(describe(left_out.params), "temperature 0.7");
  }
}

TEST(FileSampling, TheLikeliestTokenIsThatBehindPenaltiesAndBias) {
  sampling::SamplingParams params = {.temperature = 0, .top_k = 40};
  EXPECT_EQ(describe(params), "the likeliest token");
  params.repeat_penalty = 1.5f;
  params.logit_bias = {{5, 100.0f}};
  EXPECT_EQ(describe(params), "the likeliest token, repeat penalty 1.5 over 64 tokens, a bias on 1 token(s)");
}

TEST(FileSampling, WaysOfChoosingThatAreNotToBeHadAreSaid) {
  EXPECT_THAT(with({{"xtc_probability", gguf::make_value(0.5f)}}).warnings, ElementsAre(HasSubstr("XTC")));
  EXPECT_THAT(with({{"mirostat", gguf::make_value(std::int32_t{2})}}).warnings,
              ElementsAre(HasSubstr("Mirostat")));
  EXPECT_THAT(with({{"sequence", gguf::make_value("top_k;temperature")}}).warnings,
              ElementsAre(HasSubstr("general.sampling.sequence")));
  EXPECT_THAT(with({{"xtc_probability", gguf::make_value(0.0f)},
                    {"xtc_threshold", gguf::make_value(0.1f)},
                    {"mirostat", gguf::make_value(std::int32_t{0})},
                    {"mirostat_tau", gguf::make_value(5.0f)}})
                  .warnings,
              IsEmpty());
}

}  // namespace
}  // namespace trine::engine
