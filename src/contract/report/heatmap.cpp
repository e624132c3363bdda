// Layers × stages, one map per numerics mode: each cell is coloured by the logarithm of its worst relative
// L2.
#include "contract/judge/stage_compare.h"
#include "contract/report/parts.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <optional>

namespace trine::contract {
namespace {

using model::Stage;

// Colours 0 to 16: below 1e-8, then half a decade each, and the last from 10^-0.5 on (report_style.h).
constexpr int colour_count = 17;
constexpr double lowest_exponent = -8;
constexpr double colours_per_decade = 2;

// Where a value lies on the legend, in colours from its left end.
double position_of(double relative_l2) {
  if (!(relative_l2 > 0)) return 0;
  const double position = 1 + (std::log10(relative_l2) - lowest_exponent) * colours_per_decade;
  return std::clamp(position, 0.0, static_cast<double>(colour_count));
}

int colour_of(double relative_l2) {
  return std::min(static_cast<int>(position_of(relative_l2)), colour_count - 1);
}

// ---- One cell ----

bool is_nan(const StageCell& cell) {
  return std::isnan(cell.worst_cosine) || std::isnan(cell.worst_relative_l2);
}

// Only leg X bounds stages.
bool is_outside(const LegResult& leg, const StageCell& cell) {
  return leg.leg == 'X' && cell.rows > 0 &&
         !(cell.worst_cosine >= leg_bounds().stage_cosine &&
           cell.worst_relative_l2 <= leg_bounds().stage_relative_l2);
}

bool is_first_outside(const LegResult& leg, const StageCell& cell) {
  const std::optional<Divergence>& first = leg.result.first_divergence;
  return first && first->stage == cell.stage && first->layer == cell.layer;
}

std::string excused_text(const StageCell& cell) {
  return cell.excused == 0 ? std::string()
                           : fmt::format("; {} excused by an expert swap", grouped_text(cell.excused));
}

std::string tooltip_of(const StageCell& cell) {
  const std::string place = place_text(cell.stage, cell.layer);
  if (cell.rows == 0) return fmt::format("{}: no row judged{}", place, excused_text(cell));
  std::string text = fmt::format("{}: cosine {}, relative L2 {}", place, number_text(cell.worst_cosine),
                                 number_text(cell.worst_relative_l2));
  if (!cell.prompt.empty()) text += fmt::format("; worst in prompt '{}', row {}", cell.prompt, cell.row);
  return text + fmt::format("; {} rows judged", grouped_text(cell.rows)) + excused_text(cell);
}

// What a cell shows beside its colour.
Markup sign_of(const LegResult& leg, const StageCell& cell) {
  if (cell.rows == 0) return "–"_html;
  if (is_first_outside(leg, cell)) return "1"_html;
  if (is_nan(cell)) return "N"_html;
  return is_outside(leg, cell) ? "×"_html : ""_html;
}

// `span`: rows of the table that the cell takes.
void add_cell(Page& page, const LegResult& leg, const StageCell* cell, int span) {
  page.add("<td"_html);
  if (span > 1) page.add(" rowspan=\""_html, span, "\""_html);
  if (cell == nullptr) {
    page.add(" class=\"none\" title=\"not compared\"></td>"_html);
    return;
  }
  page.add(" class=\""_html);
  if (cell->rows == 0) {
    page.add("none"_html);
  } else if (is_nan(*cell)) {
    page.add("nan"_html);
  } else {
    page.add("h"_html, colour_of(cell->worst_relative_l2));
  }
  if (is_first_outside(leg, *cell)) {
    page.add(" first"_html);
  } else if (is_outside(leg, *cell)) {
    page.add(" out"_html);
  }
  page.add("\" title=\""_html, tooltip_of(*cell), "\">"_html, sign_of(leg, *cell), "</td>"_html);
}

// ---- The map ----

class Map {
 public:
  explicit Map(const LegResult& leg) : leg_(leg) {
    for (const StageCell& cell : leg.cells) layers_ = std::max(layers_, cell.layer + 1);
  }

