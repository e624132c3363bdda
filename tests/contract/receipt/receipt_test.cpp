// A receipt is complete or there is none.
#include "contract/receipt/receipt.h"
#include "contract/report/report.h"

#include "gate_fixture.h"

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace trine::test {
namespace {

using contract::Receipt;
using contract::Verdict;
using OrderedJson = nlohmann::ordered_json;

const contract::ToolIdentity tool = {"1.2.3", "abcdef", sha256("binary")};

// Of a real run, small.
contract::GateResult real_result() {
  GateBench bench(tied_path);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  contract::GateResult result = bench.run();
  result.model.path = "tied.gguf";
  result.model.bytes = 123;
  result.model.layers_in_file = 2;
  result.prompts.source = "built-in";
  result.goldens = {"tied.json", sha256("golden"), "transformers 5", 8};
  return result;
}

class ReceiptTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    result = new contract::GateResult(real_result());
    const auto made = contract::make_receipt(*result, tool, "2026-11-23T20:00:00Z");
    ASSERT_TRUE(made) << to_string(made.error());
    receipt = new Receipt(*made);
    const auto text = contract::to_json(*receipt);
    ASSERT_TRUE(text) << to_string(text.error());
    json = new OrderedJson(OrderedJson::parse(*text));
  }
  static void TearDownTestSuite() {
    delete result;
    delete receipt;
    delete json;
  }
  static contract::GateResult* result;
  static Receipt* receipt;
  static OrderedJson* json;
};
contract::GateResult* ReceiptTest::result = nullptr;
Receipt* ReceiptTest::receipt = nullptr;
OrderedJson* ReceiptTest::json = nullptr;

TEST_F(ReceiptTest, SurvivesBeingReadAndWritten) {
  const auto read = contract::read_receipt(json->dump());
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(OrderedJson::parse(*contract::to_json(*read)), *json);
  EXPECT_EQ(read->verdict, "pass");
  EXPECT_EQ(read->device.name, result->devices[0].name);
  EXPECT_EQ(read->legs.size(), result->legs.size());
}

TEST_F(ReceiptTest, HoldsWhatTheContractAsksFor) {
  for (const char* field : {"/tool/version",
                            "/tool/commit",
                            "/tool/binary_sha256",
                            "/model/sha256",
                            "/prompts/sha256",
                            "/reference_sha256",
                            "/device/name",
                            "/device/type",
                            "/device/driver",
                            "/device/api",
                            "/device/stage_place/attention",
                            "/counts_as",
                            "/numerics/0",
                            "/legs/0/figures/0/min",
                            "/legs/0/figures/0/median",
                            "/legs/0/figures/0/max",
                            "/legs/0/figures/0/n",
                            "/legs/0/swaps",
                            "/legs/0/verdict",
                            "/verdict"})
    EXPECT_TRUE(json->contains(nlohmann::ordered_json::json_pointer(field))) << field;
}

// Every field of every object, one at a time.
TEST_F(ReceiptTest, WithoutAFieldItIsRefusedByThatName) {
  std::size_t removed = 0;
  const std::function<void(OrderedJson&, OrderedJson&)> visit = [&](OrderedJson& whole, OrderedJson& part) {
    if (part.is_array())
      for (OrderedJson& item : part) visit(whole, item);
    if (!part.is_object()) return;
    std::vector<std::string> keys;
    for (const auto& item : part.items()) keys.push_back(item.key());
    for (const std::string& key : keys) {
      const OrderedJson kept = part;
      part.erase(key);
      const auto read = contract::read_receipt(whole.dump());
      EXPECT_FALSE(read) << key;
      if (!read) {
        EXPECT_NE(to_string(read.error()).find(key), std::string::npos) << to_string(read.error());
      }
      ++removed;
      part = kept;
      visit(whole, part[key]);
    }
  };
  OrderedJson copy = *json;
  copy["legs"] = OrderedJson::array({copy["legs"][0]});
  copy["legs"][0]["figures"] = OrderedJson::array({copy["legs"][0]["figures"][0]});
  visit(copy, copy);
  EXPECT_GT(removed, 50u);
}

