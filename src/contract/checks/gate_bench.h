#pragma once

#include "base/error.h"
#include "contract/checks/checks.h"
#include "contract/gate/gate.h"
#include "gguf/file.h"
#include "model/weights.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trine::contract {

// A check's model, prompts and backend, ready for the gate.
struct GateBench {
  std::unique_ptr<const gguf::File> file;
  model::Weights weights;
  PromptSet prompts;
  std::string sha256;
};
// Errors: those of gguf::File::open, load_weights and builtin_prompts.
Result<std::unique_ptr<GateBench>> open_bench(const CheckContext& context);

// The backend of the context over these prompts; "reference" is the reference itself.
BackendSide backend_side(const CheckContext& context, const GateBench& bench, const PromptSet& prompts);

// Why this build cannot run the context's backend, before a model is read; nothing when it can.
std::optional<CheckResult> backend_absent(const CheckContext& context);

// A model that is not there, or prompts it cannot run, were not judged: refused, never a pass.
CheckResult no_bench(const Error& error);

// The device of the context, or why it must not be judged. Errors: those of the backend's load();
// validation_failed (another device than the one claimed).
Result<std::unique_ptr<model::DeviceModel>> open_device(const BackendSide& side, model::Numerics numerics,
                                                        int threads);

void register_trace_checks(CheckRegistry& registry);

}  // namespace trine::contract
