#include "contract/receipt/json.h"

#include <fmt/format.h>
#include <array>
#include <cmath>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

namespace trine::contract {
namespace {

using Json = nlohmann::ordered_json;

// Every struct of a receipt lists its fields once, in visit(); Dump writes them and Parse reads them.
template <typename A>
void visit(A& a, ToolIdentity& x) {
  a("version", x.version);
  a("commit", x.commit);
  a("binary_sha256", x.binary_sha256);
}
template <typename A>
void visit(A& a, FileIdentity& x) {
  a("path", x.path);
  a("name", x.name);
  a("sha256", x.sha256);
  a("bytes", x.bytes);
  a("layers_in_file", x.layers_in_file);
  a("layers_run", x.layers_run);
  a("random_weights", x.random_weights);
}
template <typename A>
void visit(A& a, PromptIdentity& x) {
  a("sha256", x.sha256);
  a("count", x.count);
  a("tokens", x.tokens);
  a("longest", x.longest);
  a("largest_batch", x.largest_batch);
  a("source", x.source);
}
template <typename A>
void visit(A& a, GoldenIdentity& x) {
  a("file", x.file);
  a("sha256", x.sha256);
  a("source", x.source);
  a("cases", x.cases);
}
template <typename A>
void visit(A& a, std::array<std::string, model::stage_count>& x) {
  for (std::size_t i = 0; i < x.size(); ++i)
    a(std::string(model::name_of(static_cast<model::Stage>(i))).c_str(), x[i]);
}
template <typename A>
void visit(A& a, model::DeviceInfo& x) {
  a("backend", x.backend);
  a("name", x.name);
  a("type", x.type);
  a("api", x.api);
  a("driver", x.driver);
  a("threads", x.threads);
  a("stage_place", x.stage_place);
  a("left_out", x.left_out);
  a("switched_off", x.switched_off);
}
template <typename A>
void visit(A& a, Figure& x) {
  a("name", x.name);
  a("min", x.min);
  a("median", x.median);
  a("max", x.max);
  a("n", x.n);
  a("bound", x.bound);
}
template <typename A>
void visit(A& a, Divergence& x) {
  a("stage", x.stage);
  a("layer", x.layer);
  a("prompt", x.prompt);
  a("row", x.row);
  a("cosine", x.cosine);
  a("relative_l2", x.relative_l2);
}
template <typename A>
void visit(A& a, ExpertSwap& x) {
  a("prompt", x.prompt);
  a("row", x.row);
  a("layer", x.layer);
  a("expected", x.expected);
  a("actual", x.actual);
  a("margin", x.margin);
  a("allowed", x.allowed);
  a("measured_error", x.measured_error);
  a("excused", x.excused);
}
template <typename A>
void visit(A& a, ReceiptLeg& x) {
  a("leg", x.leg);
  a("numerics", x.numerics);
  a("verdict", x.verdict);
  a("reason", x.reason);
  a("figures", x.figures);
  a("first_divergence", x.first_divergence);
  a("expert_choices", x.choices);
  a("expert_choices_different", x.choices_different);
  a("swaps", x.swaps);
}
template <typename A>
void visit(A& a, Receipt& x) {
  a("tool", x.tool);
  a("model", x.model);
  a("prompts", x.prompts);
  a("goldens", x.goldens);
  a("reference_sha256", x.reference_sha256);
  a("device", x.device);
  a("counts_as", x.counts_as);
  a("numerics", x.numerics);
  a("verdict", x.verdict);
  a("reason", x.reason);
  a("left_out", x.left_out);
  a("legs", x.legs);
  a("finished", x.finished);
  a("seconds", x.seconds);
}

// ---- Writing ----

class Dump {
 public:
  template <typename T>
  void operator()(const char* key, T& value) {
    json[key] = written(value);
  }
  template <typename T>
  static Json written(T& value) {
    if constexpr (std::same_as<T, double>) {
      if (std::isfinite(value)) return value;
      return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
      return value;
    } else if constexpr (std::same_as<T, model::Stage>) {
      return model::name_of(value);
    } else if constexpr (requires { value.has_value(); }) {
      return value ? written(*value) : Json();
    } else if constexpr (requires { value.push_back(value.front()); }) {
      Json list = Json::array();
      for (auto& item : value) list.push_back(written(item));
      return list;
    } else {
      Dump inner;
      visit(inner, value);
      return std::move(inner.json);
    }
  }

