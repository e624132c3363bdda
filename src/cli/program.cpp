#include "cli/program.h"

#include "cli/command.h"
#include "cli/console.h"
#include "cli/help.h"
#include "cli/options.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trine::cli {
namespace {

struct Command {
  std::string_view name;
  std::string_view summary;
  Action (*define)(CLI::App& app);
};

constexpr Command commands[] = {
    {"run", "generate text from a prompt", define_run},
    {"inspect", "show what a GGUF file holds and whether it runs here", define_inspect},
    {"tokenize", "text to token ids", define_tokenize},
    {"detokenize", "token ids to text", define_detokenize},
    {"bench", "measure prefill and decode against the memory limit", define_bench},
    {"perplexity", "how well a model predicts a text", define_perplexity},
    {"synth", "write a model of a given shape with random weights", define_synth},
    {"contract", "read, check and run the contracts that every backend must keep", define_contract},
    {"verify", "prove that a backend gives the reference's answer here", define_verify},
    {"trace", "write a pass's intermediate results to a file, or compare two", define_trace},
    {"devices", "what this build and this machine can run on", define_devices},
    {"version", "version, commit, compiler and features", define_version},
};

std::string overview() {
  std::string text =
      "Trine runs Qwen3-MoE models from GGUF files.\n\n"
      "Usage: trine COMMAND [options]\n\n"
      "Try:\n"
      "  trine run \"Write a Python function that computes the factorial of n.\"\n"
      "  trine run model.gguf \"Explain quicksort\"         your own model\n"
      "  trine inspect model.gguf                         what is in it, and does it run here?\n"
      "  cat main.c | trine run \"Explain this program\"    stdin, then the argument\n\n"
      "Commands:\n";
  const auto entry = [&text](std::string_view name, std::string_view summary) {
    text += fmt::format("  {:<13} {}\n", name, summary);
  };
  for (const Command& command : commands) entry(command.name, command.summary);
  entry("help COMMAND", "a command's arguments and options; 'trine COMMAND --help' is the same");
  entry("--version", "the same as 'trine version'");
  return text + "\nWithout -m, commands use the demo model.\n";
}

const Command* find_command(std::string_view name) {
  for (const Command& command : commands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

Error unknown_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.emplace_back(command.name);
  const std::string close = nearest(name, names);
  return {.code = ErrorCode::usage,
          .what = fmt::format("unknown command '{}'", name),
          .hint = close.empty() ? "'trine --help' lists the commands"
                                : fmt::format("Did you mean 'trine {}'?", close)};
}

// CLI11's messages begin with the option's name. Its wording differs between versions, so only the kind of
// the error and that name are used.
std::string plain_words(const CLI::App& app, const CLI::ParseError& problem) {
  const std::string text = problem.what();
  const std::string name = text.substr(0, text.find_first_of(": "));
  if (dynamic_cast<const CLI::ExcludesError*>(&problem) != nullptr) {
    return fmt::format("{} and {} exclude each other", name, text.substr(text.rfind(' ') + 1));
  }
  if (dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr) return name + " is required";
  const CLI::Option* option = app.get_option_no_throw(name);
  if (option == nullptr) option = app.get_option_no_throw("--" + name);  // of a flag it leaves the dashes out
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&problem) == nullptr || option == nullptr) return text;
  if (option->get_items_expected_max() == 0) return option->get_name() + " takes no value";
  if (static_cast<int>(option->count()) > option->get_items_expected_max()) return name + " is given twice";
  return name + " needs a value";
}

// What other engines call an option, and what it is called here.
struct OtherName {
  std::string_view theirs, ours;
};
constexpr OtherName other_names[] = {
    {"-c", "--ctx"},        {"--ctx-size", "--ctx"},         {"-t", "--threads"},
    {"-n", "--max-tokens"}, {"--n-predict", "--max-tokens"}, {"-f", "--file"},
    {"-s", "--seed"},       {"--temp", "--temperature"},     {"-dev", "--device"},
    {"-ngl", "--backend"},  {"--n-gpu-layers", "--backend"}, {"--gpu-layers", "--backend"}};

bool is_other_name(std::string_view word) {
  return std::any_of(std::begin(other_names), std::end(other_names),
                     [&](const OtherName& one) { return one.theirs == word; });
}

// The hint for an option that nobody here has; empty when there is none.
std::string hint_for(const CLI::App& app, const std::string& unknown) {
  if (!unknown.starts_with("-")) return {};
  std::string name = unknown.substr(0, unknown.find('='));
  // A short option may carry its value: -c4096.
  if (name.size() > 2 && name[1] != '-' && name.find_first_not_of("0123456789", 2) == name.npos)
    name.resize(2);
  if (name == "-p" || name == "--prompt")
    return app.get_option_no_throw("PROMPT") != nullptr ? fmt::format("The prompt needs no {} here. ", name)
                                                        : "";
  for (const auto& [theirs, ours] : other_names)
    if (name == theirs && app.get_option_no_throw(std::string(ours)) != nullptr)
      return fmt::format("{} is {} here. ", name, ours);
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& one : option->get_lnames()) names.push_back("--" + one);
  }
  const std::string close = nearest(name, names);
  return close.empty() ? "" : fmt::format("Did you mean {}? ", close);
}

