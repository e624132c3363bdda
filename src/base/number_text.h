#pragma once

#include <cstddef>
#include <string>

namespace trine {

// Numbers as a person reads them, in ASCII.

// "0.99986", and next to 1, where all digits would be nines, the distance: "1 - 2.1e-12".
std::string cosine_text(double cosine);
// "8,064"
std::string grouped_text(std::size_t value);

}  // namespace trine