TEST_F(ReceiptTest, UnknownFieldsAndKindsAreRefused) {
  const auto refused = [&](const std::function<void(OrderedJson&)>& spoil) {
    OrderedJson copy = *json;
    spoil(copy);
    const auto read = contract::read_receipt(copy.dump());
    return !read && read.error().code == ErrorCode::validation_failed;
  };
  EXPECT_TRUE(refused([](OrderedJson& j) { j["surprise"] = 1; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["device"]["surprise"] = 1; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["device"]["threads"] = "2"; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["device"]["threads"] = 1e12; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["model"]["bytes"] = -1; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["legs"][0]["figures"][0]["min"] = "low"; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["legs"][0]["verdict"] = "passed"; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["legs"] = OrderedJson::array(); }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["model"]["sha256"] = "5A"; }));
  EXPECT_TRUE(refused([](OrderedJson& j) { j["format"] = "trine-receipt-2"; }));
  EXPECT_FALSE(contract::read_receipt(""));
  EXPECT_FALSE(contract::read_receipt("[]"));
}

// What contradicts itself was not written by a gate, whatever its fields are.
TEST_F(ReceiptTest, ContradictionsAreRefusedByTheirField) {
  const auto said_of = [&](const std::function<void(OrderedJson&)>& spoil) {
    OrderedJson copy = *json;
    spoil(copy);
    const auto read = contract::read_receipt(copy.dump());
    return read ? std::string("read") : to_string(read.error());
  };
  // A leg by its letter and mode, and the first of its figures that is held to something.
  const auto leg = [](OrderedJson& j, const char* letter, const char* mode) -> OrderedJson& {
    for (OrderedJson& one : j["legs"])
      if (one["leg"] == letter && one["numerics"] == mode) return one;
    throw std::runtime_error("no such leg");
  };
  const auto held = [&](OrderedJson& j) -> OrderedJson& {
    for (OrderedJson& figure : leg(j, "X", "exact")["figures"])
      if (figure["bound"].get<std::string>().starts_with(">=")) return figure;
    throw std::runtime_error("no such figure");
  };
  const auto drop = [](OrderedJson& j, const char* letter) {
    for (std::size_t i = 0; i < j["legs"].size(); ++i)
      if (j["legs"][i]["leg"] == letter) return j["legs"].erase(i);
  };
  const std::pair<const char*, std::function<void(OrderedJson&)>> lies[] = {
      {"the legs come to 'fail'",
       [&](OrderedJson& j) {
         leg(j, "D", "exact")["verdict"] = "fail";
         leg(j, "D", "exact")["reason"] = "it differs";
       }},
      {"the legs come to 'not-run'",
       [&](OrderedJson& j) {
         leg(j, "T", "exact")["verdict"] = "not-run";
         leg(j, "T", "exact")["reason"] = "it is gone";
       }},
      {"the legs come to 'not-run'",
       [&](OrderedJson& j) {
         leg(j, "X", "exact")["verdict"] = "not-run";
         leg(j, "X", "exact")["reason"] = "it was not asked for";
       }},
      {"the legs come to 'pass'",
       [](OrderedJson& j) {
         j["verdict"] = "fail";
         j["reason"] = "it differs";
       }},
      {"the legs come to 'not-run'", [&](OrderedJson& j) { drop(j, "X"); }},
      {"legs[D exact]", [&](OrderedJson& j) { drop(j, "D"); }},
      {"legs[T exact]", [&](OrderedJson& j) { drop(j, "T"); }},
      {"does not hold", [&](OrderedJson& j) { held(j)["min"] = 0.5; }},
      {"does not hold", [&](OrderedJson& j) { held(j)["bound"] = ">= 2"; }},
      {"does not hold", [&](OrderedJson& j) { held(j)["min"] = held(j)["median"] = held(j)["max"] = "nan"; }},
      {"another order", [&](OrderedJson& j) { held(j)["median"] = 3; }},
      {"another order", [&](OrderedJson& j) { held(j)["min"] = "nan"; }},
      {"no relation", [&](OrderedJson& j) { held(j)["bound"] = "> 0.9"; }},
      {"no relation", [&](OrderedJson& j) { held(j)["bound"] = ">= inf"; }},
      {"no relation", [&](OrderedJson& j) { held(j)["bound"] = ">= 0.9 or so"; }},
      {"figures",
       [&](OrderedJson& j) {
         for (OrderedJson& figure : leg(j, "T", "exact")["figures"]) figure["bound"] = "";
       }},
      {"numerics", [](OrderedJson& j) { j["numerics"][0] = "coarse"; }},
      {"model.layers_run", [](OrderedJson& j) { j["model"]["layers_run"] = 3; }},
      {"prompts.longest", [](OrderedJson& j) { j["prompts"]["longest"] = 0; }},
      {"prompts.longest", [](OrderedJson& j) { j["prompts"]["longest"] = 1000; }},
      {"prompts.largest_batch", [](OrderedJson& j) { j["prompts"]["largest_batch"] = 0; }},
      {"goldens",
       [&](OrderedJson& j) {
         OrderedJson golden = leg(j, "T", "exact");
         golden["leg"] = "R";
         j["legs"].push_back(golden);
         j["goldens"] = nullptr;
       }},
      {"goldens.sha256", [](OrderedJson& j) { j["goldens"]["sha256"] = "5a"; }},
      {"goldens.source", [](OrderedJson& j) { j["goldens"]["source"] = ""; }},
      {"counts_as", [](OrderedJson& j) { j["counts_as"] = "gpu"; }},
      {"counts_as", [](OrderedJson& j) { j["device"]["type"] = "software"; }},
      {"device.type",
       [](OrderedJson& j) {
         j["device"]["type"] = "discrete-gpu";
         j["device"]["name"] = "llvmpipe (LLVM 15.0.6, 256 bits)";
         j["counts_as"] = "gpu";
       }},
  };
  for (const auto& [field, lie] : lies)
    EXPECT_NE(said_of(lie).find(field), std::string::npos) << field << ": " << said_of(lie);
}

