#include "engine/file_sampling.h"

#include <fmt/format.h>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace trine::engine {
namespace {

constexpr double any_int = std::numeric_limits<std::int32_t>::max();

class Reader {
 public:
  Reader(const gguf::Metadata& metadata, FileSampling& out) : metadata_(metadata), out_(out) {}

  // The number under general.sampling.`name`; none when there is none in [low, high], of which the user is
  // told.
  std::optional<double> number(std::string_view name, double low, double high) const {
    const std::string key = full(name);
    const gguf::Value* value = metadata_.find(key);
    if (value == nullptr) return std::nullopt;
    const auto number = metadata_.get_float(key);
    if (number && *number >= low && *number <= high) return *number;
    out_.warnings.push_back(fmt::format(
        "{} is {} and should be {}: left out", key, number ? fmt::format("{}", *number) : kind_of(*value),
        high == any_int ? fmt::format("{} or more", low) : fmt::format("{} to {}", low, high)));
    return std::nullopt;
  }

  template <typename Target>
  void set(std::string_view name, double low, double high, Target& target) const {
    const auto value = number(name, low, high);
    if (!value) return;
    target = static_cast<Target>(*value);
    out_.used.push_back(full(name));
  }

  // A way of choosing that is not to be had here, at any value above `off`.
  void refuse(std::string_view name, std::string_view what) const {
    const auto value = number(name, 0, any_int);
    if (value && *value > 0)
      out_.warnings.push_back(
          fmt::format("{} asks for {}, which Trine does not do: left out", full(name), what));
  }

  static std::string full(std::string_view name) { return fmt::format("general.sampling.{}", name); }
  bool has(std::string_view name) const { return metadata_.find(full(name)) != nullptr; }

 private:
  const gguf::Metadata& metadata_;
  FileSampling& out_;
};

}  // namespace

FileSampling read_file_sampling(const gguf::Metadata& metadata) {
  FileSampling out;
  const Reader reader(metadata, out);
  sampling::SamplingParams& params = out.params;
  reader.set("temp", 0, 100, params.temperature);
  reader.set("top_k", 0, any_int, params.top_k);
  reader.set("top_p", 0, 1, params.top_p);
  reader.set("min_p", 0, 1, params.min_p);
  reader.set("penalty_repeat", 0.01, 10, params.repeat_penalty);
  // llama.cpp's 0 is no penalty, and its -1 the whole context, as here.
  std::int32_t window = params.penalty_window;
  reader.set("penalty_last_n", -1, any_int, window);
  if (window == 0) {
    params.repeat_penalty = 1;
  } else {
    params.penalty_window = window;
  }
  reader.refuse("xtc_probability", "XTC");
  reader.refuse("mirostat", "Mirostat");
  if (reader.has("sequence"))
    out.warnings.push_back(
        fmt::format("{} is not followed: filters apply in Trine's own order", Reader::full("sequence")));
  return out;
}

std::string describe(const sampling::SamplingParams& params) {
  std::string text = "the likeliest token";
  if (params.temperature != 0 && params.top_k != 1) {
    text = fmt::format("temperature {}", params.temperature);
    if (params.top_k > 0) text += fmt::format(", top-k {}", params.top_k);
    if (params.top_p < 1) text += fmt::format(", top-p {}", params.top_p);
    if (params.min_p > 0) text += fmt::format(", min-p {}", params.min_p);
  }
  if (params.repeat_penalty != 1) {
    text += fmt::format(", repeat penalty {}", params.repeat_penalty);
    text += params.penalty_window < 0 ? " over everything"
                                      : fmt::format(" over {} tokens", params.penalty_window);
  }
  if (params.presence_penalty != 0) text += fmt::format(", presence penalty {}", params.presence_penalty);
  if (params.frequency_penalty != 0) text += fmt::format(", frequency penalty {}", params.frequency_penalty);
  if (!params.logit_bias.empty()) text += fmt::format(", a bias on {} token(s)", params.logit_bias.size());
  return text;
}

}  // namespace trine::engine
