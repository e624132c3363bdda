#pragma once

#include "base/error.h"
#include "contract/judge/result.h"
#include "contract/spec/stated.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trine::contract {

CheckResult not_run(std::string reason);
CheckResult refused(std::string reason);
// What an error says about a check: not-run when the backend is not there, else a failure.
CheckResult failed_with(const Error& error);

// Collects what a check measures. It passes only when something was measured and everything held.
class Judge {
 public:
  // A statement that must be true; of the first one that is not, the reason says so. Counts as measured.
  void expect(bool holds, std::string_view statement);
  // The same, told by what was found where it does not hold: that text is the reason.
  void require(bool holds, std::string_view found);

  // One sample of a figure. NaN fails whatever the bound.
  void sample(std::string_view figure, double value);
  // Bounds a figure of which there must be samples: relation ">=", "<=" or "==".
  void hold(std::string_view figure, std::string_view relation, double limit);
  void hold(std::span<const Bound> bounds);

  CheckResult result() const;
  // The same without these figures.
  Judge without(std::span<const std::string_view> figures) const;

 private:
  struct Measured {
    std::string name;
    std::vector<double> samples;
    std::string relation;
    double limit = 0;
  };
  Measured& measured(std::string_view figure);

  std::vector<Measured> figures_;
  std::size_t statements_ = 0;
  std::string broken_;
};

// Whether every value between `min` and `max` satisfies the relation; false for NaN.
bool within(double min, double max, std::string_view relation, double limit);

}  // namespace trine::contract
