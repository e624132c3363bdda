// The report says everything, about every kind of result, and nothing in it can become markup.
#include "contract/report/report.h"

#include "contract/report/html.h"
#include "gate_fixture.h"

#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <vector>

namespace trine::test {
namespace {

using contract::GateResult;
using contract::LegResult;
using contract::StageCell;
using contract::Verdict;
using model::Numerics;
using model::Stage;

const contract::ToolIdentity this_tool = {"1.2.3", "abcdef", sha256("binary")};
const std::string finished = "2026-11-23T20:00:00Z";

std::string page_of(const GateResult& result) {
  return contract::to_html(result, this_tool, finished);
}

// ---- A small reader of HTML: enough to say what a browser would see ----

struct Tag {
  std::string name;
  std::map<std::string, std::string> attributes;
};

struct Document {
  std::vector<Tag> tags;
  std::string text;      // outside tags, entities as they are written; without the style sheet
  std::string problems;  // what is not well-formed
};

class Reader {
 public:
  explicit Reader(const std::string& html) : html_(html) {}

  Document read() {
    const std::string doctype = "<!DOCTYPE html>";
    if (!html_.starts_with(doctype)) problem("no doctype");
    at_ = doctype.size();
    while (at_ < html_.size()) {
      if (html_[at_] != '<') {
        if (html_[at_] == '>' || html_[at_] == '"') problem("a bare sign in text");
        document_.text += html_[at_++];
      } else if (html_[at_ + 1] == '/') {
        close();
      } else {
        open();
      }
    }
    if (!stack_.empty()) problem("not closed: " + stack_.back());
    return document_;
  }

 private:
  void problem(const std::string& what) {
    document_.problems += what + " near '" + html_.substr(at_ < 30 ? 0 : at_ - 30, 80) + "'\n";
  }
  std::string word() {
    const std::size_t begin = at_;
    while (at_ < html_.size() &&
           (std::isalnum(static_cast<unsigned char>(html_[at_])) != 0 || html_[at_] == '-'))
      ++at_;
    return html_.substr(begin, at_ - begin);
  }

  void open() {
    ++at_;
    Tag tag{word(), {}};
    if (tag.name.empty()) problem("no tag name");
    while (at_ < html_.size() && html_[at_] != '>') {
      ++at_;
      const std::string name = word();
      if (name.empty() || html_.compare(at_, 2, "=\"") != 0) return problem("attribute of " + tag.name);
      const std::size_t end = html_.find('"', at_ += 2);
      if (!tag.attributes.emplace(name, html_.substr(at_, end - at_)).second) problem("twice: " + name);
      at_ = end + 1;
    }
    ++at_;
    if (tag.name == "style") at_ = html_.find("</style>", at_);
    if (tag.name != "meta" && tag.name != "br") stack_.push_back(tag.name);
    document_.tags.push_back(std::move(tag));
  }
  void close() {
    at_ += 2;
    const std::string name = word();
    if (stack_.empty() || stack_.back() != name) return problem("closed and not open: " + name);
    stack_.pop_back();
    if (html_[at_++] != '>') problem("end of " + name);
  }

