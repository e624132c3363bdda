#include "model/stage.h"

#include "base/check.h"

#include <array>
#include <cstddef>

namespace trine::model {
namespace {

constexpr std::array<std::string_view, stage_count> names = {
    "embed",      "attn_norm", "qkv",           "qk_norm_rope", "attention",
    "attn_out",   "ffn_norm",  "router_logits", "expert_ids",   "expert_weights",
    "expert_act", "moe_out",   "layer_out",     "final_norm",   "logits",
};
static_assert(static_cast<int>(Stage::logits) + 1 == stage_count);

}  // namespace

std::string_view name_of(Stage stage) {
  const auto index = static_cast<std::size_t>(stage);
  check(index < names.size(), "a stage that does not exist");
  return names[index];
}

bool parse_stage(std::string_view name, Stage& stage) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != name) continue;
    stage = static_cast<Stage>(i);
    return true;
  }
  return false;
}

bool is_per_layer(Stage stage) {
  return stage != Stage::embed && stage != Stage::final_norm && stage != Stage::logits;
}

}  // namespace trine::model
