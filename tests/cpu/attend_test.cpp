#include "cpu/attend.h"
#include "quant/float.h"

#include "kernel_helpers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

// Attention over the KV cache against fp64, with keys and values as the cache has them, and its exponential.

namespace trine::cpu {
namespace {

using model::all_kv_types;
using model::KvType;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// ---- The exponential ----

class ExpTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = find_kernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor lacks " << GetParam();
  }
  std::vector<float> exp(const std::vector<float>& x) const {
    std::vector<float> out(x.size());
    kernels_->exp(x.data(), out.data(), static_cast<std::int64_t>(x.size()));
    return out;
  }
  const Kernels* kernels_ = nullptr;
};

// Every 4099th float from -110 to 90, subnormal results and overflow among them.
std::vector<float> exponents() {
  std::vector<float> x;
  for (const auto& [sign, end] : {std::pair(0x80000000u, 110.0f), std::pair(0u, 90.0f)})
    for (std::uint32_t bits = 0; bits <= std::bit_cast<std::uint32_t>(end); bits += 4099)
      x.push_back(std::bit_cast<float>(sign | bits));
  return x;
}

TEST_P(ExpTest, IsWithinFiveQuartersOfAUnitInTheLastPlace) {
  const std::vector<float> x = exponents(), actual = exp(x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(double{x[i]});
    if (expected >= 0x1.ffffffp127) {
      ASSERT_EQ(actual[i], infinity) << x[i];
      continue;
    }
    const double unit = std::max(std::ldexp(1.0, std::ilogb(expected) - 23), 0x1p-149);
    ASSERT_TRUE(std::abs(actual[i] - expected) <= 1.25 * unit)
        << x[i] << ": " << actual[i] << " for " << expected;
  }
}

TEST_P(ExpTest, KnowsItsEnds) {
  const std::vector<float> actual = exp({0.0f, -0.0f, -infinity, infinity, not_a_number, -104.0f, -1e30f,
                                         89.0f, -std::numeric_limits<float>::max()});
  EXPECT_EQ(actual[0], 1.0f);
  EXPECT_EQ(actual[1], 1.0f);
  EXPECT_EQ(actual[2], 0.0f);
  EXPECT_EQ(actual[3], infinity);
  EXPECT_TRUE(std::isnan(actual[4]));
  EXPECT_EQ(actual[5], 0.0f);
  EXPECT_EQ(actual[6], 0.0f);
  EXPECT_EQ(actual[7], infinity);
  EXPECT_EQ(actual[8], 0.0f);
}

