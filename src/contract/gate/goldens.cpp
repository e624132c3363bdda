#include "contract/gate/goldens.h"

#include "base/file.h"
#include "base/sha256.h"
#include "contract/judge/judge.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <system_error>

namespace trine::contract {
namespace {

Error bad_golden(const std::string& where, std::string what, std::string expected, std::string actual) {
  return {.code = ErrorCode::validation_failed,
          .what = std::move(what),
          .where = where,
          .expected = std::move(expected),
          .actual = std::move(actual)};
}

// The list under `key`, when all of it are numbers that `take` accepts; else nothing.
template <typename T, typename Take>
std::optional<std::vector<T>> list_of(const nlohmann::json& object, const char* key, Take take) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return std::nullopt;
  std::vector<T> values;
  for (const nlohmann::json& value : *found) {
    if (!take(value)) return std::nullopt;
    values.push_back(value.get<T>());
  }
  return values;
}

std::optional<std::vector<std::int32_t>> ids(const nlohmann::json& object, const char* key,
                                             const model::Config& config) {
  const auto vocab = static_cast<std::uint64_t>(config.vocab_size);
  return list_of<std::int32_t>(object, key, [=](const nlohmann::json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() < vocab;
  });
}

std::optional<std::vector<float>> floats(const nlohmann::json& object, const char* key) {
  return list_of<float>(object, key, [](const nlohmann::json& value) { return value.is_number(); });
}

// A file of golden logits is of one model. Errors: validation_failed (it names none, or another one).
Result<void> check_model(const nlohmann::json& document, const std::string& path,
                         const std::string& model_path, std::string_view model_sha256) {
  const std::string file = std::filesystem::path(model_path).filename().string();
  const auto text = [&](const char* key) {
    const auto found = document.find(key);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (text("model") != file)
    return fail(bad_golden(path, "these golden logits are of another model file", file,
                           text("model").empty() ? "no name under 'model'" : text("model")));
  if (document.contains("model_sha256") && !model_sha256.empty() && text("model_sha256") != model_sha256)
    return fail(bad_golden(path, "these golden logits are of other bytes than the model file's",
                           std::string(model_sha256), text("model_sha256")));
  return {};
}

Result<GoldenCase> read_case(const nlohmann::json& json, const std::string& where,
                             const model::Config& config) {
  if (!json.is_object())
    return fail(bad_golden(where, "a golden case is no object", "an object", json.type_name()));
  auto tokens = ids(json, "tokens", config);
  auto logits = floats(json, "logits_last");
  if (!tokens || tokens->empty() || !logits)
    return fail(bad_golden(where, "a golden case lacks its numbers",
                           fmt::format("tokens, ids below {}, and logits_last", config.vocab_size),
                           "not both"));
  const auto vocab = static_cast<std::size_t>(config.vocab_size);
  if (logits->size() != vocab)
    return fail(bad_golden(where, "golden logits are of another vocabulary", fmt::format("{} logits", vocab),
                           fmt::format("{}", logits->size())));
  GoldenCase golden{*std::move(tokens), *std::move(logits), {}};
  if (json.contains("argmax_all")) {
    auto argmaxes = ids(json, "argmax_all", config);
    if (!argmaxes || argmaxes->size() != golden.tokens.size())
      return fail(bad_golden(where, "argmax_all does not fit the tokens",
                             fmt::format("{} ids", golden.tokens.size()), "others"));
    golden.argmax_all = *std::move(argmaxes);
  }
  return golden;
}

constexpr std::string_view difference_figure = "largest logits difference over the largest logit";

// NaN when a side has one, or nothing but zeros is expected.
double relative_difference(std::span<const float> actual, std::span<const float> expected) {
  double largest = 0;
  for (const float x : expected) largest = std::max(largest, std::abs(static_cast<double>(x)));
  return largest_difference(actual, expected) / largest;
}

}  // namespace

Result<Goldens> read_goldens(const std::string& model_path, const model::Config& config,
                             std::string_view model_sha256) {
  namespace fs = std::filesystem;
  const std::string stem = fs::path(model_path).replace_extension().string();
  std::error_code problem;
  std::string path = stem + ".golden.json";
  // Under the general name there may be anything; under the other it must be golden logits.
  const bool is_general = !fs::is_regular_file(path, problem);
  if (is_general) path = stem + ".json";
  if (!fs::is_regular_file(path, problem))
    return fail({.code = ErrorCode::file_not_found,
                 .what = "there are no golden logits beside the model",
                 .where = stem,
                 .expected = fmt::format("{0}.golden.json or {0}.json", fs::path(stem).filename().string())});
  TRINE_TRY(const std::string text, read_file(path));
  const nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object() || !document.contains("cases") || !document["cases"].is_array() ||
      document["cases"].empty() || !document.contains("reference") || !document["reference"].is_string()) {
    Error error =
        bad_golden(path, "this is no file of golden logits", "'reference' and a list 'cases'", "others");
    if (is_general) error.code = ErrorCode::file_not_found;
    return fail(std::move(error));
  }
  Goldens goldens{
      document["reference"].get<std::string>(), fs::path(path).filename().string(), sha256(text), {}};
  if (goldens.source.empty())
    return fail(bad_golden(path, "golden logits that do not say who computed them judge nothing",
                           "a 'reference'", "an empty one"));
  std::string lower = goldens.source;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.find("trine") != std::string::npos)
    return fail(bad_golden(path, "these golden logits are Trine's own, so they can judge nothing",
                           "another program's", goldens.source));
  TRINE_CHECK_OK(check_model(document, path, model_path, model_sha256));
  for (std::size_t i = 0; i < document["cases"].size(); ++i) {
    TRINE_TRY(GoldenCase golden,
              read_case(document["cases"][i], fmt::format("{}, case {}", path, i), config));
    goldens.cases.push_back(std::move(golden));
  }
  return goldens;
}

