#include "contract/spec/document.h"

#include "base/file.h"
#include "contract/spec/yaml_tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <system_error>

namespace trine::contract {
namespace {

using Kind = YamlNode::Kind;

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view digits = "0123456789";
constexpr std::string_view lower = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

// words-in-lower-case-v1
bool is_contract_id(std::string_view id) {
  const std::size_t at = id.rfind("-v");
  if (at == std::string_view::npos || at == 0 || !all_of(id.substr(at + 2), digits)) return false;
  const std::string_view stem = id.substr(0, at);
  return all_of(stem, std::string(lower) + "-") && stem.front() != '-' && stem.back() != '-' &&
         stem.find("--") == std::string_view::npos;
}
bool is_equation_id(std::string_view id) {
  return all_of(id, std::string(lower) + "_") && (id[0] < '0' || id[0] > '9');
}
bool has_prefix(std::string_view id, std::string_view prefix, std::string_view more) {
  return id.starts_with(prefix) && all_of(id.substr(prefix.size()), std::string(upper) + std::string(more));
}
bool is_obligation_id(std::string_view id) {
  return has_prefix(id, "AC_", "_");
}
bool is_test_id(std::string_view id) {
  return has_prefix(id, "FALSIFY-", "-");
}
bool is_stage_id(std::string_view id) {
  return has_prefix(id, "M-", "-.");
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  if (!all_of(text.substr(0, 4), digits) || !all_of(text.substr(5, 2), digits) ||
      !all_of(text.substr(8), digits))
    return false;
  const auto number = [&](std::size_t begin, std::size_t length) {
    return std::stoi(std::string(text.substr(begin, length)));
  };
  using namespace std::chrono;
  return year_month_day(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                        day(static_cast<unsigned>(number(8, 2))))
      .ok();
}

// The keys of one mapping, handed out by name; what nobody took is unknown. Says each problem once, with its
// line.
class Fields {
 public:
  Fields(const YamlNode& node, std::string what, ParsedContract& out)
      : node_(node), what_(std::move(what)), out_(out) {
    if (node.kind != Kind::mapping)
      report("wrong-type", fmt::format("{} is a mapping, not {}", what_, kind_name(node.kind)), node.line);
  }

  void report(std::string rule, std::string message, int line) {
    out_.findings.push_back({Level::error, std::move(rule), std::move(message), out_.contract.file, line});
  }

  int line_of(std::string_view key) const {
    const auto at = find(key);
    return at < node_.keys.size() ? node_.keys[at].second : node_.line;
  }

  const YamlNode* take(std::string_view key, Kind kind, bool required) {
    known_.emplace_back(key);
    if (node_.kind != Kind::mapping) return nullptr;
    const std::size_t at = find(key);
    if (at == node_.keys.size()) {
      if (required) report("missing", fmt::format("{} has no '{}'", what_, key), node_.line);
      return nullptr;
    }
    const YamlNode& value = node_.items[at];
    if (value.kind != kind) {
      report("wrong-type", fmt::format("'{}' is {}, not {}", key, kind_name(kind), kind_name(value.kind)),
             node_.keys[at].second);
      return nullptr;
    }
    return &value;
  }

  std::string text(std::string_view key, bool required = true) {
    const YamlNode* value = take(key, Kind::scalar, required);
    if (value == nullptr) return {};
    std::string text = value->text;
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    if (text.empty()) report("missing", fmt::format("'{}' of {} is empty", key, what_), line_of(key));
    return text;
  }

  std::vector<Line> lines(std::string_view key, bool required) {
    std::vector<Line> lines;
    const YamlNode* list = take(key, Kind::sequence, required);
    if (list == nullptr) return lines;
    for (const YamlNode& item : list->items) {
      if (item.kind != Kind::scalar)
        report("wrong-type", fmt::format("'{}' lists text, not {}", key, kind_name(item.kind)), item.line);
      else if (item.text.empty())
        report("missing", fmt::format("'{}' has an empty entry", key), item.line);
      else
        lines.push_back({item.text, item.line});
    }
    if (required && list->items.empty())
      report("missing", fmt::format("'{}' of {} is empty", key, what_), line_of(key));
    return lines;
  }

  std::string id(std::string_view key, bool (*valid)(std::string_view), std::string_view form) {
    std::string id = text(key);
    if (!id.empty() && !valid(id))
      report("bad-id", fmt::format("'{}' is no id of {}: {}", id, what_, form), line_of(key));
    return id;
  }

  // After everything known was taken.
  void refuse_unknown() {
    if (node_.kind != Kind::mapping) return;
    for (const auto& [key, line] : node_.keys)
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        report("unknown-key",
               fmt::format("{} has no key '{}'; it knows {}", what_, key, fmt::join(known_, ", ")), line);
  }

