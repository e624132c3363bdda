#include "contract/report/report.h"

#include "contract/report/parts.h"
#include "contract/report/style.h"

#include <fmt/format.h>

namespace trine::contract {
namespace {

struct Sign {
  Markup css_class;
  Markup glyph;
};

Sign sign_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return {"pass"_html, "✓"_html};
    case Verdict::fail:
      return {"fail"_html, "✗"_html};
    case Verdict::refused:
      return {"refused"_html, "⊘"_html};
    case Verdict::not_run:
      return {"not-run"_html, "○"_html};
  }
  return {"not-run"_html, "○"_html};
}

std::string subject_of(const GateResult& result) {
  if (!result.model.path.empty()) return result.model.path;
  return result.model.name.empty() ? "a model without a name" : result.model.name;
}

// What the page is about, in one line: model, device, prompts, when.
void add_circumstances(Page& page, const GateResult& result, std::string_view finished) {
  page.add("<p class=\"muted\">"_html);
  if (!result.devices.empty()) {
    const model::DeviceInfo& device = result.devices.front();
    page.add("<bdi>"_html, device.name, "</bdi> ("_html, device.backend, ", "_html, device.api, "), "_html);
  }
  page.add(grouped_text(result.prompts.count), " prompts, "_html, result.prompts.tokens,
           " tokens in all, "_html, result.model.layers_run, " of "_html, result.model.layers_in_file,
           " layers, finished "_html, finished, " after "_html, fmt::format("{:.1f}", result.seconds),
           " s</p>\n"_html);
}

void add_verdict(Page& page, const GateResult& result, std::string_view finished) {
  page.add("<header>\n<p class=\"muted\">trine verify</p>\n<h1><bdi>"_html, subject_of(result),
           "</bdi></h1>\n"_html, "<div class=\"verdict "_html, sign_of(result.verdict).css_class,
           "\">\n"_html);
  add_badge(page, result.verdict);
  page.add("<p>"_html, summarise(result), "</p>\n</div>\n"_html);
  if (!result.left_out.empty())
    page.add("<p>This run was not complete: <a href=\"#left-out\">what was left out</a>.</p>\n"_html);
  add_circumstances(page, result, finished);
  page.add("</header>\n"_html);
}

}  // namespace

void add_badge(Page& page, Verdict verdict) {
  const Sign sign = sign_of(verdict);
  page.add("<strong class=\"badge "_html, sign.css_class, "\"><span aria-hidden=\"true\">"_html, sign.glyph,
           "</span> "_html, name_of(verdict), "</strong>"_html);
}

void open_box(Page& page, std::string_view label) {
  page.add("<div class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\""_html, label, "\">\n"_html);
}

void add_head(Page& page, std::initializer_list<Column> columns) {
  page.add("<thead><tr>"_html);
  for (const Column& column : columns)
    page.add("<th scope=\"col\""_html, column.is_number ? " class=\"num\">"_html : ">"_html, column.name,
             "</th>"_html);
  page.add("</tr></thead>\n"_html);
}

std::string to_html(const GateResult& result, const ToolIdentity& tool, std::string_view finished) {
  Page page;
  // The policy lets a browser run and load nothing, whatever the page may hold.
  page.add(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>"_html,
      name_of(result.verdict), ": trine verify "_html, subject_of(result), "</title>\n<style>\n"_html,
      report_style, "</style>\n</head>\n<body>\n"_html);
  add_verdict(page, result, finished);
  page.add("<main>\n"_html);
  add_legs(page, result);
  add_heatmaps(page, result);
  add_divergences(page, result);
  add_prompts(page, result);
  add_swaps(page, result);
  add_identity(page, result, tool, finished);
  add_glossary(page);
  page.add("</main>\n</body>\n</html>\n"_html);
  return page.take();
}

}  // namespace trine::contract
