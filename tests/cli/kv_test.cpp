// --kv: what keys and values are kept as, in every command that loads a model.
#include "cli/subprocess.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#ifdef TRINE_HAS_CPU

namespace trine::test {
namespace {

using nlohmann::json;

const std::vector<std::string> on_cpu = {"--backend", "cpu", "--threads", "1"};

Outcome run_with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), on_cpu.begin(), on_cpu.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_trine(arguments);
}

TEST(Kv, TheTypeStandsBesideTheDevice) {
  const Outcome usual = run_with({"run", "-n", "1", "--json", "hi"}, {});
  ASSERT_EQ(usual.status, 0) << usual.err;
  EXPECT_EQ(json::parse(usual.out)["device"]["kv_type"], "f16");
  const Outcome asked = run_with({"run", "-n", "1", "hi"}, {"--kv", "bf16"});
  ASSERT_EQ(asked.status, 0) << asked.err;
  EXPECT_NE(asked.err.find("fast numerics, bf16 KV cache"), std::string::npos) << asked.err;
}

TEST(Kv, ExactNumericsHaveF32Alone) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run", "--numerics", "exact", "hi"}, {"verify", "-q", "--quick"}}) {
    const Outcome outcome = run_with(command, {"--kv", "q8_0"});
    EXPECT_EQ(outcome.status, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("where:    --kv"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("--numerics fast"), std::string::npos) << outcome.err;
  }
}

TEST(Kv, AnUnknownTypeIsAUsageError) {
  const Outcome outcome = run_with({"run", "hi"}, {"--kv", "q4_0"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("f32, f16, bf16, q8_0"), std::string::npos) << outcome.err;
}

TEST(Kv, TheReferenceHasNone) {
  const std::string file = testing::TempDir() + "trine-kv-trace";
  const Outcome outcome = run_trine({"trace", "-o", file, "--backend", "reference", "--kv", "f32"});
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(Kv, BenchCountsTheBytesOfTheType) {
  const json cost = json::parse(run_trine({"inspect", "--json"}).out)["cost"];
  const double weights = cost["active_bytes"], of_16_bits = cost["kv_bytes_per_token"];
  for (const auto& [type, share] : {std::pair("f32", 2.0), {"bf16", 1.0}, {"q8_0", 9.0 / 16}}) {
    const Outcome outcome = run_with(
        {"bench", "--prefill", "0", "--decode", "2", "--depth", "0", "-r", "1", "--warmup", "0", "--json"},
        {"--kv", type});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_DOUBLE_EQ(json::parse(outcome.out)["decode"][0]["bytes_per_token"].get<double>(),
                     weights + 1.5 * share * of_16_bits)
        << type;
  }
}

TEST(Kv, AReceiptSaysThatAnotherTypeWasJudged) {
  const Outcome outcome = run_with(
      {"verify", "-q", "--quick", "--json", "--layers", "1", "--numerics", "fast"}, {"--kv", "bf16"});
  const json receipt = json::parse(outcome.out);
  EXPECT_NE(receipt["left_out"].dump().find("--kv bf16"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace trine::test

#endif
