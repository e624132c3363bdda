#include "model/stage.h"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace trine::model {
namespace {

TEST(Stage, NamesAreUniqueAndParseBack) {
  std::set<std::string_view> names;
  for (int i = 0; i < stage_count; ++i) {
    const auto stage = static_cast<Stage>(i);
    EXPECT_TRUE(names.insert(name_of(stage)).second);
    Stage parsed = Stage::embed;
    EXPECT_TRUE(parse_stage(name_of(stage), parsed));
    EXPECT_EQ(parsed, stage);
  }
}

TEST(Stage, NamesAreThoseOfTheDocuments) {
  EXPECT_EQ(name_of(Stage::embed), "embed");
  EXPECT_EQ(name_of(Stage::qk_norm_rope), "qk_norm_rope");
  EXPECT_EQ(name_of(Stage::attn_out), "attn_out");
  EXPECT_EQ(name_of(Stage::expert_ids), "expert_ids");
  EXPECT_EQ(name_of(Stage::moe_out), "moe_out");
  EXPECT_EQ(name_of(Stage::logits), "logits");
}

TEST(Stage, UnknownNamesLeaveTheStageAlone) {
  Stage stage = Stage::router_logits;
  EXPECT_FALSE(parse_stage("Embed", stage));
  EXPECT_FALSE(parse_stage("", stage));
  EXPECT_EQ(stage, Stage::router_logits);
}

TEST(Stage, ThreeBelongToNoLayer) {
  int per_layer = 0;
  for (int i = 0; i < stage_count; ++i) per_layer += is_per_layer(static_cast<Stage>(i)) ? 1 : 0;
  EXPECT_EQ(per_layer, stage_count - 3);
  EXPECT_FALSE(is_per_layer(Stage::embed));
  EXPECT_FALSE(is_per_layer(Stage::final_norm));
  EXPECT_FALSE(is_per_layer(Stage::logits));
}

}  // namespace
}  // namespace trine::model
