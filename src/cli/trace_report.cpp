#include "cli/trace_report.h"

#include "base/human.h"
#include "base/number_text.h"
#include "cli/console.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/table.h"

#include <fmt/format.h>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace trine::cli {
namespace {

using contract::SlotDiff;
using contract::TraceDiff;
using contract::TraceDivergence;
using contract::TraceFile;
using contract::TraceSlot;
using contract::TraceSwap;
using model::Stage;
using Json = nlohmann::ordered_json;

constexpr std::size_t most_listed = 8;

// The slots of one stage, in the order of layers.
template <typename Slot>
std::array<std::vector<Slot>, model::stage_count> by_stage(std::span<const Slot> slots) {
  std::array<std::vector<Slot>, model::stage_count> stages;
  for (const Slot& slot : slots) {
    if constexpr (std::is_same_v<Slot, TraceSlot>) {
      stages[static_cast<std::size_t>(slot.stage)].push_back(slot);
    } else {
      stages[static_cast<std::size_t>(slot.slot.stage)].push_back(slot);
    }
  }
  return stages;
}

std::vector<int> layers_of(std::span<const TraceSlot> slots) {
  std::vector<int> layers;
  for (const TraceSlot& slot : slots)
    if (slot.layer >= 0) layers.push_back(slot.layer);
  return layers;
}

std::string place(const TraceSlot& slot, std::int64_t row) {
  return slot.layer < 0 ? fmt::format("row {}", row) : fmt::format("layer {}, row {}", slot.layer, row);
}

// A line of the comparison: a stage over all its layers.
struct StageLine {
  std::vector<int> layers;
  std::int64_t rows = 0, outside = 0;
  const SlotDiff* cosine = nullptr;  // the slot with the worst
  const SlotDiff* relative_l2 = nullptr;
};

StageLine sum_up(const std::vector<SlotDiff>& slots) {
  StageLine line{{}, 0, 0, &slots[0], &slots[0]};
  for (const SlotDiff& slot : slots) {
    if (slot.slot.layer >= 0) line.layers.push_back(slot.slot.layer);
    line.rows += slot.slot.rows;
    line.outside += slot.rows_outside;
    const auto worse = [](double value, double than, bool is_worse) {
      return !std::isnan(than) && (is_worse || std::isnan(value));
    };
    const double cosine = slot.worst_cosine, relative = slot.worst_relative_l2;
    if (worse(cosine, line.cosine->worst_cosine, cosine < line.cosine->worst_cosine)) line.cosine = &slot;
    if (worse(relative, line.relative_l2->worst_relative_l2, relative > line.relative_l2->worst_relative_l2))
      line.relative_l2 = &slot;
  }
  return line;
}

std::string stages_table(const TraceDiff& diff) {
  Table table({"stage", "layers", ">rows outside", ">worst cosine", "at", ">worst relative L2", "at"});
  const auto stages = by_stage(std::span(diff.slots));
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].empty()) continue;
    const auto stage = static_cast<Stage>(i);
    const StageLine line = sum_up(stages[i]);
    const SlotDiff &c = *line.cosine, &l = *line.relative_l2;
    const bool is_ids = stage == Stage::expert_ids;
    table.add({std::string(model::name_of(stage)), layer_ranges(line.layers),
               fmt::format("{} of {}", line.outside, line.rows), is_ids ? "-" : cosine_text(c.worst_cosine),
               is_ids ? "" : place(c.slot, c.worst_cosine_row),
               is_ids ? "-" : fmt::format("{:.3g}", l.worst_relative_l2),
               is_ids ? "" : place(l.slot, l.worst_relative_l2_row)});
  }
  return table.text();
}

std::string side(char letter, const TraceFile& file) {
  const contract::TraceInfo& info = file.info();
  return fmt::format("{}       {}: {}, {}, {}\n", letter, printable(file.path()),
                     printable(info.device.backend), printable(describe_device(info.device)),
                     printable(info.program));
}

