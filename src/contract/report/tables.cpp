// Legs and their figures, first divergences, prompts and expert swaps.
#include "contract/report/parts.h"

#include "contract/judge/judge.h"
#include "contract/judge/stage_compare.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace trine::contract {
namespace {

Markup meaning_of(char leg) {
  switch (leg) {
    case 'R':
      return "The judge itself is held to logits that another program computed for this very file."_html;
    case 'X':
      return "With 32-bit activations, every stage of every layer must be the reference's but for "
             "rounding."_html;
    case 'F':
      return "With 8-bit activations, what people run by default, the logits must still be the "
             "reference's."_html;
    case 'D':
      return "Feeding tokens one by one must give the answer of feeding them at once: this tests the KV "
             "cache."_html;
    case 'T':
      return "Loaded anew and with another number of threads, the same bytes must come out."_html;
    case 'S':
      return "Tokens that the device chooses, several steps ahead and beside others, must be those that "
             "follow from "
             "its logits."_html;
    default:
      return ""_html;
  }
}

std::string leg_name(const LegResult& leg) {
  return fmt::format("{} {}", leg.leg, name_of(leg.numerics));
}

// ---- Figures ----

// Whether a figure keeps its bound, which reads ">= 0.99999"; nothing when it has none.
std::optional<bool> holds(const Figure& figure) {
  const std::size_t space = figure.bound.find(' ');
  if (space == std::string::npos) return std::nullopt;
  double limit = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(figure.bound.data() + space + 1, figure.bound.data() + figure.bound.size(), limit);
  return figure.n > 0 && within(figure.min, figure.max, figure.bound.substr(0, space), limit);
}

void add_number(Page& page, const Figure& figure, double value) {
  page.add("<td class=\"num\">"_html);
  if (figure.n > 0) page.add(value);
  page.add("</td>"_html);
}

void add_figure(Page& page, const Figure& figure) {
  page.add("<tr><th scope=\"row\">"_html, figure.name, "</th><td class=\"num\">"_html,
           figure.bound.empty() ? "only reported" : std::string_view(figure.bound), "</td>"_html);
  for (const double value : {figure.min, figure.median, figure.max}) add_number(page, figure, value);
  page.add("<td class=\"num\">"_html, grouped_text(figure.n), "</td><td>"_html);
  if (const std::optional<bool> held = holds(figure))
    page.add(*held ? "<span class=\"pass\">✓ yes</span>"_html : "<span class=\"fail\">✗ no</span>"_html);
  page.add("</td></tr>\n"_html);
}

void add_figures(Page& page, const GateResult& result) {
  open_box(page, "Figures of every leg");
  page.add("<table>\n<caption>What was measured, and what it had to be</caption>\n"_html);
  add_head(page, {{"figure"_html},
                  {"must be"_html, true},
                  {"min"_html, true},
                  {"median"_html, true},
                  {"max"_html, true},
                  {"samples"_html, true},
                  {"held"_html}});
  for (const LegResult& leg : result.legs) {
    if (leg.result.figures.empty()) continue;
    page.add("<tbody>\n<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"7\"><b>"_html, leg_name(leg),
             "</b> "_html, name_of(leg.result.verdict), "</th></tr>\n"_html);
    for (const Figure& figure : leg.result.figures) add_figure(page, figure);
    page.add("</tbody>\n"_html);
  }
  page.add("</table>\n"_html, close_box);
}

// ---- Prompts ----

// Below this many, more rows say nothing new.
constexpr std::size_t shown_prompts = 8;

double worst_of(const PromptFigures& one) {
  if (std::isnan(one.worst_cosine) || std::isnan(one.worst_excused_cosine)) return -2;
  return std::min(one.worst_cosine, one.worst_excused_cosine);
}

// NaN first, then by the worst cosine, excused or not.
std::vector<PromptFigures> worst_first(const LegResult& leg) {
  std::vector<PromptFigures> prompts = leg.prompts;
  const auto rank = [](const PromptFigures& one) { return worst_of(one); };
  std::stable_sort(prompts.begin(), prompts.end(),
                   [&](const PromptFigures& a, const PromptFigures& b) { return rank(a) < rank(b); });
  return prompts;
}

void add_prompt(Page& page, const PromptFigures& prompt) {
  page.add("<tr><th scope=\"row\"><bdi>"_html, prompt.prompt, "</bdi></th>"_html);
  if (prompt.positions == 0) {
    page.add("<td class=\"num\" colspan=\"3\">nothing judged</td>"_html);
  } else {
    page.add("<td class=\"num\">"_html, prompt.worst_cosine, "</td><td class=\"num\">"_html, prompt.worst_row,
             "</td><td class=\"num\">"_html, prompt.worst_kl, "</td>"_html);
  }
  page.add("<td class=\"num\">"_html, prompt.tokens, "</td><td class=\"num\">"_html, prompt.positions,
           "</td><td class=\"num\">"_html, prompt.excused, "</td><td class=\"num\">"_html);
  if (prompt.excused > 0) page.add(prompt.worst_excused_cosine);
  page.add("</td></tr>\n"_html);
}

// Leg D that agrees to rounding has no worst prompt.
bool has_worst_prompts(const LegResult& leg) {
  constexpr double rounding = 1e-9;
  return !leg.prompts.empty() &&
         (leg.leg != 'D' || std::any_of(leg.prompts.begin(), leg.prompts.end(), [](const auto& prompt) {
            return prompt.excused > 0 || !(worst_of(prompt) >= 1 - rounding);
          }));
}

// ---- Swaps ----

constexpr std::size_t shown_swaps = 50;

struct LegSwap {
  const LegResult* leg;
  const ExpertSwap* swap;
};

// Those that nothing excuses first, else in the order of the legs.
std::vector<LegSwap> swaps_of(const GateResult& result) {
  std::vector<LegSwap> swaps;
  for (const LegResult& leg : result.legs)
    for (const ExpertSwap& swap : leg.result.swaps) swaps.push_back({&leg, &swap});
  std::stable_partition(swaps.begin(), swaps.end(), [](const LegSwap& one) { return !one.swap->excused; });
  return swaps;
}

void add_swap(Page& page, const LegSwap& one) {
  const ExpertSwap& swap = *one.swap;
  page.add("<tr><td>"_html, leg_name(*one.leg), "</td><td><bdi>"_html, swap.prompt,
           "</bdi></td><td class=\"num\">"_html, swap.row, "</td><td class=\"num\">"_html, swap.layer,
           "</td><td class=\"num\">"_html, swap.expected, "</td><td class=\"num\">"_html, swap.actual,
           "</td><td class=\"num\">"_html, swap.margin, "</td><td class=\"num\">"_html, swap.allowed,
           "</td><td class=\"num\">"_html, swap.measured_error, "</td><td>"_html);
  if (!swap.excused) {
    page.add("<span class=\"fail\">✗ not excused</span>"_html);
  } else if (swap.margin < swap.allowed) {
    page.add("✓ excused: a near-tie"_html);
  } else {
    page.add("✓ excused: follows an excused swap"_html);
  }
  page.add("</td></tr>\n"_html);
}

void add_swap_table(Page& page, const std::vector<LegSwap>& swaps) {
  open_box(page, "Expert swaps");
  page.add("<table>\n<caption>Experts that differ, those that nothing excuses first</caption>\n"_html);
  add_head(page, {{"leg"_html},
                  {"prompt"_html},
                  {"row"_html, true},
                  {"layer"_html, true},
                  {"reference chose"_html, true},
                  {"device chose"_html, true},
                  {"margin"_html, true},
                  {"allowed"_html, true},
                  {"router error"_html, true},
                  {"judged"_html}});
  page.add("<tbody>\n"_html);
  for (std::size_t i = 0; i < std::min(swaps.size(), shown_swaps); ++i) add_swap(page, swaps[i]);
  page.add("</tbody>\n</table>\n"_html, close_box);
  if (swaps.size() > shown_swaps)
    page.add("<p>And "_html, grouped_text(swaps.size() - shown_swaps), " more.</p>\n"_html);
}

}  // namespace

