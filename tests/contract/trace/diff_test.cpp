// A comparison of traces names where they part, and passes nothing that it should not.
#include "contract/trace/diff.h"

#include "trace_fixture.h"

#include <cmath>
#include <functional>
#include <numeric>

namespace trine::test {
namespace {

using contract::TraceTolerance;

// A file of a reference run, spoilt by hand.
class TraceDiffTest : public Trace {
 protected:
  TraceDiffTest() {
    record(path("b"), *device_of("reference", Numerics::exact, 1), {5, 6, 7});
    good_ = bytes("b");
  }
  // The file with `change` done to one value.
  std::string spoilt(const std::string& bytes, const std::string& name, std::int64_t row, std::int64_t column,
                     const std::function<float(float)>& change) const {
    const TraceFile file = parsed(bytes);
    const auto slot = contract::parse_slot_name(name);
    const TraceSlot& found = file.slots()[file.index_of(slot->stage, slot->layer)];
    // The tensor's data_offsets, read from the header as anyone would.
    const std::size_t at = bytes.find("data_offsets\":[", bytes.find("\"" + name + "\"")) + 15;
    std::size_t header = 0;
    for (int i = 7; i >= 0; --i)
      header = header << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    const std::size_t place = 8 + header + std::stoull(bytes.substr(at)) +
                              static_cast<std::size_t>(row * found.width + column) * sizeof(float);
    float value = 0;
    std::string out = bytes;
    std::memcpy(&value, &out[place], sizeof value);
    value = change(value);
    std::memcpy(&out[place], &value, sizeof value);
    return out;
  }
  static contract::TraceDiff diff_of(const std::string& a, const std::string& b,
                                     const TraceTolerance& tolerance = {}) {
    auto diff = contract::diff_traces(parsed(a), parsed(b), tolerance);
    if (!diff) throw std::runtime_error(to_string(diff.error()));
    return *std::move(diff);
  }