std::string missing_text(char letter, const std::vector<TraceSlot>& slots) {
  if (slots.empty()) return {};
  std::string text = fmt::format("Only in {}: ", letter);
  for (std::size_t i = 0; i < slots.size() && i < most_listed; ++i)
    text += (i == 0 ? "" : ", ") + contract::slot_name(slots[i].stage, slots[i].layer);
  if (slots.size() > most_listed) text += fmt::format(" and {} more", slots.size() - most_listed);
  return text + "\n";
}

std::string swap_text(const TraceSwap& swap) {
  std::string text = swap.same_experts
                         ? fmt::format("the same experts, but A ranks {} where B ranks {}", swap.a, swap.b)
                         : fmt::format("A chose expert {} where B chose {}", swap.a, swap.b);
  if (!swap.margin) return text;
  text += fmt::format("; B's router preferred {} by {:.3g}, and the router logits differ by up to {:.3g}",
                      swap.b, *swap.margin, swap.router_error);
  return text + (*swap.margin <= 2 * swap.router_error ? ": a tie within that difference" : "");
}

std::string divergence_text(const TraceComparison& comparison) {
  const TraceDivergence& first = *comparison.diff.first;
  const contract::TraceTolerance& limit = comparison.tolerance;
  std::string text = fmt::format("First outside: {}, {} (token {}): ", model::name_of(first.slot.stage),
                                 place(first.slot, first.row), first.token);
  if (std::isnan(first.cosine))
    return text + "a value that is no " +
           (first.slot.stage == Stage::expert_ids ? "expert" : "finite number") + "\n";
  if (first.slot.stage == Stage::expert_ids) return text + swap_text(comparison.diff.swaps.front()) + "\n";
  if (!(first.cosine >= limit.cosine))
    text += fmt::format("cosine {}, below {}", cosine_text(first.cosine), limit.cosine);
  if (!(first.relative_l2 <= limit.relative_l2))
    text += fmt::format("{}relative L2 {:.3g}, above {}", first.cosine >= limit.cosine ? "" : "; ",
                        first.relative_l2, limit.relative_l2);
  return text + "\n";
}

std::string swaps_text(const std::vector<TraceSwap>& swaps) {
  if (swaps.empty()) return {};
  std::string text = fmt::format("\n{} with other experts:\n", plural(swaps.size(), "row"));
  for (std::size_t i = 0; i < swaps.size() && i < most_listed; ++i)
    text += fmt::format("  layer {}, row {}: {}\n", swaps[i].layer, swaps[i].row, swap_text(swaps[i]));
  if (swaps.size() > most_listed) text += fmt::format("  and {} more\n", swaps.size() - most_listed);
  return text;
}

// JSON has no NaN and no infinity: their names stand in.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

Json side_json(const TraceFile& file) {
  return {
      {"file", file.path()}, {"device", device_json(file.info().device)}, {"program", file.info().program}};
}

Json names_json(const std::vector<TraceSlot>& slots) {
  Json names = Json::array();
  for (const TraceSlot& slot : slots) names.push_back(contract::slot_name(slot.stage, slot.layer));
  return names;
}

Json swap_json(const TraceSwap& swap) {
  Json out = {{"layer", swap.layer},
              {"row", swap.row},
              {"a", number(swap.a)},
              {"b", number(swap.b)},
              {"same_experts", swap.same_experts}};
  if (swap.margin) {
    out["margin"] = number(*swap.margin);
    out["router_error"] = number(swap.router_error);
  }
  return out;
}

}  // namespace

std::string layer_ranges(std::span<const int> layers) {
  std::string text;
  for (std::size_t begin = 0; begin < layers.size();) {
    std::size_t end = begin + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
    text += text.empty() ? "" : ",";
    text += end == begin + 1 ? fmt::format("{}", layers[begin])
                             : fmt::format("{}-{}", layers[begin], layers[end - 1]);
    begin = end;
  }
  return text;
}

