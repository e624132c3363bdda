#pragma once

#include <cstdint>
#include <string>

namespace trine {

// Bytes as people read them: "17.28 GiB", "412 B".
std::string human_bytes(std::uint64_t bytes);
// Counts as people read them: "30.53 B", "12.4 M", "512".
std::string human_count(std::uint64_t count);

}  // namespace trine
