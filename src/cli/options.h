#pragma once

#include "base/error.h"

#include <fmt/format.h>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace trine::cli {

// The command line's library, CLI11, is templates all through: only options.cpp, help.cpp and program.cpp
// include it, and commands add their options by the functions below.

// An option just added, to say more about it.
class OptionRef {
 public:
  explicit OptionRef(CLI::Option* option) : option_(option) {}
  OptionRef type_name(const std::string& name);
  OptionRef group(const std::string& name);
  OptionRef required();
  OptionRef excludes(const std::string& other);
  // Repeatable, each time with one value.
  OptionRef one_value_each();
  // A second one is an error: elsewhere the last counts.
  OptionRef only_once();
  bool given() const;  // after parsing
  std::string name() const;

 private:
  CLI::Option* option_;
};

void describe(CLI::App& app, const std::string& description);
void set_footer(CLI::App& app, const std::string& footer);
OptionRef add_flag(CLI::App& app, const std::string& flags, bool& target, const std::string& help);
OptionRef add_text(CLI::App& app, const std::string& flags, std::string& target, const std::string& help);
OptionRef add_text(CLI::App& app, const std::string& flags, std::optional<std::string>& target,
                   const std::string& help);
OptionRef add_text(CLI::App& app, const std::string& flags, std::vector<std::string>& target,
                   const std::string& help);
// An option whose text goes to `set`, which may call refuse_value().
OptionRef add_parsed(CLI::App& app, const std::string& flags, std::function<void(const std::string&)> set,
                     const std::string& help);
OptionRef add_parsed_each(CLI::App& app, const std::string& flags,
                          std::function<void(const std::vector<std::string>&)> set, const std::string& help);
std::size_t option_count(const CLI::App& app);
// Puts every option from the `first`-th on into a group of the help.
void group_since(CLI::App& app, std::size_t first, const std::string& group);

// Text to number: decimal, the whole text, NaN and infinity refused. Empty when it is none.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_uint(std::string_view text);
std::optional<double> parse_float(std::string_view text);

// What was meant by `word`: the shortest name that it begins, else the one closest to it when that is near
// enough to be a slip of the keyboard, else empty. Dashes in front count for nothing.
std::string nearest(std::string_view word, std::span<const std::string> names);

// "8 rows", "1 row".
std::string plural(std::uint64_t count, std::string_view noun);

// Throws what CLI11 throws for a bad value, so that main prints it like any usage error.
[[noreturn]] void refuse_value(const std::string& option, const std::string& value,
                               const std::string& expected);

namespace detail {
std::int64_t checked_int(const std::string& option, const std::string& text, std::int64_t low,
                         std::int64_t high);
// `range` is how the bounds are written in the message.
double checked_float(const std::string& option, const std::string& text, double low, double high,
                     const std::string& range);
std::vector<std::string> split_list(const std::string& text);
}  // namespace detail

// An option that takes one number within [low, high]; anything else is a usage error that names the range.
// `Target` is the number's type or an optional of it. `help` states unit and default; the range is appended.
template <typename Target, typename Number>
OptionRef add_number(CLI::App& app, const std::string& flags, Target& target, Number low, Number high,
                     const std::string& help) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  const std::string range = high == std::numeric_limits<Number>::max() ? fmt::format("{} or more", low)
                                                                       : fmt::format("{} to {}", low, high);
  const auto set = [&target, name, low, high, range](const std::string& text) {
    if constexpr (std::integral<Number>) {
      target = static_cast<Number>(detail::checked_int(name, text, low, high));
    } else {
      target = static_cast<Number>(detail::checked_float(name, text, low, high, range));
    }
  };
  return add_parsed(app, flags, set, help + "; " + range).type_name(std::integral<Number> ? "N" : "X");
}

// An option that takes whole numbers separated by commas: `--prefill 128,512`.
template <typename Number>
OptionRef add_list(CLI::App& app, const std::string& flags, std::vector<Number>& target, Number low,
                   Number high, const std::string& help) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  const auto set = [&target, name, low, high](const std::string& text) {
    target.clear();
    for (const std::string& part : detail::split_list(text)) {
      target.push_back(static_cast<Number>(detail::checked_int(name, part, low, high)));
    }
  };
  return add_parsed(app, flags, set, fmt::format("{}; each {} to {}", help, low, high)).type_name("N,N...");
}

// An option that takes words separated by commas.
OptionRef add_words(CLI::App& app, const std::string& flags, std::vector<std::string>& target,
                    const std::string& help);

// --threads, a number or `auto`, which is 0: as ThreadPool takes them.
OptionRef add_threads(CLI::App& app, int& target, const std::string& help);

// An option that takes one of a few words.
OptionRef add_choice(CLI::App& app, const std::string& flags, std::string& target,
                     const std::vector<std::string>& choices, const std::string& help);

}  // namespace trine::cli