  std::string good_;
};

TEST_F(TraceDiffTest, AFileIsWithinToleranceOfItself) {
  const contract::TraceDiff diff = diff_of(good_, good_, {1 - 1e-12, 0});
  EXPECT_FALSE(diff.first);
  EXPECT_EQ(diff.slots.size(), 27u);
  EXPECT_TRUE(diff.swaps.empty());
  for (const contract::SlotDiff& slot : diff.slots) EXPECT_EQ(slot.rows_outside, 0);
}

TEST_F(TraceDiffTest, NamesThePlantedChangeFirst) {
  const auto off = [](float x) { return x + 100; };
  const std::string late = spoilt(good_, "layer.1.moe_out", 1, 3, off);
  const contract::TraceDiff one = diff_of(late, good_);
  ASSERT_TRUE(one.first);
  EXPECT_EQ(one.first->slot.stage, Stage::moe_out);
  EXPECT_EQ(one.first->slot.layer, 1);
  EXPECT_EQ(one.first->row, 1);
  EXPECT_EQ(one.first->token, 6);
  EXPECT_GT(one.first->relative_l2, 2e-3);
  std::size_t outside = 0;
  for (const contract::SlotDiff& slot : one.slots) outside += static_cast<std::size_t>(slot.rows_outside);
  EXPECT_EQ(outside, 1u);

  // Earlier in the model comes before an earlier row, and a stage before a later one of its layer.
  const std::string early =
      spoilt(spoilt(late, "layer.0.layer_out", 2, 0, off), "layer.1.moe_out", 0, 0, off);
  const contract::TraceDiff three = diff_of(early, good_);
  ASSERT_TRUE(three.first);
  EXPECT_EQ(contract::slot_name(three.first->slot.stage, three.first->slot.layer), "layer.0.layer_out");
  EXPECT_EQ(three.first->row, 2);
  const contract::TraceDiff embed = diff_of(spoilt(early, "embed", 2, 0, off), good_);
  EXPECT_EQ(embed.first->slot.stage, Stage::embed);
  const contract::TraceDiff logits = diff_of(spoilt(good_, "logits", 0, 0, off), good_);
  EXPECT_EQ(logits.first->slot.stage, Stage::logits);
}

TEST_F(TraceDiffTest, NumbersThatAreNoneNeverPass) {
  for (const float bad : {nan, std::numeric_limits<float>::infinity()}) {
    for (const char* name : {"layer.0.attention", "layer.1.expert_ids"}) {
      const std::string file = spoilt(good_, name, 2, 0, [&](float) { return bad; });
      for (const auto& [a, b] : {std::pair(file, good_), std::pair(good_, file), std::pair(file, file)}) {
        const contract::TraceDiff diff = diff_of(a, b, {0, 1e300});
        ASSERT_TRUE(diff.first) << name;
        EXPECT_EQ(contract::slot_name(diff.first->slot.stage, diff.first->slot.layer), name);
        EXPECT_EQ(diff.first->row, 2);
        EXPECT_TRUE(std::isnan(diff.first->cosine));
      }
    }
  }
}

TEST_F(TraceDiffTest, IdsThatAreNoExpertsNeverPass) {
  const TraceFile file = parsed(good_);
  std::vector<float> ids;
  file.read_row(file.index_of(Stage::expert_ids, 1), 2, ids);
  ASSERT_GE(ids.size(), 2u);
  for (const float bad : {-1.0F, ids[1] + 0.5F, ids[1]}) {
    const std::string spoilt_file = spoilt(good_, "layer.1.expert_ids", 2, 0, [&](float) { return bad; });
    const contract::TraceDiff diff = diff_of(spoilt_file, spoilt_file);
    ASSERT_TRUE(diff.first) << bad;
    EXPECT_EQ(contract::slot_name(diff.first->slot.stage, diff.first->slot.layer), "layer.1.expert_ids");
    EXPECT_EQ(diff.first->row, 2);
    EXPECT_FALSE(diff.holds());
  }
}

TEST_F(TraceDiffTest, ToleranceIsTheBound) {
  // One value of a row doubled: relative L2 is |x| / ‖row‖.
  const TraceFile file = parsed(good_);
  std::vector<float> row;
  file.read_row(file.index_of(Stage::embed, -1), 0, row);
  const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
  const double expected = std::abs(static_cast<double>(row[1])) / norm;
  ASSERT_GT(expected, 0);
  const std::string off = spoilt(good_, "embed", 0, 1, [](float x) { return 2 * x; });
  EXPECT_FALSE(diff_of(off, good_, {0, expected * 1.001}).first);
  EXPECT_TRUE(diff_of(off, good_, {0, expected * 0.999}).first);
  EXPECT_NEAR(diff_of(off, good_).slots[0].worst_relative_l2, expected, 1e-6 * expected);
  EXPECT_TRUE(diff_of(off, good_, {1, 1}).first);
}

TEST_F(TraceDiffTest, RefusesWhatCannotBeCompared) {
  const auto refused = [&](std::string a, const std::string& message) {
    const auto diff = contract::diff_traces(parsed(a), parsed(good_), {});
    ASSERT_FALSE(diff) << message;
    EXPECT_EQ(diff.error().code, ErrorCode::validation_failed);
    EXPECT_NE(to_string(diff.error()).find(message), std::string::npos) << to_string(diff.error());
  };
  std::string other = good_;
  refused(other.replace(other.find(sha), 1, "b"), "different models");
  const auto device = device_of("reference", Numerics::exact, 1);
  record(path("prompt"), *device, {5, 6, 8});
  refused(bytes("prompt"), "different prompts");
  record(path("shorter"), *device, {5, 6});
  refused(bytes("shorter"), "different prompts");

  record(path("ids"), *device, {5, 6, 7}, {{Stage::expert_ids}, {0}});
  record(path("norm"), *device, {5, 6, 7}, {{Stage::final_norm}, {}});
  const std::string ids = bytes("ids"), norm = bytes("norm");
  const auto apart = contract::diff_traces(parsed(ids), parsed(norm), {});
  ASSERT_FALSE(apart);
  EXPECT_NE(to_string(apart.error()).find("no stage in common"), std::string::npos);

  const auto width = [](const char* shape, const char* end, std::size_t n) {
    return file_of("{" + metadata + "," + tensor("embed", shape, end) + "}", floats(std::vector<float>(n)));
  };
  const std::string two = width("2,2", "0,16", 4), three = width("2,3", "0,24", 6);
  EXPECT_FALSE(contract::diff_traces(parsed(two), parsed(three), {}));
  EXPECT_TRUE(contract::diff_traces(parsed(two), parsed(two), {}));
}

TEST_F(Trace, ExactNumericsStayWithinToleranceOfTheReferenceAndFastOnesLeaveIt) {
  if (!backend::choose_backend("cpu")) GTEST_SKIP() << "this build has no CPU backend";
  const std::vector<std::int32_t> tokens = {5, 6, 7, 300, 301};
  record(path("ref"), *device_of("reference", Numerics::exact, 1), tokens);
  record(path("exact"), *device_of("cpu", Numerics::exact, 1), tokens);
  record(path("fast"), *device_of("cpu", Numerics::fast, 1), tokens);
  const auto open = [&](const char* name) { return *TraceFile::open(path(name)); };
  const auto exact = contract::diff_traces(open("exact"), open("ref"), {});
  ASSERT_TRUE(exact) << to_string(exact.error());
  EXPECT_FALSE(exact->first);
  EXPECT_EQ(exact->slots.size(), 27u);
  const auto fast = contract::diff_traces(open("fast"), open("ref"), {});
  ASSERT_TRUE(fast) << to_string(fast.error());
  ASSERT_TRUE(fast->first);
  // Embedding and the first norm read no 8-bit activations.
  EXPECT_TRUE(fast->first->slot.stage > Stage::attn_norm) << model::name_of(fast->first->slot.stage);
}

// One row of router_logits and expert_ids of layer 0, top 2 of 4.
std::string routing(const std::vector<float>& logits, const std::vector<float>& ids) {
  const std::string one_token = std::string(metadata).replace(metadata.find("7,8"), 3, "7");
  if (logits.empty())
    return file_of("{" + one_token + "," + tensor("layer.0.expert_ids", "1,2", "0,8") + "}", floats(ids));
  return file_of("{" + one_token + "," + tensor("layer.0.router_logits", "1,4", "0,16") + "," +
                     tensor("layer.0.expert_ids", "1,2", "16,24") + "}",
                 floats(logits) + floats(ids));
}

contract::TraceDiff routing_diff(const std::string& a, const std::string& b) {
  auto diff = contract::diff_traces(parsed(a), parsed(b), {0, 10});
  if (!diff) throw std::runtime_error(to_string(diff.error()));
  return *std::move(diff);
}

TEST(TraceSwap, IsNamedWithTheRoutersMargin) {
  const std::string b = routing({4, 2, 1.75, 0}, {0, 1});
  const contract::TraceDiff diff = routing_diff(routing({4, 1.5, 1.875, 0}, {0, 2}), b);
  ASSERT_TRUE(diff.first);
  EXPECT_EQ(diff.first->slot.stage, Stage::expert_ids);
  ASSERT_EQ(diff.swaps.size(), 1u);
  EXPECT_EQ(diff.swaps[0].a, 2);
  EXPECT_EQ(diff.swaps[0].b, 1);
  EXPECT_FALSE(diff.swaps[0].same_experts);
  ASSERT_TRUE(diff.swaps[0].margin);
  EXPECT_EQ(*diff.swaps[0].margin, 0.25);
  EXPECT_EQ(diff.swaps[0].router_error, 0.5);

  const contract::TraceDiff order = routing_diff(routing({4, 2, 1.75, 0}, {1, 0}), b);
  ASSERT_EQ(order.swaps.size(), 1u);
  EXPECT_TRUE(order.swaps[0].same_experts);
  EXPECT_EQ(order.swaps[0].b, 0);
  EXPECT_EQ(order.swaps[0].a, 1);
  EXPECT_EQ(*order.swaps[0].margin, 2);
  EXPECT_TRUE(order.first);

  const contract::TraceDiff bare = routing_diff(routing({}, {0, 2}), b);
  ASSERT_EQ(bare.swaps.size(), 1u);
  EXPECT_FALSE(bare.swaps[0].margin);
  EXPECT_EQ(bare.only_b.size(), 1u);
  // Ids that no expert has.
  for (const float id : {-1.0f, 4.0f, 0.5f, 3e38f}) {
    const contract::TraceDiff odd = routing_diff(routing({4, 2, 1, 0}, {0, id}), b);
    EXPECT_TRUE(odd.first);
    for (const contract::TraceSwap& swap : odd.swaps) EXPECT_FALSE(swap.margin) << id;
  }
}

}  // namespace
}  // namespace trine::test
