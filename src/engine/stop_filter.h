#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trine::engine {

// Ends a text before the first of several stop strings. What could still become a stop string is held back,
// so that nothing of one is ever shown, and the result does not depend on how the text was cut into pieces:
// the first stop string is the one that is complete first, and of two that end together the one that begins
// first.
class StopFilter {
 public:
  // No stop string may be empty.
  explicit StopFilter(std::vector<std::string> stops);

  // Returns what can be shown now. Nothing comes after a stop string was found.
  std::string push(std::string_view text);
  // The end of the text: what was held back is no stop string after all.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // begins every stop string that may be under way
  bool stopped_ = false;
};

}  // namespace trine::engine
