#include "cli/help.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <string_view>
#include <vector>

namespace trine::cli {
namespace {

constexpr std::size_t text_column = 34;
constexpr std::size_t last_column = 100;

// `left` in two columns' indentation, `text` wrapped in the right column.
std::string entry(const std::string& left, std::string_view text) {
  std::string out = "  " + left;
  if (out.size() + 2 > text_column) {
    out += "\n" + std::string(text_column, ' ');
  } else {
    out.append(text_column - out.size(), ' ');
  }
  std::size_t column = text_column;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (column > text_column && column + 1 + word.size() > last_column) {
      out += "\n" + std::string(text_column, ' ');
      column = text_column;
    }
    if (column > text_column) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  }
  return out + "\n";
}

// "-m, --model FILE"
std::string spelling(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "    --" : ", --") + name;
  if (option.get_expected_max() > 0 && option.get_items_expected_max() > 0) names += " " + option.get_type_name();
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

  std::string out = app.get_description() + "\n\nUsage: " + app.get_name() + " [options]";
  for (const CLI::Option* argument : arguments) {
    const std::string name = argument->get_name(true) + (argument->get_items_expected_max() > 1 ? "..." : "");
    out += argument->get_required() ? " " + name : " [" + name + "]";
  }
  out += "\n";
  if (!arguments.empty()) out += "\nArguments:\n";
  for (const CLI::Option* argument : arguments) out += entry(argument->get_name(true), argument->get_description());
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