  const std::string& html_;
  std::size_t at_ = 0;
  std::vector<std::string> stack_;
  Document document_;
};

// The page, which must be well-formed and hold no more than the report writes.
Document read(const std::string& html) {
  Document document = Reader(html).read();
  EXPECT_EQ(document.problems, "");
  const std::set<std::string> elements = {
      "html", "head", "meta", "title", "style", "body",   "header", "main",    "section", "h1",    "h2", "h3",
      "p",    "a",    "div",  "span",  "b",     "strong", "table",  "caption", "thead",   "tbody", "tr", "th",
      "td",   "bdi",  "br",   "ul",    "li",    "dl",     "dt",     "dd",      "i",       "code"};
  const std::set<std::string> attributes = {"lang",       "charset",    "name",  "content", "http-equiv",
                                            "id",         "class",      "style", "scope",   "colspan",
                                            "href",       "rowspan",    "title", "role",    "tabindex",
                                            "aria-label", "aria-hidden"};
  for (const Tag& tag : document.tags) {
    EXPECT_TRUE(elements.contains(tag.name)) << tag.name;
    for (const auto& [name, value] : tag.attributes) {
      EXPECT_TRUE(attributes.contains(name)) << tag.name << ' ' << name;
      EXPECT_EQ(value.find('<'), std::string::npos) << value;
    }
    if (tag.name != "a") continue;
    EXPECT_TRUE(tag.attributes.at("href").starts_with("#"));
  }
  return document;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// Cells of the maps: those with a tooltip.
std::vector<Tag> cells_of(const Document& document) {
  std::vector<Tag> cells;
  for (const Tag& tag : document.tags)
    if (tag.name == "td" && tag.attributes.contains("title")) cells.push_back(tag);
  return cells;
}
Tag cell_at(const Document& document, const std::string& place) {
  for (const Tag& cell : cells_of(document))
    if (cell.attributes.at("title").starts_with(place + ":")) return cell;
  ADD_FAILURE() << place;
  return {"td", {{"class", ""}, {"title", ""}}};
}

// ---- Results ----

// A passing result of leg X (and F) over this many layers, all cells alike.
GateResult made_result(int layers, const std::string& text = "name") {
  GateResult result;
  result.model = {text, text, sha256("model"), 1234567, layers, layers, false};
  result.prompts = {sha256("prompts"), 16, 500, text};
  result.reference_sha256 = sha256("reference");
  for (const auto& [leg, numerics] : {std::pair{'X', Numerics::exact}, {'F', Numerics::fast}}) {
    model::DeviceInfo device;
    device.backend = device.name = device.api = device.driver = text;
    device.type = "cpu";
    device.threads = 2;
    device.numerics = numerics;
    device.stage_place.fill(text);
    result.devices.push_back(device);
    LegResult one;
    one.leg = leg;
    one.numerics = numerics;
    one.result.verdict = Verdict::pass;
    one.result.figures = {{text, 0.999999123, 0.9999999, 1, 144, ">= 0.99999"}, {text, 0, 0, 2, 144, ""}};
    const auto add = [&, &leg_result = one](Stage stage, int layer) {
      leg_result.cells.push_back({stage, layer, 0.999999, 3e-6, text, 7, 490, 10});
    };
    add(Stage::embed, -1);
    for (int layer = 0; layer < layers; ++layer)
      for (int stage = 1; stage <= 12; ++stage) add(static_cast<Stage>(stage), layer);
    add(Stage::final_norm, -1);
    one.prompts = {{text, 24, 9, 0, 0.999999, 1e-6, 3, 1}};
    one.choices = 18432;
    result.legs.push_back(std::move(one));
  }
  result.verdict = Verdict::pass;
  return result;
}

GateResult failing_result() {
  GateResult result = made_result(4);
  LegResult& leg = result.legs[0];
  leg.result.verdict = result.verdict = Verdict::fail;
  leg.result.reason = result.reason = "it broke";
  leg.result.figures[0].min = 0.5;
  for (StageCell& cell : leg.cells)
    if (cell.layer > 2 || (cell.layer == 2 && cell.stage >= Stage::attention)) {
      cell.worst_relative_l2 = 0.25;
      cell.worst_cosine = 0.5;
    }
  leg.result.first_divergence = {Stage::attention, 2, "the prompt", 11, 0.5, 0.25};
  return result;
}

// ---- Tests ----

TEST(Report, EscapesWhatWouldBeMarkup) {
  EXPECT_EQ(contract::escape_html("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(contract::escape_html("naïve 你好\n"), "naïve 你好\n");
  EXPECT_EQ(contract::escape_html(std::string("\0\x1b\x7f", 3)), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(contract::escape_html("\xff<\xe4\xbd"), "\uFFFD&lt;\uFFFD");
  EXPECT_EQ(contract::escape_html("\xc2\x85"), "\uFFFD");
}

TEST(Report, NumbersKeepWhatMatters) {
  EXPECT_EQ(contract::number_text(0.9999999871), "0.999999987");
  EXPECT_EQ(contract::number_text(1 - 4e-10), "1 − 4e-10");
  EXPECT_EQ(contract::number_text(1 + 4e-10), "1 + 4e-10");
  EXPECT_EQ(contract::number_text(0.97), "0.970000000");
  EXPECT_EQ(contract::number_text(8.34e-06), "8.34e-06");
  EXPECT_EQ(contract::number_text(18432), "18,432");
  EXPECT_EQ(contract::number_text(0), "0");
  EXPECT_EQ(contract::number_text(1), "1");
  EXPECT_EQ(contract::number_text(nan), "not a number");
  EXPECT_EQ(contract::number_text(std::numeric_limits<double>::infinity()), "inf");
}

// A text that breaks out of every context, in every field that comes from outside.
TEST(Report, NoNameBecomesMarkup) {
  const std::string poison = "</title></style>\"'><script>alert(1)</script><img src=x onerror=y>&lt;";
  GateResult result = failing_result();
  const GateResult poisoned = made_result(2, poison);
  result.model = poisoned.model;
  result.prompts = poisoned.prompts;
  result.devices = poisoned.devices;
  result.legs.insert(result.legs.end(), poisoned.legs.begin(), poisoned.legs.end());
  LegResult& leg = result.legs.back();
  leg.result.verdict = Verdict::fail;
  leg.result.reason = result.reason = poison;
  leg.result.figures[0].bound = poison;
  leg.result.first_divergence = {Stage::embed, -1, poison, 0, 0, 0};
  leg.result.swaps = {{poison, 1, 2, 3, 4, 0.1, 0.2, true, 0.3}};
  result.left_out = {poison};
  const contract::ToolIdentity bad_tool = {poison, poison, poison};
  const std::string html = contract::to_html(result, bad_tool, poison);
  const Document document = read(html);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_EQ(count(html, "</style>"), 1u);
  EXPECT_EQ(count(html, "</title>"), 1u);
  // And it is still there to be read, entity for entity.
  EXPECT_GT(count(document.text, "&lt;script&gt;alert(1)&lt;/script&gt;"), 20u);
  EXPECT_NE(document.text.find("onerror=y&gt;&amp;lt;"), std::string::npos);
}

TEST(Report, NeedsNothingFromOutside) {
  const std::string html = page_of(failing_result());
  for (const char* part : {"http:", "https:", "//", "url(", "@import", "<script", "<link", "src="})
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(html.find("<html lang=\"en\">"), std::string::npos);
  EXPECT_NE(html.find("name=\"viewport\""), std::string::npos);
}

TEST(Report, ShowsEveryStageOfEveryLayer) {
  for (const int layers : {1, 2, 48, 94}) {
    SCOPED_TRACE(layers);
    const Document document = read(page_of(made_result(layers)));
    std::map<std::string, int> seen;
    for (const Tag& cell : cells_of(document)) {
      const std::string& title = cell.attributes.at("title");
      ++seen[title.substr(0, title.find(':'))];
      EXPECT_NE(
          title.find("cosine 0.999999000, relative L2 3e-06; worst in prompt &#39;name&#39;, row 7; 490 "
                     "rows judged; 10 excused"),
          std::string::npos)
          << title;
    }
    EXPECT_EQ(seen.size(), 2u + 12u * static_cast<std::size_t>(layers));
    for (const auto& [place, times] : seen) EXPECT_EQ(times, 2) << place;
    for (int stage = 1; stage <= 12; ++stage)
      EXPECT_TRUE(seen.contains("layer " + std::to_string(layers - 1) + ", " +
                                std::string(model::name_of(static_cast<Stage>(stage)))));
    EXPECT_TRUE(seen.contains("embed"));
    EXPECT_TRUE(seen.contains("final_norm"));
  }
}

TEST(Report, ColoursFollowTheLogarithmOfTheError) {
  GateResult result = made_result(4);
  const auto set = [&](std::size_t slot, double relative_l2) {
    result.legs[0].cells[slot].worst_relative_l2 = relative_l2;
  };
  set(1, 0);
  set(2, 5e-9);
  set(3, 2e-8);  // [1e-8, 10^-7.5)
  set(4, 5e-8);  // [10^-7.5, 1e-7)
  set(5, 1.1e-2);
  set(6, 0.9);
  set(7, 1e9);
  const std::vector<Tag> cells = cells_of(read(page_of(result)));
  const auto at = [&](Stage stage) {
    for (const Tag& cell : cells)
      if (cell.attributes.at("title").starts_with("layer 0, " + std::string(model::name_of(stage)) + ":"))
        return cell.attributes.at("class").substr(0, cell.attributes.at("class").find(' '));
    return std::string("none found");
  };
  EXPECT_EQ(at(static_cast<Stage>(1)), "h0");
  EXPECT_EQ(at(static_cast<Stage>(2)), "h0");
  EXPECT_EQ(at(static_cast<Stage>(3)), "h1");
  EXPECT_EQ(at(static_cast<Stage>(4)), "h2");
  EXPECT_EQ(at(static_cast<Stage>(5)), "h13");
  EXPECT_EQ(at(static_cast<Stage>(6)), "h16");
  EXPECT_EQ(at(static_cast<Stage>(7)), "h16");
}

TEST(Report, AFailingResultMarksWhereItBegins) {
  const std::string html = page_of(failing_result());
  const Document document = read(html);
  EXPECT_EQ(cell_at(document, "layer 2, attention").attributes.at("class"), "h15 first");
  EXPECT_EQ(cell_at(document, "layer 2, attn_out").attributes.at("class"), "h15 out");
  EXPECT_EQ(cell_at(document, "layer 3, layer_out").attributes.at("class"), "h15 out");
  EXPECT_EQ(cell_at(document, "layer 2, qk_norm_rope").attributes.at("class"), "h5");
  EXPECT_EQ(count(html, "first\" title="), 1u);
  EXPECT_NE(
      html.find("first leaves its bounds at <b>layer 2, attention</b>, prompt <bdi>the prompt</bdi>, row "
                "11: cosine 0.5, relative L2 0.25."),
      std::string::npos);
  EXPECT_NE(html.find("does NOT give the reference&#39;s answer"), std::string::npos);
  // The figure that broke its bound is named, and the other leg's is not.
  EXPECT_EQ(count(html, "✗ no</span>"), 1u);
  EXPECT_EQ(count(html, "✓ yes</span>"), 1u);
}

TEST(Report, NanIsNeitherAColourNorAPass) {
  GateResult result = made_result(3);
  for (LegResult& leg : result.legs) {
    leg.cells[4].worst_cosine = leg.cells[4].worst_relative_l2 = nan;
    leg.result.figures[0].min = leg.result.figures[0].median = leg.result.figures[0].max = nan;
    leg.prompts.push_back({"nan prompt", 24, 9, 0, nan, nan, 3, 1});
  }
  const std::string html = page_of(result);
  const Document document = read(html);
  const Tag cell = cell_at(document, "layer 0, attention");
  EXPECT_EQ(cell.attributes.at("class"), "nan out");
  EXPECT_NE(cell.attributes.at("title").find("cosine not a number"), std::string::npos);
  EXPECT_EQ(count(html, "\">N</td>"), 2u);
  EXPECT_EQ(count(html, "✗ no</span>"), 2u);
  EXPECT_EQ(html.find("✓ yes</span>"), std::string::npos);
  // The worst prompt comes first.
  EXPECT_LT(html.find("<bdi>nan prompt</bdi></th><td class=\"num\">not a number"),
            html.find("<bdi>name</bdi></th><td class=\"num\">0.999999000"));
}

TEST(Report, WhatWasNotJudgedHasNoFigures) {
  GateResult result = made_result(2);
  StageCell& cell = result.legs[0].cells[5];
  cell.rows = 0;
  cell.excused = 500;
  cell.prompt.clear();
  result.legs[0].prompts = {{"all excused", 24, 0, 9, 1, 0, 0, 0.5}};
  const Document document = read(page_of(result));
  const Tag found = cell_at(document, "layer 0, attn_out");
  EXPECT_EQ(found.attributes.at("class"), "none");
  EXPECT_EQ(found.attributes.at("title"), "layer 0, attn_out: no row judged; 500 excused by an expert swap");
  EXPECT_NE(document.text.find("all excusednothing judged"), std::string::npos);
}

TEST(Report, ARefusedResultSaysWhy) {
  GateResult result;
  result.legs = {contract::leg_without('X', Numerics::exact, Verdict::refused, "a stage ran on the host"),
                 contract::leg_without('D', Numerics::exact, Verdict::refused, "a stage ran on the host")};
  contract::conclude(result);
  const Document document = read(page_of(result));
  EXPECT_TRUE(cells_of(document).empty());
  for (const char* part : {"refused", "Not judged: leg X", "a stage ran on the host", "No stage was compared",
                           "No prompt was compared", "No expert choice was compared", "No device was opened"})
    EXPECT_NE(document.text.find(part), std::string::npos) << part;
}

TEST(Report, NamesEveryLegAndItsMeaning) {
  GateResult result = made_result(2);
  for (const char leg : {'R', 'D', 'T'})
    result.legs.push_back(contract::leg_without(leg, Numerics::exact, Verdict::not_run, "no golden logits"));
  const Document document = read(page_of(result));
  for (const char leg : {'R', 'X', 'F', 'D', 'T'})
    EXPECT_NE(document.text.find(contract::escape_html(contract::title_of(leg))), std::string::npos) << leg;
  EXPECT_EQ(count(document.text, "not-run: no golden logits"), 3u);
}

TEST(Report, ListsFiftySwapsThoseThatBreakTheRuleFirst) {
  GateResult result = made_result(2);
  for (int i = 0; i < 60; ++i)
    result.legs[1].result.swaps.push_back({"swapped", i, 1, 5, 6, 0.01, 0.02, i != 59, 0.04});
  result.legs[1].result.swaps[3].margin = 0.5;
  const Document document = read(page_of(result));
  EXPECT_EQ(count(document.text, "F fastswapped"), 50u);
  EXPECT_EQ(count(document.text, "✗ not excused"), 1u);
  EXPECT_EQ(count(document.text, "follows an excused swap"), 1u);
  EXPECT_EQ(count(document.text, "a near-tie"), 48u);
  EXPECT_LT(document.text.find("✗ not excused"), document.text.find("a near-tie"));
  EXPECT_NE(document.text.find("And 10 more."), std::string::npos);
  EXPECT_NE(document.text.find("0 of 18,432 expert choices differ"), std::string::npos);
}

TEST(Report, SaysWhatWasLeftOut) {
  GateResult result = made_result(2);
  EXPECT_NE(read(page_of(result)).text.find("Nothing was left out"), std::string::npos);
  result.left_out = {"--layers: 2 of 48 layers"};
  const std::string html = page_of(result);
  EXPECT_NE(html.find("<li>--layers: 2 of 48 layers</li>"), std::string::npos);
  EXPECT_NE(html.find("<a href=\"#left-out\">"), std::string::npos);
}

// Of a real run: every fact of the receipt is on the page.
TEST(Report, HoldsWhatTheReceiptHolds) {
  GateBench bench(tied_path);
  bench.use_prompts(contract::quick_subset(bench.prompts));
  GateResult result = bench.run();
  result.model.path = "tied.gguf";
  result.model.bytes = 1234567;
  result.model.layers_in_file = 2;
  result.prompts.source = "built-in";
  const std::string html = page_of(result);
  const Document document = read(html);
  std::vector<std::string> facts = {"tied.gguf",
                                    result.model.sha256,
                                    "1,234,567",
                                    "2 of 2",
                                    result.prompts.sha256,
                                    "built-in",
                                    result.reference_sha256,
                                    result.devices.at(0).name,
                                    result.devices.at(0).api,
                                    this_tool.version,
                                    this_tool.commit,
                                    this_tool.binary_sha256,
                                    finished,
                                    "device: embed, attn_norm, qkv"};
  facts.push_back(contract::summarise(result));
  for (const std::string& fact : facts)
    EXPECT_NE(document.text.find(contract::escape_html(fact)), std::string::npos) << fact;
  for (const LegResult& leg : result.legs) {
    for (const contract::Figure& figure : leg.result.figures)
      EXPECT_NE(document.text.find(contract::escape_html(figure.name)), std::string::npos) << figure.name;
    for (const contract::PromptFigures& prompt : leg.prompts)
      EXPECT_NE(document.text.find(contract::escape_html(prompt.prompt)), std::string::npos) << prompt.prompt;
  }
  EXPECT_EQ(cells_of(document).size(), 2u * (2u + 2u * 12u));
  EXPECT_EQ(html, page_of(result));
}

}  // namespace
}  // namespace trine::test
