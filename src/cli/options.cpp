#include "cli/options.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <CLI/CLI.hpp>

namespace trine::cli {
namespace {

template <typename T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// The fewest insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment: Damerau 1964).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// An option that is given again takes the newer value: so scripts and aliases can be overridden.
CLI::Option* last_counts(CLI::Option* option) {
  if (!option->get_positional()) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return option;
}

std::string_view without_dashes(std::string_view word) {
  return word.substr(std::min(word.find_first_not_of('-'), word.size()));
}

}  // namespace

std::optional<std::int64_t> parse_int(std::string_view text) {
  return parse_whole<std::int64_t>(text);
}

std::optional<std::uint64_t> parse_uint(std::string_view text) {
  return parse_whole<std::uint64_t>(text);
}

std::optional<double> parse_float(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string nearest(std::string_view word, std::span<const std::string> names) {
  word = without_dashes(word);
  if (word.size() < 2) return {};
  std::string best;
  for (const std::string& name : names) {
    if (without_dashes(name).starts_with(word) && (best.empty() || name.size() < best.size())) best = name;
  }
  if (!best.empty()) return best;
  std::size_t best_distance = std::clamp<std::size_t>(word.size() / 3, 1, 3) + 1;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(word, without_dashes(name));
    if (distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void refuse_value(const std::string& option, const std::string& value, const std::string& expected) {
  throw CLI::ValidationError(option, fmt::format("expected {}, got '{}'", expected, value));
}

namespace detail {

std::int64_t checked_int(const std::string& option, const std::string& text, std::int64_t low,
                         std::int64_t high) {
  const auto value = parse_int(text);
  if (!value || *value < low || *value > high) {
    refuse_value(option, text, fmt::format("a whole number from {} to {}", low, high));
  }
  return *value;
}

double checked_float(const std::string& option, const std::string& text, double low, double high,
                     const std::string& range) {
  const auto value = parse_float(text);
  if (!value || !(*value >= low && *value <= high)) {
    refuse_value(option, text, fmt::format("a number from {}", range));
  }
  return *value;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

}  // namespace detail

OptionRef add_threads(CLI::App& app, int& target, const std::string& help) {
  const std::int64_t most = 1024;
  const std::string option = "--threads";
  const auto set = [&target, option, most](const std::string& text) {
    const std::optional<std::int64_t> number = parse_int(text);
    if (text != "auto" && !(number && *number >= 1 && *number <= most))
      refuse_value(option, text, fmt::format("auto or a whole number from 1 to {}", most));
    target = static_cast<int>(number.value_or(0));
  };
  return add_parsed(app, option, set,
                    fmt::format("{}; auto: one per core that may be used, not per hyper-thread; default: "
                                "auto; 1 to {}",
                                help, most))
      .type_name("N|auto");
}

OptionRef add_words(CLI::App& app, const std::string& flags, std::vector<std::string>& target,
                    const std::string& help) {
  const auto set = [&target](const std::string& text) { target = detail::split_list(text); };
  return add_parsed(app, flags, set, help).type_name("NAME,NAME...");
}

OptionRef add_choice(CLI::App& app, const std::string& flags, std::string& target,
                     const std::vector<std::string>& choices, const std::string& help) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  const auto set = [&target, name, choices](const std::string& text) {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      refuse_value(name, text, fmt::format("one of {}", fmt::join(choices, ", ")));
    }
    target = text;
  };
  return add_parsed(app, flags, set, help).type_name(fmt::format("{}", fmt::join(choices, "|")));
}

OptionRef OptionRef::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}
OptionRef OptionRef::group(const std::string& name) {
  option_->group(name);
  return *this;
}
OptionRef OptionRef::required() {
  option_->required();
  return *this;
}
OptionRef OptionRef::excludes(const std::string& other) {
  option_->excludes(other);
  return *this;
}
OptionRef OptionRef::one_value_each() {
  option_->allow_extra_args(false);
  return *this;
}
OptionRef OptionRef::only_once() {
  option_->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  return *this;
}
bool OptionRef::given() const {
  return option_->count() > 0;
}
std::string OptionRef::name() const {
  return option_->get_name();
}

void describe(CLI::App& app, const std::string& description) {
  app.description(description);
}
void set_footer(CLI::App& app, const std::string& footer) {
  app.footer(footer);
}

OptionRef add_flag(CLI::App& app, const std::string& flags, bool& target, const std::string& help) {
  return OptionRef(app.add_flag(flags, target, help)->disable_flag_override());
}
// An empty value is most often an unset variable in a script: running on something else instead would hide
// it.
OptionRef add_text(CLI::App& app, const std::string& flags, std::string& target, const std::string& help) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  return add_parsed(
      app, flags,
      [&target, name](const std::string& text) {
        if (text.empty()) refuse_value(name, text, "a value that is not empty");
        target = text;
      },
      help);
}
OptionRef add_text(CLI::App& app, const std::string& flags, std::optional<std::string>& target,
                   const std::string& help) {
  return OptionRef(last_counts(app.add_option(flags, target, help)));
}
OptionRef add_text(CLI::App& app, const std::string& flags, std::vector<std::string>& target,
                   const std::string& help) {
  return OptionRef(app.add_option(flags, target, help));
}
OptionRef add_parsed(CLI::App& app, const std::string& flags, std::function<void(const std::string&)> set,
                     const std::string& help) {
  return OptionRef(last_counts(app.add_option_function<std::string>(flags, set, help)));
}
OptionRef add_parsed_each(CLI::App& app, const std::string& flags,
                          std::function<void(const std::vector<std::string>&)> set, const std::string& help) {
  return OptionRef(app.add_option_function<std::vector<std::string>>(flags, set, help));
}

std::size_t option_count(const CLI::App& app) {
  return app.get_options().size();
}

void group_since(CLI::App& app, std::size_t first, const std::string& group) {
  const std::vector<CLI::Option*> all = app.get_options();
  for (std::size_t i = first; i < all.size(); ++i) all[i]->group(group);
}

}  // namespace trine::cli
