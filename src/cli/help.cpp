#include "cli/help.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <vector>

namespace trine::cli {
namespace {

constexpr std::size_t text_column = 34;
constexpr std::size_t last_column = 100;

// Words of `text` from `column` on, wrapped at last_column; later lines begin at `indent`.
std::string wrapped(std::string_view text, std::size_t column, std::size_t indent) {
  std::string out;
  bool line_is_empty = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line_is_empty && column + 1 + word.size() > last_column) {
      out.append("\n").append(indent, ' ');
      column = indent;
      line_is_empty = true;
    }
    if (!line_is_empty) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    line_is_empty = false;
  }
  return out + "\n";
}

// `left` at the margin, `text` in the right column.
std::string entry(const std::string& left, std::string_view text) {
  std::string out = "  " + left;
  if (out.size() + 2 > text_column) {
    out.append("\n").append(text_column, ' ');
  } else {
    out.append(text_column - out.size(), ' ');
  }
  return out + wrapped(text, text_column, text_column);
}

// "-m, --model FILE"
std::string spelling(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "    --" : ", --") + name;
  if (option.get_expected_max() > 0 && option.get_items_expected_max() > 0)
    names += " " + option.get_type_name();
  return names;
}

}  // namespace

std::string help_text(const CLI::App& app) {
  std::vector<const CLI::Option*> arguments;
  std::vector<std::string> groups;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      arguments.push_back(option);
    } else if (std::find(groups.begin(), groups.end(), option->get_group()) == groups.end()) {
      groups.push_back(option->get_group());
    }
  }

  std::string out = wrapped(app.get_description(), 0, 0) + "\nUsage: " + app.get_name() + " [options]";
  for (const CLI::Option* argument : arguments) {
    const std::string name = argument->get_name(true) + (argument->get_items_expected_max() > 1 ? "..." : "");
    out += argument->get_required() ? " " + name : " [" + name + "]";
  }
  out += "\n";
  if (!arguments.empty()) out += "\nArguments:\n";
  for (const CLI::Option* argument : arguments)
    out += entry(argument->get_name(true), argument->get_description());
  for (const std::string& group : groups) {
    out += "\n" + group + ":\n";
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_positional() || option->get_group() != group) continue;
      out += entry(spelling(*option), option->get_description());
    }
  }
  if (!app.get_footer().empty()) out += "\n" + app.get_footer() + "\n";
  return out;
}

}  // namespace trine::cli
