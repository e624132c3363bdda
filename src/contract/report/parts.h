#pragma once

#include "contract/gate/gate.h"
#include "contract/receipt/receipt.h"
#include "contract/report/html.h"

#include <initializer_list>
#include <string>
#include <string_view>

namespace trine::contract {

// The sections of the report, in the order of the page. Each writes one <section> with its heading.
void add_legs(Page& page, const GateResult& result);
void add_heatmaps(Page& page, const GateResult& result);
void add_divergences(Page& page, const GateResult& result);
void add_prompts(Page& page, const GateResult& result);
void add_swaps(Page& page, const GateResult& result);
void add_identity(Page& page, const GateResult& result, const ToolIdentity& tool, std::string_view finished);
void add_glossary(Page& page);

// ---- What several sections share ----

// A verdict as a word with a sign of its own, so that it does not hang on a colour.
void add_badge(Page& page, Verdict verdict);
// A box that scrolls sideways by itself, so that the page never does; ends with close_box.
void open_box(Page& page, std::string_view label);
inline constexpr Markup close_box = "</div>\n"_html;
// The head of a table, one cell for each column.
struct Column {
  Markup name;
  bool is_number = false;
};
void add_head(Page& page, std::initializer_list<Column> columns);

}  // namespace trine::contract