TEST_F(ReceiptTest, TheBuilderRefusesAnIncompleteOne) {
  const std::pair<const char*, std::function<void(contract::GateResult&)>> holes[] = {
      {"model.path", [](auto& r) { r.model.path.clear(); }},
      {"model.sha256", [](auto& r) { r.model.sha256 = "unknown"; }},
      {"model.bytes", [](auto& r) { r.model.bytes = 0; }},
      {"prompts.sha256", [](auto& r) { r.prompts.sha256.clear(); }},
      {"prompts.source", [](auto& r) { r.prompts.source.clear(); }},
      {"reference_sha256", [](auto& r) { r.reference_sha256.clear(); }},
      {"device.backend", [](auto& r) { r.devices.clear(); }},
      {"device.name", [](auto& r) { r.devices[0].name.clear(); }},
      {"device.type", [](auto& r) { r.devices[0].type.clear(); }},
      {"device.api", [](auto& r) { r.devices[0].api.clear(); }},
      {"device.driver", [](auto& r) { r.devices[0].type = "discrete-gpu"; }},
      {"device.stage_place.moe_out",
       [](auto& r) { r.devices[0].stage_place[static_cast<std::size_t>(model::Stage::moe_out)].clear(); }},
      {"legs", [](auto& r) { r.legs.clear(); }},
      {"figures", [](auto& r) { r.legs[0].result.figures.clear(); }},
      {"reason",
       [](auto& r) {
         r.verdict = Verdict::fail;
         r.reason.clear();
       }},
      {"left_out", [](auto& r) { r.model.layers_in_file = 48; }},
  };
  for (const auto& [field, spoil] : holes) {
    contract::GateResult copy = *result;
    spoil(copy);
    const auto made = contract::make_receipt(copy, tool, "2026-11-23T20:00:00Z");
    ASSERT_FALSE(made) << field;
    EXPECT_EQ(made.error().code, ErrorCode::validation_failed);
    EXPECT_NE(made.error().where.find(field), std::string::npos) << made.error().where;
  }
  EXPECT_FALSE(contract::make_receipt(*result, {"1.2.3", "abcdef", ""}, "now"));
  EXPECT_FALSE(contract::make_receipt(*result, tool, ""));
}

