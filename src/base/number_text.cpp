#include "base/number_text.h"

#include <fmt/format.h>
#include <cmath>

namespace trine {

std::string cosine_text(double cosine) {
  if (std::isnan(cosine)) return "not a number";
  const double distance = 1 - cosine;
  if (distance > 0 && distance < 1e-6) return fmt::format("1 - {:.2g}", distance);
  return fmt::format("{:.6g}", cosine);
}

std::string grouped_text(std::size_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

}  // namespace trine