Error usage_error(const CLI::App& app, const CLI::ParseError& problem) {
  Error error{.code = ErrorCode::usage,
              .what = plain_words(app, problem),
              .hint = fmt::format("'{} --help' shows the options", app.get_name())};
  const auto* extras = dynamic_cast<const CLI::ExtrasError*>(&problem);
  if (extras == nullptr || app.remaining().empty()) return error;

  const std::vector<std::string> remaining = app.remaining();
  const auto first =
      std::find_if(remaining.begin(), remaining.end(), [](const auto& word) { return word != "--"; });
  const std::string unknown = first == remaining.end() ? remaining.front() : *first;
  error.what = fmt::format("unexpected argument '{}'", unknown);
  error.hint = hint_for(app, unknown) + error.hint;
  if (!unknown.starts_with("-") && app.get_option_no_throw("PROMPT") != nullptr)
    error.hint = "Put words that belong together between quotes";
  return error;
}

// `--name=` as `--name ''`: CLI11 would take the next argument for the value, which is most often the prompt
// after an unset variable.
std::vector<std::string> with_empty_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> split;
  bool options_end = false;
  for (const std::string& argument : arguments) {
    options_end = options_end || argument == "--";
    if (!options_end && argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
      split.push_back(argument.substr(0, argument.size() - 1));
      split.emplace_back();
    } else {
      split.push_back(argument);
    }
  }
  return split;
}

Result<int> run_command(const Command& command, const std::vector<std::string>& given) {
  CLI::App app(std::string(command.summary), fmt::format("trine {}", command.name));
  app.set_help_flag("-h,--help", "show this help");
  const Action action = command.define(app);
  // CLI11 would read -ngl as -n with the value "gl".
  for (const std::string& argument : given) {
    if (argument == "--") break;
    if (argument.size() < 3 || argument[0] != '-' || argument[1] == '-') continue;
    if (std::string hint = hint_for(app, argument); is_other_name(argument) && !hint.empty())
      return fail({.code = ErrorCode::usage,
                   .what = fmt::format("unexpected argument '{}'", argument),
                   .hint = fmt::format("{}'{} --help' shows the options", hint, app.get_name())});
  }
  try {
    std::vector<std::string> arguments = with_empty_values(given);
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    write_out(help_text(app));
    return 0;
  } catch (const CLI::ParseError& problem) {
    return fail(usage_error(app, problem));
  }
  return action();
}

Result<int> dispatch(std::vector<std::string> arguments) {
  if (arguments.empty()) {
    write_out(overview());
    return 0;
  }
  std::string name = arguments.front();
  arguments.erase(arguments.begin());
  if (name == "-h" || name == "--help" || name == "help") {
    // `trine help help`: what `trine help` shows.
    const auto is_help = [](const std::string& word) {
      return word == "help" || word == "-h" || word == "--help";
    };
    if (arguments.empty() || (arguments.size() == 1 && is_help(arguments.front()))) {
      write_out(overview());
      return 0;
    }
    if (arguments.size() > 1) {
      return fail({.code = ErrorCode::usage,
                   .what = fmt::format("unexpected argument '{}'", arguments[1]),
                   .expected = "trine help COMMAND"});
    }
    name = arguments.front();
    arguments = {"--help"};
  }
  if (name == "--version" || name == "-V") name = "version";
  if (name.starts_with("-")) {
    return fail({.code = ErrorCode::usage,
                 .what = fmt::format("unexpected option '{}' before a command", name),
                 .hint = "Options follow the command: 'trine run --help'"});
  }
  const Command* command = find_command(name);
  if (command == nullptr) return fail(unknown_command(name));
  return run_command(*command, arguments);
}

}  // namespace

int run_program(int argc, char** argv) {
  Result<int> status = 0;
  try {
    status = dispatch({argv + (argc > 0 ? 1 : 0), argv + argc});
    if (const auto written = finish_output(); !written && status) status = fail(written.error());
  } catch (const std::bad_alloc&) {
    status = fail({.code = ErrorCode::model_load,
                   .what = "out of memory",
                   .hint = "Close other programs, lower --ctx, or use a smaller model"});
  } catch (const std::system_error& problem) {
    status = fail({.code = ErrorCode::other,
                   .what = "the system refused a resource",
                   .actual = problem.what(),
                   .hint = "Ask for fewer threads (--threads), or let the process have more memory"});
  } catch (const std::exception& problem) {
    status = fail(ErrorCode::other, fmt::format("internal error: {}", problem.what()));
  }
  if (status) return *status;
  print_error(status.error());
  return static_cast<int>(status.error().code);
}

}  // namespace trine::cli
