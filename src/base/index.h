#pragma once

#include <cstddef>
#include <cstdint>

namespace trine {

// Sizes and positions are signed here, as differences of them must be; the standard library indexes by
// std::size_t.
constexpr std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

}  // namespace trine