LegResult judge_goldens(const Goldens& goldens, const model::Config& config, std::string_view backend,
                        const RunCase& run) {
  // No contract has this test for the CPU: what a GPU must hold, it must.
  const std::vector<Bound> bounds =
      stated_bounds("gate.reference-vs-transformers", backend == "cpu" ? "wgpu" : backend);
  const double cosine = limit_of(bounds, "logits cosine");
  Judge judge;
  std::optional<Divergence> divergence;
  const auto vocab = static_cast<std::size_t>(config.vocab_size);
  LegResult out = leg_without('R', model::Numerics::exact, Verdict::not_run, {});
  for (std::size_t i = 0; i < goldens.cases.size(); ++i) {
    const GoldenCase& golden = goldens.cases[i];
    const auto logits = run(golden.tokens);
    if (!logits) {
      out.result.verdict = Verdict::fail;  // whatever is open and cannot run has failed
      out.result.reason = to_string(logits.error());
      return out;
    }
    if (logits->size() != golden.tokens.size() * vocab) {
      out.result = refused(fmt::format("case {} has {} tokens and came back with logits of {}", i,
                                       golden.tokens.size(), logits->size() / vocab));
      return out;
    }
    const auto row = [&](std::size_t r) { return std::span(*logits).subspan(r * vocab, vocab); };
    const Similarity similarity = compare(row(golden.tokens.size() - 1), golden.logits_last);
    judge.sample("logits cosine", similarity.cosine);
    const double difference = relative_difference(row(golden.tokens.size() - 1), golden.logits_last);
    judge.sample(difference_figure, difference);
    const std::int32_t last = argmax(row(golden.tokens.size() - 1));
    judge.sample("top-1 that differ", last >= 0 && last == argmax(golden.logits_last) ? 0 : 1);
    for (std::size_t r = 0; r < golden.argmax_all.size(); ++r)
      judge.sample("top-1 that differ", argmax(row(r)) == golden.argmax_all[r] ? 0 : 1);
    if (!(similarity.cosine >= cosine && difference <= golden_difference) && !divergence)
      divergence = Divergence{model::Stage::logits,
                              -1,
                              fmt::format("golden case {}", i),
                              static_cast<std::int64_t>(golden.tokens.size()) - 1,
                              similarity.cosine,
                              similarity.relative_l2};
  }
  judge.hold(bounds);
  judge.hold(difference_figure, "<=", golden_difference);
  out.result = judge.result();
  out.result.first_divergence = std::move(divergence);
  return out;
}

}  // namespace trine::contract