  void add_to(Page& page) const {
    page.add("<p>Each cell is the worst relative L2 of a stage (down) in a layer (across)."_html,
             excused_rows(), "</p>\n"_html);
    open_box(page, fmt::format("Heat map of leg {}", leg_.leg));
    page.add("<table class=\"map\" style=\"--n:"_html, layers_, "\">\n<caption>Leg "_html, leg_.leg,
             ", "_html, name_of(leg_.numerics), " numerics</caption>\n"_html);
    add_layers(page);
    page.add("<tbody>\n"_html);
    constexpr int last = static_cast<int>(Stage::layer_out);
    for (int stage = static_cast<int>(Stage::attn_norm); stage <= last; ++stage)
      add_row(page, static_cast<Stage>(stage));
    page.add("</tbody>\n</table>\n"_html, close_box);
  }

 private:
  const StageCell* find(Stage stage, int layer) const {
    for (const StageCell& cell : leg_.cells)
      if (cell.stage == stage && cell.layer == layer) return &cell;
    return nullptr;
  }

  std::string excused_rows() const {
    std::size_t excused = 0, all = 0;
    for (const StageCell& cell : leg_.cells) {
      excused += cell.excused;
      all += cell.excused + cell.rows;
    }
    if (excused == 0) return " Every row was judged in every cell.";
    return fmt::format(" {} of {} comparisons of a row are excused by expert swaps and have no part in it.",
                       grouped_text(excused), grouped_text(all));
  }

  // Every layer has a number for those who cannot see the map; as many are shown as have room.
  void add_layers(Page& page) const {
    const int step = layers_ <= 24 ? 1 : layers_ <= 64 ? 4 : 8;
    page.add("<thead><tr><th scope=\"col\">stage</th><th scope=\"col\" class=\"end\"><span>"_html,
             model::name_of(Stage::embed), "</span></th>"_html);
    for (int layer = 0; layer < layers_; ++layer) {
      page.add("<th scope=\"col\"><span"_html, layer % step == 0 ? ""_html : " class=\"unseen\""_html,
               ">"_html, layer, "</span></th>"_html);
    }
    page.add("<th scope=\"col\" class=\"end\"><span>"_html, model::name_of(Stage::final_norm),
             "</span></th></tr></thead>\n"_html);
  }

  // embed stands before the first layer and final_norm behind the last, each as one tall cell.
  void add_row(Page& page, Stage stage) const {
    constexpr int stages = static_cast<int>(Stage::layer_out) - static_cast<int>(Stage::attn_norm) + 1;
    const bool is_first = stage == Stage::attn_norm;
    page.add("<tr><th scope=\"row\">"_html, model::name_of(stage), "</th>"_html);
    if (is_first) add_cell(page, leg_, find(Stage::embed, -1), stages);
    for (int layer = 0; layer < layers_; ++layer) add_cell(page, leg_, find(stage, layer), 1);
    if (is_first) add_cell(page, leg_, find(Stage::final_norm, -1), stages);
    page.add("</tr>\n"_html);
  }