// A run that ended before its device said where stages ran has a receipt that says so, unless it is a pass.
TEST_F(ReceiptTest, APlaceThatIsNotKnownIsNoPass) {
  contract::GateResult copy = *result;
  for (std::string& place : copy.devices[0].stage_place) place.clear();
  EXPECT_FALSE(contract::make_receipt(copy, tool, "now"));
  for (contract::LegResult& leg : copy.legs) {
    leg.result.verdict = Verdict::refused;
    leg.result.reason = "it is another model";
  }
  contract::conclude(copy);
  const auto made = contract::make_receipt(copy, tool, "now");
  ASSERT_TRUE(made) << to_string(made.error());
  for (const std::string& place : made->device.stage_place) EXPECT_EQ(place, "not known");

  OrderedJson spoiled = *json;
  spoiled["device"]["stage_place"]["moe_out"] = "not known";
  const auto read = contract::read_receipt(spoiled.dump());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().where, "device.stage_place.moe_out");
}

TEST_F(ReceiptTest, NanIsWrittenAndReadAsNan) {
  contract::GateResult copy = *result;
  contract::Figure& figure = copy.legs[0].result.figures[0];
  figure.min = figure.median = figure.max = std::numeric_limits<double>::quiet_NaN();
  copy.legs[0].result.verdict = Verdict::fail;
  copy.legs[0].result.reason = "it is no number";
  contract::conclude(copy);
  const auto made = contract::make_receipt(copy, tool, "now");
  ASSERT_TRUE(made);
  const auto read = contract::read_receipt(*contract::to_json(*made));
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_TRUE(std::isnan(read->legs[0].figures[0].min));
}

TEST_F(ReceiptTest, NamesWhatWasLeftOutAndSwitchedOffInAnyMode) {
  contract::GateResult copy = *result;
  ASSERT_EQ(copy.devices.size(), 2u);
  for (model::DeviceInfo& device : copy.devices) device.left_out = {"f16", "timestamps"};
  copy.devices[0].switched_off = {"subgroups"};
  copy.devices[1].switched_off = {"subgroups", "integer-dot"};
  const auto made = contract::make_receipt(copy, tool, "now");
  ASSERT_TRUE(made) << to_string(made.error());
  const auto read = contract::read_receipt(*contract::to_json(*made));
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read->device.left_out, (std::vector<std::string>{"f16", "timestamps"}));
  EXPECT_EQ(read->device.switched_off, (std::vector<std::string>{"subgroups", "integer-dot"}));
  const std::string page = contract::to_html(copy, tool, "now");
  EXPECT_NE(page.find("f16, timestamps"), std::string::npos);
  EXPECT_NE(page.find("subgroups, integer-dot"), std::string::npos);
}

TEST(ToolIdentity, NamesTheBinaryThatRuns) {
  const auto identity = contract::this_tool();
  ASSERT_TRUE(identity) << to_string(identity.error());
  EXPECT_EQ(identity->binary_sha256, *sha256_of_file("/proc/self/exe", {}));
  EXPECT_FALSE(identity->commit.empty());
}

}  // namespace
}  // namespace trine::test
