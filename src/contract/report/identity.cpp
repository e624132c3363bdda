// What was judged and by what, and what the numbers mean.
#include "contract/report/parts.h"
#include "model/device_names.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace trine::contract {
namespace {

// An absent fact is said to be absent: an empty cell would read like a forgotten one.
void add_fact(Page& page, Markup name, std::string_view value) {
  page.add("<tr><th scope=\"row\">"_html, name, "</th><td><bdi>"_html,
           value.empty() ? std::string_view("not known") : value, "</bdi></td></tr>\n"_html);
}

void open_facts(Page& page, Markup caption) {
  page.add("<table class=\"facts\">\n<caption>"_html, caption, "</caption>\n<tbody>\n"_html);
}
constexpr Markup close_facts = "</tbody>\n</table>\n"_html;

// "every stage on the device", or the stages by place.
std::string places_text(const model::DeviceInfo& device) {
  std::vector<std::pair<std::string, std::string>> places;
  for (int i = 0; i < model::stage_count; ++i) {
    const std::string& said = device.stage_place[static_cast<std::size_t>(i)];
    const std::string place = said.empty() ? "not known" : said;
    const std::string stage(model::name_of(static_cast<model::Stage>(i)));
    const auto found =
        std::find_if(places.begin(), places.end(), [&](const auto& one) { return one.first == place; });
    if (found == places.end()) {
      places.emplace_back(place, stage);
    } else {
      found->second += ", " + stage;
    }
  }
  std::string text;
  for (const auto& [place, stages] : places)
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", place, stages);
  return text;
}

void add_model(Page& page, const GateResult& result) {
  const FileIdentity& model = result.model;
  open_facts(page, "Model"_html);
  add_fact(page, "file"_html, model.path);
  add_fact(page, "name in the file"_html, model.name);
  add_fact(page, "SHA-256"_html, model.sha256);
  add_fact(page, "bytes"_html, model.bytes == 0 ? "" : grouped_text(model.bytes));
  add_fact(page, "layers run"_html, fmt::format("{} of {}", model.layers_run, model.layers_in_file));
  add_fact(page, "weights"_html, model.random_weights ? "random, as its name says" : "not said to be random");
  page.add(close_facts);
}

void add_prompt_set(Page& page, const GateResult& result) {
  open_facts(page, "Prompts and reference"_html);
  add_fact(page, "source"_html, result.prompts.source);
  add_fact(page, "prompts"_html, grouped_text(result.prompts.count));
  add_fact(page, "tokens"_html, std::to_string(result.prompts.tokens));
  add_fact(page, "SHA-256 of the token ids"_html, result.prompts.sha256);
  add_fact(page, "SHA-256 of the reference's logits"_html, result.reference_sha256);
  page.add(close_facts);
}

void add_device(Page& page, const model::DeviceInfo& device) {
  page.add("<table class=\"facts\">\n<caption>Device, "_html, name_of(device.numerics),
           " numerics</caption>\n<tbody>\n"_html);
  add_fact(page, "backend"_html, device.backend);
  add_fact(page, "name"_html, device.name);
  add_fact(page, "type"_html, device.type);
  add_fact(page, "counts as"_html, counts_as(device));
  add_fact(page, "API"_html, device.api);
  add_fact(page, "driver"_html,
           device.type == model::cpu_type && device.driver.empty() ? "none" : device.driver);
  if (device.type == model::cpu_type) add_fact(page, "threads"_html, std::to_string(device.threads));
  if (device.kv_type) add_fact(page, "KV cache"_html, name_of(*device.kv_type));
  add_fact(page, "where each stage ran"_html, places_text(device));
  if (!device.left_out.empty())
    add_fact(page, "left out, as it was asked"_html, fmt::format("{}", fmt::join(device.left_out, ", ")));
  if (!device.switched_off.empty())
    add_fact(page, "switched off, as it gave wrong numbers"_html,
             fmt::format("{}", fmt::join(device.switched_off, ", ")));
  page.add(close_facts);
}

void add_tool(Page& page, const GateResult& result, const ToolIdentity& tool, std::string_view finished) {
  open_facts(page, "Program"_html);
  add_fact(page, "version"_html, "trine " + tool.version);
  add_fact(page, "commit"_html, tool.commit);
  add_fact(page, "SHA-256 of the program that ran"_html, tool.binary_sha256);
  add_fact(page, "finished"_html, finished);
  add_fact(page, "took"_html, fmt::format("{:.1f} s", result.seconds));
  page.add(close_facts);
}

void add_left_out(Page& page, const GateResult& result) {
  page.add("<h3 id=\"left-out\">Left out</h3>\n"_html);
  if (result.left_out.empty()) {
    page.add("<p>Nothing was left out by choice.</p>\n"_html);
    return;
  }
  page.add("<p>A complete run would also have done this:</p>\n<ul>\n"_html);
  for (const std::string& left : result.left_out) page.add("<li>"_html, left, "</li>\n"_html);
  page.add("</ul>\n"_html);
}

struct Term {
  Markup name;
  Markup meaning;
};
constexpr Term terms[] = {
    {"reference"_html,
     "The model written as plainly as possible, in 32-bit floats with every sum in 64 bits. It "
     "defines the right answer, and leg R holds it to another program's."_html},
    {"cosine"_html,
     "How alike two lists of numbers point: 1 is the same direction, 0 has nothing in common. Next "
     "to 1 the distance is shown, as in 1 − 2e-12. For expert_ids it is the share of experts in "
     "common."_html},
    {"relative L2"_html,
     "The length of the difference over the length of the reference's list: 0 is equal, 1e-6 is one "
     "part in a million, 1 is as wrong as an answer of zeros. It also sees a wrong scale, which a "
     "cosine does not."_html},
    {"KL"_html,
     "How far the probabilities of the next token are from the reference's, in nats: 0 is equal."_html},
    {"logits"_html,
     "The model's score for each token of the vocabulary; the next token is drawn from them."_html},
    {"row, position"_html,
     "One token of a prompt, counted from 0. Stages are judged at every row; logits at the end of "
     "the prefill and at each token that is fed one by one."_html},
    {"min, median, max, samples"_html,
     "The spread of a figure over everything that was measured. A bound holds for every sample, not "
     "on average."_html},
    {"expert swap"_html,
     "A router picked another expert than the reference's. Where two experts are all but tied, "
     "rounding decides, and either is right; from there on that row is another computation."_html},
    {"margin, allowed"_html,
     "How far apart the reference scored the two experts, and how far this layer's typical error "
     "reaches (four times its median). A swap is excused only below that, or behind one that was."_html},
    {"excused"_html,
     "Of a stage's row: not judged, because an excused swap came before it. Of a position: it misses its "
     "bound, and such a swap came before it. At most a tenth of all rows may have a swap of their own, and "
     "at most a tenth of all positions may be excused."_html},
    {"exact, fast"_html,
     "Exact numerics keep activations in 32-bit floats; fast ones store them as 8-bit blocks where "
     "that is quicker."_html},
    {"not-run, refused"_html,
     "Not-run: it did not happen, for the reason given. Refused: it would have meant nothing, such "
     "as a comparison with itself. Neither is a pass."_html},
};

}  // namespace

void add_identity(Page& page, const GateResult& result, const ToolIdentity& tool, std::string_view finished) {
  page.add("<section id=\"identity\">\n<h2>What ran, and on what</h2>\n"_html);
  add_model(page, result);
  for (const model::DeviceInfo& device : result.devices) add_device(page, device);
  if (result.devices.empty()) page.add("<p>No device was opened.</p>\n"_html);
  add_prompt_set(page, result);
  add_tool(page, result, tool, finished);
  add_left_out(page, result);
  page.add(
      "<h3>To check this page</h3>\n<p>Hash your copy of the model and compare; build the named "
      "commit; run <code>trine verify</code> with the same prompts, and compare the SHA-256 of the "
      "reference's logits and the figures.</p>\n</section>\n"_html);
}

void add_glossary(Page& page) {
  page.add("<section id=\"glossary\">\n<h2>What the numbers mean</h2>\n<dl>\n"_html);
  for (const Term& term : terms)
    page.add("<dt>"_html, term.name, "</dt>\n<dd>"_html, term.meaning, "</dd>\n"_html);
  page.add("</dl>\n</section>\n"_html);
}

}  // namespace trine::contract
