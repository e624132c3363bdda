#include "contract/spec/diff.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <string_view>

namespace trine::contract {
namespace {

using Sentences = std::vector<std::string>;

void compare_text(std::string_view what, const std::string& before, const std::string& after,
                  Sentences& out) {
  if (before == after) return;
  if (before.empty())
    out.push_back(fmt::format("{} added: {}", what, after));
  else if (after.empty())
    out.push_back(fmt::format("{} removed: {}", what, before));
  else
    out.push_back(fmt::format("{} changed from \"{}\" to \"{}\"", what, before, after));
}

void compare_lines(std::string_view what, const std::vector<Line>& before, const std::vector<Line>& after,
                   Sentences& out) {
  const auto has = [](const std::vector<Line>& lines, const std::string& text) {
    return std::any_of(lines.begin(), lines.end(), [&](const Line& line) { return line.text == text; });
  };
  for (const Line& line : before)
    if (!has(after, line.text)) out.push_back(fmt::format("{} removed: {}", what, line.text));
  for (const Line& line : after)
    if (!has(before, line.text)) out.push_back(fmt::format("{} added: {}", what, line.text));
}

// Pairs the parts of two lists by what `key` calls them; the rest was added or removed.
template <typename Part, typename Key, typename Compare>
void compare_parts(std::string_view what, const std::vector<Part>& before, const std::vector<Part>& after,
                   const Key& key, const Compare& compare, Sentences& out) {
  const auto find = [&](const std::vector<Part>& parts, const std::string& name) {
    return std::find_if(parts.begin(), parts.end(), [&](const Part& part) { return key(part) == name; });
  };
  for (const Part& part : before)
    if (find(after, key(part)) == after.end()) out.push_back(fmt::format("{} {} removed", what, key(part)));
  for (const Part& part : after) {
    const auto old = find(before, key(part));
    if (old == before.end())
      out.push_back(fmt::format("{} {} added", what, key(part)));
    else
      compare(fmt::format("{} {}", what, key(part)), *old, part);
  }
}

std::string action_of(const Falsifier& test) {
  return test.check.empty() ? test.command : test.check;
}

std::string status_of(const StageRecord& stage) {
  return stage.status == StageStatus::shipped ? "SHIPPED" : "PLANNED";
}

void compare_bounds(const std::string& what, const Falsifier& before, const Falsifier& after,
                    Sentences& out) {
  const auto find = [](const std::vector<Bound>& bounds, const Bound& like) {
    return std::find_if(bounds.begin(), bounds.end(), [&](const Bound& bound) {
      return bound.figure == like.figure && bound.relation == like.relation;
    });
  };
  for (const Bound& old : before.bounds)
    if (find(after.bounds, old) == after.bounds.end())
      out.push_back(fmt::format("{}: bound '{} {}' removed", what, old.figure, old.text()));
  for (const Bound& now : after.bounds) {
    const auto old = find(before.bounds, now);
    if (old == before.bounds.end()) {
      out.push_back(fmt::format("{}: bound '{} {}' added", what, now.figure, now.text()));
    } else if (old->limit != now.limit) {
      const bool tighter = now.relation == ">=" ? now.limit > old->limit : now.limit < old->limit;
      const std::string_view sense = now.relation == "==" ? "changed" : tighter ? "tightened" : "loosened";
      out.push_back(fmt::format("{}: bound on '{}' {} from {} to {}", what, now.figure, sense, old->text(),
                                now.text()));
    }
  }
}

void compare_tests(const Contract& before, const Contract& after, Sentences& out) {
  compare_parts(
      "test", before.tests, after.tests, [](const Falsifier& test) { return test.id; },
      [&](const std::string& what, const Falsifier& old, const Falsifier& now) {
        compare_text(what + ": prediction", old.prediction, now.prediction, out);
        compare_text(what + ": what it runs", action_of(old), action_of(now), out);
        compare_lines(what + ": backend", old.backends, now.backends, out);
        compare_bounds(what, old, now, out);
        compare_text(what + ": if_fails", old.if_fails, now.if_fails, out);
      },
      out);
}

void compare_stages(const Contract& before, const Contract& after, Sentences& out) {
  compare_parts(
      "stage", before.stages, after.stages, [](const StageRecord& stage) { return stage.id; },
      [&](const std::string& what, const StageRecord& old, const StageRecord& now) {
        compare_text(what + ": title", old.title, now.title, out);
        if (old.status != now.status)
          out.push_back(fmt::format("{} went from {} to {}", what, status_of(old), status_of(now)));
        compare_lines(what + ": evidence", old.evidence, now.evidence, out);
      },
      out);
}

}  // namespace

std::vector<std::string> diff(const Contract& before, const Contract& after) {
  Sentences out;
  compare_text("id", before.id, after.id, out);
  compare_text("version", before.version, after.version, out);
  compare_text("title", before.title, after.title, out);
  compare_text("summary", before.summary, after.summary, out);
  compare_lines("reference", before.references, after.references, out);
  compare_lines("dependency", before.depends_on, after.depends_on, out);
  compare_parts(
      "equation", before.equations, after.equations, [](const Equation& equation) { return equation.id; },
      [&](const std::string& what, const Equation& old, const Equation& now) {
        compare_text(what + ": formula", old.formula, now.formula, out);
        compare_text(what + ": meaning", old.meaning, now.meaning, out);
      },
      out);
  compare_lines("precondition", before.preconditions, after.preconditions, out);
  compare_lines("invariant", before.invariants, after.invariants, out);
  compare_parts(
      "obligation", before.obligations, after.obligations,
      [](const Obligation& obligation) { return obligation.id; },
      [&](const std::string& what, const Obligation& old, const Obligation& now) {
        compare_text(what + ": property", old.property, now.property, out);
        compare_lines(what + ": test", old.tests, now.tests, out);
      },
      out);
  compare_stages(before, after, out);
  compare_parts(
      "amendment", before.amendments, after.amendments,
      [](const Amendment& amendment) { return amendment.version; },
      [&](const std::string& what, const Amendment& old, const Amendment& now) {
        compare_text(what + ": date", old.date, now.date, out);
        compare_lines(what + ": change", old.changes, now.changes, out);
      },
      out);
  compare_tests(before, after, out);
  return out;
}

}  // namespace trine::contract