void add_legs(Page& page, const GateResult& result) {
  page.add(
      "<section id=\"legs\">\n<h2>What was compared</h2>\n<table class=\"legs\">\n<caption>The legs of the "
      "comparison. Only a pass is a pass</caption>\n"_html);
  add_head(page, {{"leg"_html}, {"what it compares"_html}, {"verdict"_html}});
  page.add("<tbody>\n"_html);
  for (const LegResult& leg : result.legs) {
    page.add("<tr><th scope=\"row\">"_html, leg_name(leg), "</th><td><b>"_html, title_of(leg.leg),
             "</b><br>"_html, meaning_of(leg.leg));
    if (!leg.result.reason.empty())
      page.add("<br><span class=\"reason\">"_html, name_of(leg.result.verdict), ": "_html, leg.result.reason,
               "</span>"_html);
    page.add("</td><td>"_html);
    add_badge(page, leg.result.verdict);
    page.add("</td></tr>\n"_html);
  }
  page.add("</tbody>\n</table>\n"_html);
  if (std::any_of(result.legs.begin(), result.legs.end(),
                  [](const LegResult& leg) { return !leg.result.figures.empty(); }))
    add_figures(page, result);
  page.add("</section>\n"_html);
}

void add_divergences(Page& page, const GateResult& result) {
  page.add("<section id=\"divergence\">\n<h2>First divergence</h2>\n"_html);
  bool any = false, is_a_stage = false;
  for (const LegResult& leg : result.legs) {
    if (!leg.result.first_divergence) continue;
    const Divergence& first = *leg.result.first_divergence;
    any = true;
    is_a_stage = is_a_stage || first.stage != model::Stage::logits;
    page.add("<p class=\"divergence\"><b>"_html, leg_name(leg), "</b> first leaves its bounds at <b>"_html,
             place_text(first.stage, first.layer), "</b>, prompt <bdi>"_html, first.prompt,
             "</bdi>, row "_html, first.row, ": cosine "_html, first.cosine, ", relative L2 "_html,
             first.relative_l2, ".</p>\n"_html);
  }
  if (is_a_stage) {
    page.add(
        "<p>Stages are looked at in the order the model computes them, so what comes before is "
        "within its bounds and what comes after may only follow: look there first.</p>\n"_html);
  } else if (any) {
    page.add("<p>Only logits are named: no stage that has a bound left it before them.</p>\n"_html);
  } else if (result.verdict == Verdict::pass) {
    page.add("<p>None: nothing that was judged left its bounds.</p>\n"_html);
  } else if (result.verdict == Verdict::fail) {
    page.add("<p>No leg names a stage; its reason above says what did not hold.</p>\n"_html);
  } else {
    page.add("<p>Nothing was judged to the end, so there is none to name.</p>\n"_html);
  }
  page.add("</section>\n"_html);
}

