#include "cli/in_flags.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace trine::cli {
namespace {

struct Flag {
  std::string_view field;
  std::string_view quoted;  // as the engine's texts have it
  std::string_view flag;
  std::string_view where;  // empty where the message says it already
  std::string_view hint;   // of this program, where the engine has none
};
constexpr Flag flags[] = {
    {"prompt", "'prompt'", "PROMPT", "", ""},
    {"system", "'system'", "--system", "", ""},
    {"raw", "'raw'", "--raw", "--raw", ""},
    {"context", "'context'", "--ctx", "--ctx", ""},
    {"logit_bias", "'logit_bias'", "--logit-bias", "--logit-bias",
     "'trine tokenize' shows the ids of a text"},
};

void name_flags(std::string& text) {
  for (const Flag& flag : flags)
    for (std::size_t at = text.find(flag.quoted); at != std::string::npos; at = text.find(flag.quoted))
      text.replace(at, flag.quoted.size(), flag.flag);
}

}  // namespace

Error in_flags(Error error) {
  if (error.where.starts_with("tokenizer.chat_template")) {
    if (error.hint.empty()) error.hint = "Use --raw to write the prompt in the model's own format";
    return error;
  }
  const auto* flag = std::find_if(std::begin(flags), std::end(flags),
                                  [&](const Flag& one) { return one.field == error.where; });
  if (flag == std::end(flags)) return error;
  for (std::string* text : {&error.what, &error.expected, &error.hint}) name_flags(*text);
  error.where = flag->where;
  if (error.hint.empty()) error.hint = flag->hint;
  return error;
}

}  // namespace trine::cli
