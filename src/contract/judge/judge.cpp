#include "contract/judge/judge.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace trine::contract {
namespace {

CheckResult outcome(Verdict verdict, std::string reason) {
  CheckResult result;
  result.verdict = verdict;
  result.reason = std::move(reason);
  return result;
}

}  // namespace

CheckResult not_run(std::string reason) {
  return outcome(Verdict::not_run, std::move(reason));
}

CheckResult refused(std::string reason) {
  return outcome(Verdict::refused, std::move(reason));
}

CheckResult failed_with(const Error& error) {
  const bool absent =
      error.code == ErrorCode::feature_missing || error.code == ErrorCode::backend_unavailable;
  return outcome(absent ? Verdict::not_run : Verdict::fail, to_string(error));
}

bool within(double min, double max, std::string_view relation, double limit) {
  if (relation == ">=") return min >= limit && max >= limit;
  if (relation == "<=") return min <= limit && max <= limit;
  if (relation == "==") return min == limit && max == limit;
  return false;
}

void Judge::expect(bool holds, std::string_view statement) {
  require(holds, holds ? std::string() : fmt::format("this does not hold: {}", statement));
}

void Judge::require(bool holds, std::string_view found) {
  ++statements_;
  if (!holds && broken_.empty()) broken_ = found;
}

void Judge::sample(std::string_view figure, double value) {
  measured(figure).samples.push_back(value);
}

void Judge::hold(std::string_view figure, std::string_view relation, double limit) {
  Measured& held = measured(figure);
  held.relation = relation;
  held.limit = limit;
}

void Judge::hold(std::span<const Bound> bounds) {
  for (const Bound& bound : bounds) hold(bound.figure, bound.relation, bound.limit);
}

Judge Judge::without(std::span<const std::string_view> figures) const {
  Judge rest = *this;
  std::erase_if(rest.figures_, [&](const Measured& one) {
    return std::find(figures.begin(), figures.end(), one.name) != figures.end();
  });
  return rest;
}

Judge::Measured& Judge::measured(std::string_view figure) {
  for (Measured& one : figures_)
    if (one.name == figure) return one;
  figures_.push_back({std::string(figure), {}, {}, 0});
  return figures_.back();
}

CheckResult Judge::result() const {
  CheckResult result;
  std::string broken = broken_;
  for (const Measured& one : figures_) {
    Figure figure;
    figure.name = one.name;
    figure.n = one.samples.size();
    if (!one.relation.empty()) figure.bound = fmt::format("{} {}", one.relation, one.limit);
    std::vector<double> sorted = one.samples;
    const bool has_nan = std::any_of(sorted.begin(), sorted.end(), [](double x) { return std::isnan(x); });
    if (sorted.empty() || has_nan) {
      // Sorting NaN is meaningless and its absence from min and max would hide it.
      figure.min = figure.median = figure.max = std::numeric_limits<double>::quiet_NaN();
    } else {
      std::sort(sorted.begin(), sorted.end());
      figure.min = sorted.front();
      figure.median = sorted[sorted.size() / 2];
      figure.max = sorted.back();
    }
    const bool held =
        one.relation.empty() ? !has_nan : within(figure.min, figure.max, one.relation, one.limit);
    if (!held && broken.empty())
      broken = one.samples.empty()
                   ? fmt::format("nothing was measured of '{}'", one.name)
                   : fmt::format("'{}' spans {:.9g} to {:.9g} over {} samples, and must be {}", one.name,
                                 figure.min, figure.max, figure.n,
                                 figure.bound.empty() ? "a number" : figure.bound);
    result.figures.push_back(std::move(figure));
  }
  if (broken.empty() && statements_ == 0 && figures_.empty()) broken = "nothing was measured";
  result.verdict = broken.empty() ? Verdict::pass : Verdict::fail;
  result.reason = std::move(broken);
  return result;
}

}  // namespace trine::contract