 private:
  std::size_t find(std::string_view key) const {
    std::size_t at = 0;
    while (at < node_.keys.size() && node_.keys[at].first != key) ++at;
    return at;
  }

  const YamlNode& node_;
  std::string what_;
  ParsedContract& out_;
  std::vector<std::string> known_;
};

// A parse in progress: one function per section of the file.
class Reader {
 public:
  explicit Reader(ParsedContract& out) : out_(out), contract_(out.contract) {}

  void read(const YamlNode& root) {
    Fields top(root, "a contract", out_);
    if (const YamlNode* node = top.take("metadata", Kind::mapping, true)) metadata(*node);
    each(top, "equations", true, [&](const YamlNode& node) { equation(node); });
    contract_.preconditions = top.lines("preconditions", false);
    contract_.invariants = top.lines("invariants", true);
    each(top, "obligations", true, [&](const YamlNode& node) { obligation(node); });
    each(top, "stages", false, [&](const YamlNode& node) { stage(node); });
    each(top, "amendments", true, [&](const YamlNode& node) { amendment(node); });
    each(top, "tests", true, [&](const YamlNode& node) { test(node); });
    top.refuse_unknown();
  }

 private:
  template <typename Read>
  void each(Fields& fields, std::string_view key, bool required, const Read& read) {
    const YamlNode* list = fields.take(key, Kind::sequence, required);
    if (list == nullptr) return;
    if (required && list->items.empty())
      fields.report("missing", fmt::format("'{}' is empty", key), fields.line_of(key));
    for (const YamlNode& item : list->items) read(item);
  }

  void metadata(const YamlNode& node) {
    Fields fields(node, "metadata", out_);
    contract_.id = fields.id("id", is_contract_id, "lower-case words joined by '-', then -v and a number");
    contract_.id_line = fields.line_of("id");
    contract_.version = version(fields);
    contract_.version_line = fields.line_of("version");
    contract_.title = fields.text("title");
    contract_.summary = fields.text("summary");
    contract_.references = fields.lines("references", true);
    contract_.depends_on = fields.lines("depends_on", false);
    fields.refuse_unknown();
  }

  std::string version(Fields& fields) {
    std::string text = fields.text("version");
    Version parsed;
    if (!text.empty() && !parse_version(text, parsed))
      fields.report("version", fmt::format("'{}' is no version: three numbers, as in 1.2.0", text),
                    fields.line_of("version"));
    return text;
  }

  void equation(const YamlNode& node) {
    Fields fields(node, "an equation", out_);
    Equation equation;
    equation.line = node.line;
    equation.id = fields.id("id", is_equation_id, "lower-case letters, digits and '_'");
    equation.formula = fields.text("formula");
    equation.meaning = fields.text("meaning", false);
    fields.refuse_unknown();
    contract_.equations.push_back(std::move(equation));
  }

  void obligation(const YamlNode& node) {
    Fields fields(node, "an obligation", out_);
    Obligation obligation;
    obligation.line = node.line;
    obligation.id = fields.id("id", is_obligation_id, "AC_ and capital letters, digits and '_'");
    obligation.property = fields.text("property");
    obligation.tests = fields.lines("tests", true);
    fields.refuse_unknown();
    contract_.obligations.push_back(std::move(obligation));
  }

  void stage(const YamlNode& node) {
    Fields fields(node, "a stage", out_);
    StageRecord stage;
    stage.line = node.line;
    stage.id = fields.id("id", is_stage_id, "M- and capital letters, digits, '-' and '.'");
    stage.title = fields.text("title");
    const std::string status = fields.text("status");
    stage.status = status == "SHIPPED" ? StageStatus::shipped : StageStatus::planned;
    if (!status.empty() && status != "SHIPPED" && status != "PLANNED")
      fields.report("wrong-type", fmt::format("status is PLANNED or SHIPPED, not '{}'", status),
                    fields.line_of("status"));
    stage.evidence = fields.lines("evidence", false);
    fields.refuse_unknown();
    contract_.stages.push_back(std::move(stage));
  }

  void amendment(const YamlNode& node) {
    Fields fields(node, "an amendment", out_);
    Amendment amendment;
    amendment.line = node.line;
    amendment.version = version(fields);
    amendment.date = fields.text("date");
    if (!amendment.date.empty() && !is_date(amendment.date))
      fields.report("wrong-type", fmt::format("'{}' is no date: YYYY-MM-DD", amendment.date),
                    fields.line_of("date"));
    amendment.changes = fields.lines("changes", true);
    fields.refuse_unknown();
    contract_.amendments.push_back(std::move(amendment));
  }