std::string slots_table(std::span<const TraceSlot> slots) {
  Table table({"stage", "layers", ">rows", ">width", ">bytes"});
  for (const std::vector<TraceSlot>& stage : by_stage(slots)) {
    if (stage.empty()) continue;
    const TraceSlot& one = stage.front();
    table.add({std::string(model::name_of(one.stage)), layer_ranges(layers_of(stage)),
               fmt::format("{}", one.rows), fmt::format("{}", one.width),
               human_bytes(one.bytes() * stage.size())});
  }
  return table.text();
}

std::string slots_json(std::span<const TraceSlot> slots) {
  Json out = Json::array();
  for (const std::vector<TraceSlot>& stage : by_stage(slots)) {
    if (stage.empty()) continue;
    const TraceSlot& one = stage.front();
    out.push_back({{"stage", model::name_of(one.stage)},
                   {"layers", layers_of(stage)},
                   {"rows", one.rows},
                   {"width", one.width},
                   {"bytes", one.bytes() * stage.size()}});
  }
  return out.dump();
}

std::string comparison_text(const TraceComparison& comparison) {
  const contract::TraceInfo& info = comparison.b.info();
  const TraceDiff& diff = comparison.diff;
  std::string text = side('A', comparison.a) + side('B', comparison.b);
  if (comparison.same_file) text += "        A and B are the same file\n";
  text += fmt::format("model   {}, sha256 {}\nprompt  {}\n\n", printable(info.model_name), info.model_sha256,
                      plural(info.tokens.size(), "token"));
  text += stages_table(diff) + "\n";
  text += missing_text('A', diff.only_a) + missing_text('B', diff.only_b);
  if (diff.first) return text + divergence_text(comparison) + swaps_text(diff.swaps);
  text += fmt::format(
      "Within tolerance: every row of {} has a cosine of at least {} and a relative L2 of at most {}.\n",
      plural(diff.slots.size(), "tensor"), comparison.tolerance.cosine, comparison.tolerance.relative_l2);
  if (!diff.only_b.empty())
    text += fmt::format("Not all of B was compared: A lacks {}.\n", plural(diff.only_b.size(), "tensor"));
  return text;
}

std::string comparison_json(const TraceComparison& comparison) {
  const TraceDiff& diff = comparison.diff;
  Json out = {{"holds", diff.holds()},
              {"within_tolerance", !diff.first},
              {"tolerance",
               {{"cosine", comparison.tolerance.cosine}, {"relative_l2", comparison.tolerance.relative_l2}}},
              {"same_file", comparison.same_file},
              {"a", side_json(comparison.a)},
              {"b", side_json(comparison.b)},
              {"model_sha256", comparison.b.info().model_sha256},
              {"tokens", comparison.b.info().tokens},
              {"first_outside", nullptr}};
  if (diff.first)
    out["first_outside"] = {{"stage", model::name_of(diff.first->slot.stage)},
                            {"layer", diff.first->slot.layer},
                            {"row", diff.first->row},
                            {"token", diff.first->token},
                            {"cosine", number(diff.first->cosine)},
                            {"relative_l2", number(diff.first->relative_l2)}};
  out["tensors"] = Json::array();
  for (const SlotDiff& slot : diff.slots)
    out["tensors"].push_back({{"name", contract::slot_name(slot.slot.stage, slot.slot.layer)},
                              {"rows", slot.slot.rows},
                              {"rows_outside", slot.rows_outside},
                              {"cosine", number(slot.worst_cosine)},
                              {"cosine_row", slot.worst_cosine_row},
                              {"relative_l2", number(slot.worst_relative_l2)},
                              {"relative_l2_row", slot.worst_relative_l2_row}});
  out["swaps"] = Json::array();
  for (const TraceSwap& swap : diff.swaps) out["swaps"].push_back(swap_json(swap));
  out["only_in_a"] = names_json(diff.only_a);
  out["only_in_b"] = names_json(diff.only_b);
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trine::cli