void add_prompts(Page& page, const GateResult& result) {
  page.add("<section id=\"prompts\">\n<h2>The worst prompts</h2>\n"_html);
  if (std::all_of(result.legs.begin(), result.legs.end(),
                  [](const LegResult& leg) { return leg.prompts.empty(); })) {
    page.add("<p>No prompt was compared.</p>\n</section>\n"_html);
    return;
  }
  open_box(page, "The worst prompts");
  page.add("<table>\n<caption>Logits by prompt, the "_html, shown_prompts,
           " worst of each leg by cosine, excused or not</caption>\n"_html);
  add_head(page, {{"prompt"_html},
                  {"worst cosine"_html, true},
                  {"at row"_html, true},
                  {"worst KL"_html, true},
                  {"tokens"_html, true},
                  {"positions judged"_html, true},
                  {"excused"_html, true},
                  {"worst excused cosine"_html, true}});
  for (const LegResult& leg : result.legs) {
    if (!has_worst_prompts(leg)) continue;
    page.add("<tbody>\n<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"8\"><b>"_html, leg_name(leg),
             "</b> "_html, title_of(leg.leg), ", "_html, leg.prompts.size(), " prompts</th></tr>\n"_html);
    const std::vector<PromptFigures> prompts = worst_first(leg);
    for (std::size_t i = 0; i < std::min(prompts.size(), shown_prompts); ++i) add_prompt(page, prompts[i]);
    page.add("</tbody>\n"_html);
  }
  page.add("</table>\n"_html, close_box, "</section>\n"_html);
}

void add_swaps(Page& page, const GateResult& result) {
  page.add("<section id=\"swaps\">\n<h2>Expert swaps</h2>\n"_html);
  bool compared = false;
  for (const LegResult& leg : result.legs) {
    if (leg.choices == 0) continue;
    page.add(compared ? ""_html : "<ul>\n"_html, "<li>"_html, leg_name(leg), ": "_html,
             grouped_text(leg.choices_different), " of "_html, grouped_text(leg.choices),
             " expert choices differ</li>\n"_html);
    compared = true;
  }
  page.add(compared ? "</ul>\n"_html : "<p>No expert choice was compared.</p>\n"_html);
  const std::vector<LegSwap> swaps = swaps_of(result);
  if (!swaps.empty()) add_swap_table(page, swaps);
  page.add("</section>\n"_html);
}

}  // namespace trine::contract
