#pragma once

#include "backend/registry.h"
#include "base/sha256.h"
#include "contract/gate/gate.h"
#include "loaded_model.h"
#include "model/device_names.h"

#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace trine::test {

// Everything a run of the gate needs, over the CPU backend, with fields that a test may spoil.
struct GateBench {
  explicit GateBench(const std::string& path, std::int32_t layers = 0) : loaded(path) {
    weights = contract::cut_layers(loaded.weights, layers);
    auto built = contract::builtin_prompts(loaded.file->metadata(), weights.config);
    if (!built) throw std::runtime_error(to_string(built.error()));
    prompts = *std::move(built);
    backend_prompts = prompts;
    open = [this](model::Numerics numerics, int threads) {
      model::LoadOptions options;
      options.threads = threads;
      options.numerics = numerics;
      options.context = contract::context_for(prompts);
      return backend::load_model("cpu", weights, options);
    };
    options.threads = 1;
  }

  void use_prompts(contract::PromptSet set) {
    prompts = set;
    backend_prompts = std::move(set);
  }

  contract::GateResult run() {
    return contract::run_gate({weights, model_sha256, prompts},
                              {backend, is_gpu, backend_sha256, backend_prompts, open}, options);
  }

  LoadedModel loaded;
  model::Weights weights;
  contract::PromptSet prompts, backend_prompts;
  std::string model_sha256 = sha256("the same file");
  std::string backend_sha256 = model_sha256;
  std::string backend = "cpu";
  bool is_gpu = false;
  contract::OpenBackend open;
  contract::GateOptions options;
};

inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();
inline const std::string tied_path = models_dir + "tiny/tied-Q4_K_M.gguf";

inline const contract::CheckResult& leg_of(const contract::GateResult& result, char leg,
                                           model::Numerics numerics) {
  static const contract::CheckResult none;
  const contract::LegResult* found = result.find(leg, numerics);
  EXPECT_NE(found, nullptr) << "leg " << leg;
  return found == nullptr ? none : found->result;
}

}  // namespace trine::test