  const LegResult& leg_;
  int layers_ = 0;
};

// ---- Legend and figures ----

std::string percent(double position) {
  return fmt::format("{:.2f}%", 100 * position / colour_count);
}

void add_mark(Page& page, Markup kind, double value, std::string_view label) {
  page.add("<span class=\""_html, kind, "\" style=\"left:"_html, percent(position_of(value)), "\">"_html,
           label, "</span>"_html);
}

void add_legend(Page& page) {
  page.add(
      "<div class=\"legend\">\n<p>Colour: relative L2, on a logarithmic scale</p>\n"
      "<div class=\"bound\">"_html);
  add_mark(page, "mark"_html, leg_bounds().stage_relative_l2,
           fmt::format("bound of leg X: {}", leg_bounds().stage_relative_l2));
  page.add("</div>\n<div class=\"scale\">"_html);
  for (int colour = 0; colour < colour_count; ++colour) page.add("<i class=\"h"_html, colour, "\"></i>"_html);
  page.add("</div>\n<div class=\"ticks\">"_html);
  for (int exponent = -8; exponent <= -2; exponent += 2)
    add_mark(page, "tick"_html, std::pow(10, exponent), fmt::format("1e{}", exponent));
  add_mark(page, "tick"_html, 1, "1");
  page.add(
      "</div>\n<ul class=\"signs\">\n"_html,
      "<li><i class=\"h12 first\">1</i> the first stage outside, in the order of computation</li>\n"_html,
      "<li><i class=\"h12 out\">×</i> outside the bound</li>\n"_html,
      "<li><i class=\"nan\">N</i> not a number</li>\n"_html,
      "<li><i class=\"none\">–</i> no row judged</li>\n</ul>\n</div>\n"_html);
}

// The worst cell of each stage in numbers, for print and for those who cannot see the map.
void add_worst_of_stages(Page& page, const LegResult& leg) {
  open_box(page, fmt::format("Worst figures of leg {}", leg.leg));
  page.add("<table>\n<caption>Leg "_html, leg.leg, ", "_html, name_of(leg.numerics),
           ": where each stage is worst</caption>\n"_html);
  add_head(page, {{"stage"_html},
                  {"relative L2"_html, true},
                  {"cosine"_html, true},
                  {"layer"_html, true},
                  {"prompt"_html},
                  {"row"_html, true}});
  page.add("<tbody>\n"_html);
  for (int stage = 0; stage < static_cast<int>(Stage::logits); ++stage) {
    const StageCell* worst = nullptr;
    for (const StageCell& cell : leg.cells) {
      if (cell.stage != static_cast<Stage>(stage) || cell.rows == 0) continue;
      const bool worse =
          worst == nullptr ||
          (!is_nan(*worst) && (is_nan(cell) || cell.worst_relative_l2 > worst->worst_relative_l2));
      if (worse) worst = &cell;
    }
    page.add("<tr><th scope=\"row\">"_html, model::name_of(static_cast<Stage>(stage)), "</th>"_html);
    if (worst == nullptr) {
      page.add("<td colspan=\"5\">no row judged</td></tr>\n"_html);
      continue;
    }
    page.add("<td class=\"num\">"_html, worst->worst_relative_l2, "</td><td class=\"num\">"_html,
             worst->worst_cosine, "</td><td class=\"num\">"_html);
    if (worst->layer >= 0 && !worst->prompt.empty()) page.add(worst->layer);
    page.add("</td><td><bdi>"_html, worst->prompt, "</bdi></td><td class=\"num\">"_html);
    if (!worst->prompt.empty()) page.add(worst->row);
    page.add("</td></tr>\n"_html);
  }
  page.add("</tbody>\n</table>\n"_html, close_box);
}

}  // namespace

void add_heatmaps(Page& page, const GateResult& result) {
  page.add("<section id=\"stages\">\n<h2>Every stage of every layer</h2>\n"_html);
  bool any = false;
  for (const LegResult& leg : result.legs) {
    if (leg.cells.empty()) continue;
    if (!any) add_legend(page);
    any = true;
    page.add("<h3>"_html, leg.leg, ": "_html, title_of(leg.leg), "</h3>\n"_html);
    if (leg.leg == 'F')
      page.add(
          "<p>Leg F bounds the logits and no stage: activations in 8-bit blocks move every stage a "
          "little.</p>\n"_html);
    Map(leg).add_to(page);
    add_worst_of_stages(page, leg);
  }
  if (!any) page.add("<p>No stage was compared, so there is no map.</p>\n"_html);
  page.add("</section>\n"_html);
}

}  // namespace trine::contract
