#include "model/device_names.h"

#include <algorithm>
#include <cctype>

namespace trine::model {
namespace {

constexpr std::string_view software_names[] = {"llvmpipe",    "lavapipe", "softpipe",
                                               "swiftshader", "warp",     "microsoft basic render"};

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// As a word of its own, in any case: "WARP" is not in "Warped".
bool has_word(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (auto at = text.begin();; ++at) {
    at = std::search(at, text.end(), word.begin(), word.end(), same);
    if (at == text.end()) return false;
    const auto after = at + static_cast<std::ptrdiff_t>(word.size());
    const bool begins = at == text.begin() || !is_letter(at[-1]);
    if (begins && (after == text.end() || !is_letter(*after) || word.find(' ') != word.npos)) return true;
  }
}

}  // namespace

std::string_view name_of(Numerics numerics) {
  return numerics == Numerics::exact ? "exact" : "fast";
}

bool is_gpu_type(std::string_view type) {
  return type == discrete_type || type == integrated_type || type == virtual_type;
}

bool is_software(const DeviceInfo& device) {
  return device.type == software_type;
}

std::string_view named_software(const DeviceInfo& device) {
  for (const std::string_view name : software_names)
    if (has_word(device.name, name) || has_word(device.driver, name)) return name;
  return {};
}

std::string_view counts_as(const DeviceInfo& device) {
  if (is_software(device)) return software_note;
  return device.type == cpu_type ? "cpu" : "gpu";
}

}  // namespace trine::model
