#pragma once

#include "base/file.h"
#include "gguf/file.h"
#include "model/weights.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trine::reference {

// What Hugging Face transformers computes (float32, on the dequantised weights), rounded to five decimals.
struct GoldenCase {
  std::vector<std::int32_t> tokens;
  std::vector<float> logits_last;        // [V] of the last position
  std::vector<std::int32_t> argmax_all;  // at every position
  std::vector<std::int32_t> greedy;      // what follows, not stopped at an end token
  std::vector<std::vector<float>>
      hidden_last;  // embeddings, after each layer but the last, after the final norm
  std::vector<std::vector<int>> experts_last;  // per layer, unordered
};
inline constexpr double golden_rounding = 0.5e-5;

// Every model in models/ that has a golden file, without its suffix.
inline constexpr const char* golden_models[] = {
    "demo-coder-Q4_K_M", "tiny/tied-Q4_K_M",    "tiny/tiny-BF16", "tiny/tiny-F16",  "tiny/tiny-IQ4_NL",
    "tiny/tiny-IQ4_XS",  "tiny/tiny-MXFP4_MOE", "tiny/tiny-Q2_K", "tiny/tiny-Q3_K", "tiny/tiny-Q4_0",
    "tiny/tiny-Q4_1",    "tiny/tiny-Q4_K",      "tiny/tiny-Q5_0", "tiny/tiny-Q5_1", "tiny/tiny-Q5_K",
    "tiny/tiny-Q6_K",    "tiny/tiny-Q8_0"};

inline std::string model_path(const std::string& name) {
  return TRINE_SOURCE_DIR "/models/" + name + ".gguf";
}

inline Result<std::vector<GoldenCase>> read_golden(const std::string& name) {
  const bool is_demo = name.starts_with("demo");
  TRINE_TRY(const std::string text,
            read_file(TRINE_SOURCE_DIR "/models/" + name + (is_demo ? ".golden.json" : ".json")));
  std::vector<GoldenCase> cases;
  const nlohmann::json document = nlohmann::json::parse(text);
  for (const nlohmann::json& json : document.at("cases")) {
    GoldenCase golden;
    json.at("tokens").get_to(golden.tokens);
    json.at("logits_last").get_to(golden.logits_last);
    json.at("argmax_all").get_to(golden.argmax_all);
    json.at("greedy").get_to(golden.greedy);
    json.at("hidden_last").get_to(golden.hidden_last);
    json.at("experts_last").get_to(golden.experts_last);
    cases.push_back(std::move(golden));
  }
  return cases;
}

// A file and the weights found in it, which keep pointing at it.
struct LoadedModel {
  gguf::File file;
  model::Weights weights;
};

inline Result<std::unique_ptr<LoadedModel>> load_model(Result<gguf::File> file) {
  if (!file) return fail(std::move(file).error());
  auto loaded = std::make_unique<LoadedModel>();
  loaded->file = *std::move(file);
  TRINE_TRY(loaded->weights, model::load_weights(loaded->file));
  return loaded;
}

}  // namespace trine::reference