  void test(const YamlNode& node) {
    Fields fields(node, "a test", out_);
    Falsifier test;
    test.line = node.line;
    test.id = fields.id("id", is_test_id, "FALSIFY- and capital letters, digits and '-'");
    test.prediction = fields.text("prediction");
    test.check = fields.text("check", false);
    test.command = fields.text("command", false);
    test.backends = fields.lines("backends", false);
    each(fields, "bounds", false, [&](const YamlNode& bound) { test.bounds.push_back(read_bound(bound)); });
    test.if_fails = fields.text("if_fails");
    fields.refuse_unknown();
    contract_.tests.push_back(std::move(test));
  }

  // "≥ x" as text: a relation and a finite number.
  Bound read_bound(const YamlNode& node) {
    Fields fields(node, "a bound", out_);
    Bound bound;
    bound.line = node.line;
    bound.figure = fields.text("figure");
    const std::string text = fields.text("must_be");
    fields.refuse_unknown();
    if (text.empty()) return bound;
    const std::size_t space = text.find(' ');
    bound.relation = text.substr(0, space);
    const std::string number = space == std::string::npos ? "" : text.substr(space + 1);
    const char* end = number.data() + number.size();
    const auto [stop, problem] = std::from_chars(number.data(), end, bound.limit);
    const bool relation = bound.relation == ">=" || bound.relation == "<=" || bound.relation == "==";
    if (!relation || problem != std::errc{} || stop != end || !std::isfinite(bound.limit))
      fields.report("wrong-type",
                    fmt::format("'{}' is no bound: '>=', '<=' or '==', a space and a number", text),
                    fields.line_of("must_be"));
    return bound;
  }

  ParsedContract& out_;
  Contract& contract_;
};

}  // namespace

std::string Bound::text() const {
  return fmt::format("{} {}", relation, limit);
}

bool parse_version(std::string_view text, Version& version) {
  std::uint32_t* const parts[] = {&version.major, &version.minor, &version.patch};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int i = 0; i < 3; ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    const auto [stop, problem] = std::from_chars(at, end, *parts[i]);
    if (problem != std::errc{} || (stop - at > 1 && *at == '0')) return false;
    at = stop;
  }
  return at == end;
}

ParsedContract parse_contract(std::string_view text, std::string file) {
  ParsedContract parsed;
  parsed.contract.file = std::move(file);
  YamlDocument document = parse_yaml(text);
  for (YamlProblem& problem : document.problems)
    parsed.findings.push_back({Level::error, std::move(problem.rule), std::move(problem.message),
                               parsed.contract.file, problem.line});
  if (document.root) Reader(parsed).read(*document.root);
  return parsed;
}

namespace {

// Mapped, which refuses what is no file without waiting for it and costs nothing when it is too large.
Result<ParsedContract> read_contract(const std::string& file) {
  TRINE_TRY(const MappedFile mapped, MappedFile::open(file));
  const std::span<const std::byte> bytes = mapped.bytes();
  return parse_contract({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
}

ParsedContract unreadable(const std::string& file, const Error& error) {
  const std::string wanted = error.expected.empty() ? "" : fmt::format(", expected {}", error.expected);
  const std::string found = error.actual.empty() ? "" : fmt::format(": {}", error.actual);
  ParsedContract parsed;
  parsed.contract.file = file;
  parsed.findings.push_back({Level::error, "unreadable", error.what + wanted + found, file, 0});
  return parsed;
}

}  // namespace

Result<std::vector<ParsedContract>> read_contracts(const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  std::error_code problem;
  const bool is_folder = fs::is_directory(path, problem);
  if (is_folder) {
    for (fs::directory_iterator at(path, problem), end; !problem && at != end; at.increment(problem))
      if (at->path().extension() == ".yaml") files.push_back(at->path().string());
    if (problem)
      return fail({.code = ErrorCode::io,
                   .what = "cannot list the folder",
                   .where = path,
                   .actual = problem.message()});
    if (files.empty())
      return fail({.code = ErrorCode::usage,
                   .what = "the folder holds no contract",
                   .where = path,
                   .expected = "files named *.yaml"});
    std::sort(files.begin(), files.end());
  } else if (fs::exists(path, problem)) {
    files.push_back(path);
  } else {
    return fail({.code = ErrorCode::usage,
                 .what = "no such file or folder",
                 .where = path,
                 .expected = "a contract or a folder of them"});
  }
  std::vector<ParsedContract> contracts;
  for (const std::string& file : files) {
    auto parsed = read_contract(file);
    // One of many does not hide what is wrong with the others.
    if (!parsed && is_folder) parsed = unreadable(file, parsed.error());
    if (!parsed) return fail(parsed.error());
    contracts.push_back(*std::move(parsed));
  }
  return contracts;
}

}  // namespace trine::contract
