#include "cli/sampling.h"

#include "cli/options.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

namespace trine::cli {
namespace {

constexpr std::int32_t max_int32 = std::numeric_limits<std::int32_t>::max();

std::pair<std::int32_t, float> parse_bias(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals != std::string::npos) {
    const auto id = parse_int(text.substr(0, equals));
    const auto bias = parse_float(text.substr(equals + 1));
    if (id && *id >= 0 && *id <= max_int32 && bias && *bias >= -100 && *bias <= 100) {
      return {static_cast<std::int32_t>(*id), static_cast<float>(*bias)};
    }
  }
  refuse_value("--logit-bias", text, "ID=VALUE with a token id and a value from -100 to 100");
}

}  // namespace

sampling::SamplingParams SamplingOptions::over(const sampling::SamplingParams& file) const {
  sampling::SamplingParams result = file;
  result.temperature = temperature.value_or(file.temperature);
  result.top_k = top_k.value_or(file.top_k);
  result.top_p = top_p.value_or(file.top_p);
  result.min_p = min_p.value_or(file.min_p);
  result.repeat_penalty = repeat_penalty.value_or(file.repeat_penalty);
  result.presence_penalty = presence_penalty.value_or(file.presence_penalty);
  result.frequency_penalty = frequency_penalty.value_or(file.frequency_penalty);
  result.logit_bias.insert(result.logit_bias.end(), logit_bias.begin(), logit_bias.end());
  result.seed = seed ? *seed : std::random_device{}();
  return result;
}

std::vector<std::string> SamplingOptions::left_of(std::vector<std::string> keys) const {
  std::erase_if(keys, [this](const std::string& key) {
    const auto is = [&](std::string_view name) { return key.ends_with(name); };
    return (temperature && is(".temp")) || (top_k && is(".top_k")) || (top_p && is(".top_p")) ||
           (min_p && is(".min_p")) || (repeat_penalty && is(".penalty_repeat"));
  });
  return keys;
}

nlohmann::ordered_json sampling_json(const sampling::SamplingParams& params) {
  return {{"temperature", params.temperature},
          {"top_k", params.top_k},
          {"top_p", params.top_p},
          {"min_p", params.min_p},
          {"repeat_penalty", params.repeat_penalty},
          {"repeat_penalty_tokens", params.penalty_window},
          {"presence_penalty", params.presence_penalty},
          {"frequency_penalty", params.frequency_penalty}};
}

void add_sampling_options(CLI::App& app, SamplingOptions& options) {
  const std::size_t before = option_count(app);
  add_number(
      app, "--temperature", options.temperature, 0.0f, 100.0f,
      "divides the logits: 0 takes the likeliest token, more is more varied; default: the file's, else 0.7");
  add_number(app, "--top-k", options.top_k, 0, max_int32,
             "keep only the N likeliest tokens; 0: all; default: the file's, else 0");
  add_number(
      app, "--top-p", options.top_p, 0.0f, 1.0f,
      "keep the smallest set of tokens whose probabilities reach X; default: the file's, else 1 (all)");
  add_number(app, "--min-p", options.min_p, 0.0f, 1.0f,
             "drop tokens less likely than X times the likeliest; default: the file's, else 0 (none)");
  add_number(
      app, "--repeat-penalty", options.repeat_penalty, 0.01f, 10.0f,
      "makes the last 64 tokens (the file may say how many) less likely, prompt included; default: the "
      "file's, else 1");
  add_number(app, "--presence-penalty", options.presence_penalty, -2.0f, 2.0f,
             "subtracted once from the logit of every token generated so far; default: 0");
  add_number(app, "--frequency-penalty", options.frequency_penalty, -2.0f, 2.0f,
             "subtracted once per occurrence of a generated token; default: 0");
  add_parsed_each(
      app, "--logit-bias",
      [&options](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) options.logit_bias.push_back(parse_bias(text));
      },
      "added to the logit of token ID; repeatable; default: none; VALUE -100 to 100")
      .type_name("ID=VALUE")
      .one_value_each();
  add_parsed(
      app, "--seed",
      [&options](const std::string& text) {
        options.seed = parse_uint(text);
        if (!options.seed) refuse_value("--seed", text, "a whole number from 0 to 18446744073709551615");
      },
      "the same seed repeats the same text; default: random, and reported; 0 to 18446744073709551615")
      .type_name("N");
  group_since(app, before, "Sampling");
}

}  // namespace trine::cli