  Json json = Json::object();
};

// ---- Reading ----

// The first thing that is wrong stops it; later fields are left as they are.
struct Problem {
  std::optional<Error> error;
  void note(const std::string& where, std::string what) {
    if (!error) error = Error{.code = ErrorCode::validation_failed, .what = std::move(what), .where = where};
  }
};

class Parse {
 public:
  Parse(const Json& json, std::string where, Problem& problem)
      : json_(json), where_(std::move(where)), problem_(problem) {
    if (!json.is_object()) problem.note(where_, "a part of the receipt is no object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    known_.insert(key);
    if (problem_.error) return;
    const auto found = json_.find(key);
    if (found == json_.end()) {
      problem_.note(place(key), "a field of the receipt is missing");
      return;
    }
    read(*found, place(key), value);
  }

  void finish() {
    if (problem_.error) return;
    for (const auto& item : json_.items())
      if (!known_.contains(item.key())) problem_.note(place(item.key()), "the receipt has an unknown field");
  }

 private:
  std::string place(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }

  template <typename T>
  void read(const Json& json, const std::string& where, T& value) {
    const auto wrong = [&] { problem_.note(where, "a field of the receipt is of another kind"); };
    if constexpr (std::same_as<T, std::string>) {
      if (!json.is_string()) return wrong();
      value = json.get<std::string>();
    } else if constexpr (std::same_as<T, bool>) {
      if (!json.is_boolean()) return wrong();
      value = json.get<bool>();
    } else if constexpr (std::same_as<T, double>) {
      if (!read_double(json, value)) wrong();
    } else if constexpr (std::is_integral_v<T>) {
      const bool fits = json.is_number_integer() && (std::is_signed_v<T> || json.is_number_unsigned());
      if (!fits || static_cast<Json::number_integer_t>(json.get<T>()) != json.get<Json::number_integer_t>())
        return wrong();
      value = json.get<T>();
    } else if constexpr (std::same_as<T, model::Stage>) {
      if (!json.is_string() || !model::parse_stage(json.get<std::string>(), value)) wrong();
    } else if constexpr (requires { value.has_value(); }) {
      if (json.is_null()) return;
      read(json, where, value.emplace());
    } else if constexpr (requires { value.push_back(value.front()); }) {
      if (!json.is_array()) return wrong();
      for (std::size_t i = 0; i < json.size() && !problem_.error; ++i)
        read(json[i], fmt::format("{}[{}]", where, i), value.emplace_back());
    } else {
      Parse inner(json, where, problem_);
      visit(inner, value);
      inner.finish();
    }
  }

  static bool read_double(const Json& json, double& value) {
    if (json.is_number()) {
      value = json.get<double>();
      return true;
    }
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const std::pair<const char*, double> texts[] = {
        {"nan", std::numeric_limits<double>::quiet_NaN()}, {"inf", infinity}, {"-inf", -infinity}};
    for (const auto& [text, number] : texts) {
      if (json != text) continue;
      value = number;
      return true;
    }
    return false;
  }

  const Json& json_;
  std::string where_;
  Problem& problem_;
  std::set<std::string> known_;
};

}  // namespace

std::string dump_receipt(const Receipt& receipt) {
  Json out = {{"format", receipt_format}};
  Receipt copy = receipt;  // visit() lists fields that Parse writes to
  out.update(Dump::written(copy));
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Receipt> parse_receipt(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    return fail({.code = ErrorCode::validation_failed,
                 .what = "this is no receipt",
                 .expected = "a JSON object",
                 .actual = json.is_discarded() ? "no JSON" : json.type_name()});
  const auto format = json.find("format");
  if (format == json.end() || *format != receipt_format)
    return fail({.code = ErrorCode::validation_failed,
                 .what = "this is no receipt that this version reads",
                 .where = "format",
                 .expected = std::string(receipt_format),
                 .actual = format == json.end() ? "nothing" : format->dump()});
  json.erase("format");
  Receipt receipt;
  Problem problem;
  Parse parse(json, "", problem);
  visit(parse, receipt);
  parse.finish();
  if (problem.error) return fail(*std::move(problem.error));
  return receipt;
}

}  // namespace trine::contract