TEST_P(ExpTest, GivesTheSameBitsWithEveryFusedMultiplyAdd) {
  if (kernels_->isa == "portable") GTEST_SKIP() << "it has no fused multiply-add";
  const std::vector<float> x = exponents(), actual = exp(x);
  std::vector<float> expected(x.size());
  find_kernels("avx2")->exp(x.data(), expected.data(), static_cast<std::int64_t>(x.size()));
  EXPECT_EQ(std::memcmp(actual.data(), expected.data(), x.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Isas, ExpTest, testing::ValuesIn(isas),
                         [](const auto& info) { return std::string(info.param); });

// ---- Attention ----

model::Config heads_of(int n_heads, int n_kv_heads, int head_dim) {
  model::Config config;
  config.n_layers = 2;
  config.n_heads = n_heads;
  config.n_kv_heads = n_kv_heads;
  config.head_dim = head_dim;
  return config;
}

// Sequences in a KV cache, whose pages lie in no order, and what they are asked.
class Sequences {
 public:
  static constexpr int layer = 1;

  Sequences(const Kernels& kernels, const model::Config& config, KvType type,
            std::vector<std::int32_t> lengths, float scale = 1.0f)
      : kernels_(kernels), config_(config), type_(type) {
    std::vector<std::int32_t> free;
    for (const std::int32_t length : lengths)
      for (std::int32_t i = 0; i < device::kv_pages(length); ++i)
        free.push_back(static_cast<std::int32_t>(free.size()));
    std::shuffle(free.begin(), free.end(), random_);
    capacity_ = static_cast<std::int64_t>(free.size()) * KvCache::page_size;
    cache_ = std::move(*KvCache::create(config, static_cast<std::int32_t>(capacity_), type));
    for (const std::int32_t length : lengths) {
      model::Slot slot;
      for (std::int32_t i = 0; i < device::kv_pages(length); ++i) {
        slot.pages.push_back(free.back());
        free.pop_back();
      }
      keys.push_back(random_values(length * config.kv_size(), random_));
      values.push_back(random_values(length * config.kv_size(), random_));
      queries.push_back(random_values(length * config.q_size(), random_));
      for (float& key : keys.back()) key *= scale;
      rounded_keys_.push_back(rounded(keys.back()));
      rounded_values_.push_back(rounded(values.back()));
      slots_.push_back(std::move(slot));
      for (std::int32_t position = 0; position < length; ++position)
        write(static_cast<std::int32_t>(slots_.size()) - 1, position);
    }
  }

  void write(std::int32_t slot, std::int32_t position) {
    const std::size_t s = static_cast<std::size_t>(slot);
    cache_.write(kernels_, layer, KvCache::slot(slots_[s].pages, position),
                 keys[s].data() + position * config_.kv_size(),
                 values[s].data() + position * config_.kv_size());
  }

  // [rows][n_heads·D]. With `pool` of its own size.
  std::vector<float> attend(const std::vector<model::Row>& rows, ThreadPool& pool,
                            bool* was_split = nullptr) {
    const std::int64_t width = config_.q_size();
    std::vector<float> q, out(rows.size() * static_cast<std::size_t>(width), not_a_number);
    for (const model::Row& row : rows) {
      const float* from = queries[static_cast<std::size_t>(row.slot)].data() + row.position * width;
      q.insert(q.end(), from, from + width);
    }
    const model::StepPlan step{.rows = rows, .slots = slots_};
    Attend attend(config_, static_cast<std::int64_t>(rows.size()), capacity_, pool.size());
    attend.plan(step);
    if (was_split != nullptr) *was_split = attend.is_split();
    attend.run(kernels_, cache_, pool, step, layer, {q.data(), width}, {out.data(), width});
    return out;
  }

  // What the cache is to have of so many values, by the definition of its type.
  std::vector<float> rounded(const std::vector<float>& x) const {
    std::vector<float> out(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (type_ == KvType::f16) out[i] = quant::to_float(quant::to_half(x[i]));
      if (type_ == KvType::bf16) out[i] = quant::to_float(quant::to_bfloat16(x[i]));
      if (type_ != KvType::q8_0) continue;
      float largest = 0;
      for (std::size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k)
        largest = std::max(largest, std::abs(x[k]));
      const float scale = largest / 127.0f;
      out[i] = scale == 0.0f ? 0.0f : std::nearbyint(x[i] / scale) * scale;
    }
    return out;
  }

  // One row against fp64. A score errs by D/8 + 5 roundings of Σ|q·k|/√D, and its weight by as much,
  // relative, once more for the largest score; weights and sums by some 64 + 3 roundings a page and segment.
  void check(const model::Row& row, const float* actual) const {
    const std::int64_t d = config_.head_dim, group = config_.n_heads / config_.n_kv_heads;
    const std::size_t s = static_cast<std::size_t>(row.slot);
    const std::vector<float>&k = rounded_keys_[s], &v = rounded_values_[s];
    for (std::int64_t head = 0; head < config_.n_heads; ++head) {
      const float* q = queries[s].data() + row.position * config_.q_size() + head * d;
      const auto at = [&](std::int32_t position) { return position * config_.kv_size() + head / group * d; };
      std::vector<double> weights;
      double largest = -infinity, error = 0, sum = 0;
      for (std::int32_t position = 0; position <= row.position; ++position) {
        double score = 0, magnitude = 0;
        for (std::int64_t i = 0; i < d; ++i) {
          score += double{q[i]} * k[at(position) + i];
          magnitude += std::abs(double{q[i]} * k[at(position) + i]);
        }
        weights.push_back(score / std::sqrt(static_cast<double>(d)));
        error = std::max(error, (static_cast<double>(d) / 8 + 5) * unit_roundoff * magnitude /
                                    std::sqrt(static_cast<double>(d)));
        largest = std::max(largest, weights.back());
      }
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      // What is lost where an exponential is subnormal or 0.
      const double smallest = 0x1p-130;
      const double relative = 4 * error + (128 + row.position / 16.0) * unit_roundoff;
      for (std::int64_t i = 0; i < d; ++i) {
        double expected = 0, magnitude = 0;
        for (std::int32_t position = 0; position <= row.position; ++position) {
          const double term = weights[static_cast<std::size_t>(position)] / sum * v[at(position) + i];
          expected += term;
          magnitude += std::abs(term);
        }
        ASSERT_TRUE(std::abs(actual[head * d + i] - expected) <= relative * magnitude + smallest)
            << "slot " << row.slot << " position " << row.position << " head " << head << " column " << i
            << ": " << actual[head * d + i] << " instead of " << expected << ", off by "
            << std::abs(actual[head * d + i] - expected) << " of " << relative * magnitude;
      }
    }
  }
  void check_all(const std::vector<model::Row>& rows, const std::vector<float>& actual) const {
    for (std::size_t n = 0; n < rows.size(); ++n) {
      check(rows[n], actual.data() + n * static_cast<std::size_t>(config_.q_size()));
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  std::vector<std::vector<float>> keys, values, queries;  // [slot][position][…]

 private:
  const Kernels& kernels_;
  model::Config config_;
  KvType type_;
  std::mt19937 random_{7};
  std::int64_t capacity_ = 0;
  KvCache cache_;
  std::vector<model::Slot> slots_;
  std::vector<std::vector<float>> rounded_keys_, rounded_values_;  // as the cache has them
};

std::vector<model::Row> rows_of(std::int32_t slot, std::int32_t first, std::int32_t count) {
  std::vector<model::Row> rows;
  for (std::int32_t i = 0; i < count; ++i) rows.push_back({.position = first + i, .slot = slot});
  return rows;
}

bool same_bits(const float* a, const float* b, std::int64_t n) {
  return std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0;
}

class AttendTest : public testing::TestWithParam<std::tuple<const char*, KvType>> {
 protected:
  void SetUp() override {
    kernels_ = find_kernels(std::get<0>(GetParam()));
    if (kernels_ == nullptr) GTEST_SKIP() << "this processor lacks " << std::get<0>(GetParam());
  }
  KvType type() const { return std::get<1>(GetParam()); }
  bool takes(int head_dim) const { return type() != KvType::q8_0 || head_dim % 32 == 0; }

  const Kernels* kernels_ = nullptr;
  ThreadPool pool_{1};
};

TEST_P(AttendTest, AgreesWithFp64AtManyShapes) {
  for (const auto& [n_heads, n_kv_heads, head_dim] :
       {std::tuple(8, 1, 32), std::tuple(3, 3, 32), std::tuple(6, 2, 64), std::tuple(5, 1, 96),
        std::tuple(80, 1, 32), std::tuple(2, 1, 2), std::tuple(4, 2, 6), std::tuple(7, 1, 10),
        std::tuple(2, 2, 24)}) {
    if (!takes(head_dim)) continue;
    SCOPED_TRACE(testing::Message() << n_heads << " heads, " << n_kv_heads << " KV heads of " << head_dim);
    Sequences all(*kernels_, heads_of(n_heads, n_kv_heads, head_dim), type(), {77});
    const std::vector<model::Row> rows = rows_of(0, 0, 77);
    all.check_all(rows, all.attend(rows, pool_));
    if (HasFatalFailure()) return;
  }
}

TEST_P(AttendTest, AgreesWithFp64OverManySegments) {
  constexpr std::int32_t length = 3 * attend_segment + 100;
  Sequences all(*kernels_, heads_of(4, 2, 32), type(), {length, 70});
  // Rows on both sides of a segment's and of a page's end, alone and side by side.
  std::vector<model::Row> rows = rows_of(0, attend_segment - 2, 5);
  for (const model::Row& row : rows_of(0, length - 3, 3)) rows.push_back(row);
  for (const model::Row& row : rows_of(1, 62, 5)) rows.push_back(row);
  ThreadPool three(3);
  all.check_all(rows, all.attend(rows, three));
}

// One position takes all the weight, and what exp of the difference is lies below every float.
TEST_P(AttendTest, AgreesWithFp64WhereScoresAreFarApart) {
  Sequences all(*kernels_, heads_of(4, 1, 32), type(), {130}, 1000.0f);
  const std::vector<model::Row> rows = rows_of(0, 100, 30);
  all.check_all(rows, all.attend(rows, pool_));
}

TEST_P(AttendTest, ARowsBitsDependOnItsSequenceAlone) {
  constexpr std::int32_t length = 2 * attend_segment + 90;
  const model::Config config = heads_of(6, 2, 64);
  Sequences all(*kernels_, config, type(), {length, 40, 600});
  std::vector<model::Row> rows = rows_of(1, 33, 7);
  for (const model::Row& row : rows_of(0, attend_segment - 9, 20)) rows.push_back(row);
  for (const model::Row& row : rows_of(2, 599, 1)) rows.push_back(row);
  for (const model::Row& row : rows_of(0, length - 1, 1)) rows.push_back(row);
  ThreadPool three(3), sixteen(16);
  const std::vector<float> together = all.attend(rows, pool_);
  EXPECT_TRUE(
      same_bits(all.attend(rows, three).data(), together.data(), static_cast<std::int64_t>(together.size())));
  EXPECT_TRUE(same_bits(all.attend(rows, sixteen).data(), together.data(),
                        static_cast<std::int64_t>(together.size())));
  for (std::size_t n = 0; n < rows.size(); ++n) {
    const float* expected = together.data() + n * static_cast<std::size_t>(config.q_size());
    bool is_split = false;
    EXPECT_TRUE(same_bits(all.attend({rows[n]}, pool_, &is_split).data(), expected, config.q_size())) << n;
    EXPECT_FALSE(is_split);
    EXPECT_TRUE(same_bits(all.attend({rows[n]}, sixteen, &is_split).data(), expected, config.q_size())) << n;
    EXPECT_EQ(is_split, rows[n].position >= attend_segment) << "one segment has nothing to merge";
  }
}

// Positions behind a row are in its page, and may hold anything.
TEST_P(AttendTest, WhatARowDoesNotSeeDoesNotReachIt) {
  const model::Config config = heads_of(4, 2, 32);
  Sequences all(*kernels_, config, type(), {80});
  const std::vector<model::Row> rows = rows_of(0, 60, 20);
  const std::vector<float> clean = all.attend(rows, pool_);
  for (const float bad : {not_a_number, infinity, -infinity, 1e30f}) {
    for (auto* spoilt : {&all.keys[0], &all.values[0]}) {
      const std::vector<float> before = *spoilt;
      std::fill_n(spoilt->begin() + 70 * config.kv_size(), config.kv_size(), bad);
      all.write(0, 70);
      const std::vector<float> actual = all.attend(rows, pool_);
      EXPECT_TRUE(same_bits(actual.data(), clean.data(), 10 * config.q_size())) << bad;
      // What sees a NaN says so, in every head.
      if (std::isnan(bad)) {
        for (std::size_t i = static_cast<std::size_t>(10 * config.q_size()); i < actual.size(); ++i)
          ASSERT_TRUE(std::isnan(actual[i]));
      }
      *spoilt = before;
      all.write(0, 70);
    }
  }
}

TEST_P(AttendTest, EveryFusedMultiplyAddGivesTheSameBits) {
  if (kernels_->isa == "portable") GTEST_SKIP() << "it has no fused multiply-add";
  for (const int head_dim : {10, 96}) {
    if (!takes(head_dim)) continue;
    const model::Config config = heads_of(6, 2, head_dim);
    Sequences one(*kernels_, config, type(), {600}), other(*find_kernels("avx2"), config, type(), {600});
    const std::vector<model::Row> rows = rows_of(0, 570, 30);
    const std::vector<float> actual = one.attend(rows, pool_), expected = other.attend(rows, pool_);
    EXPECT_TRUE(same_bits(actual.data(), expected.data(), static_cast<std::int64_t>(actual.size())))
        << head_dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttendTest,
                         testing::Combine(testing::ValuesIn(isas), testing::ValuesIn(all_kv_types)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  std::string(model::name_of(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace trine::cpu
