#include "contract/checks/gate_bench.h"

#include "backend/registry.h"
#include "base/sha256.h"
#include "contract/gate/model_stamp.h"
#include "contract/gate/reference_device.h"
#include "contract/judge/judge.h"

#include <utility>

namespace trine::contract {

Result<std::unique_ptr<GateBench>> open_bench(const CheckContext& context) {
  auto bench = std::make_unique<GateBench>();
  TRINE_TRY(gguf::File file, gguf::File::open(context.model_path));
  bench->file = std::make_unique<const gguf::File>(std::move(file));
  TRINE_TRY(bench->weights, model::load_weights(*bench->file));
  TRINE_TRY(bench->prompts, builtin_prompts(bench->file->metadata(), bench->weights.config));
  TRINE_TRY(bench->sha256, sha256_of_model(*bench->file, {}));
  return bench;
}

BackendSide backend_side(const CheckContext& context, const GateBench& bench, const PromptSet& prompts) {
  const backend::BackendEntry* entry = backend::find_backend(context.backend);
  const OpenBackend open = [&context, &bench, &prompts](
                               model::Numerics numerics,
                               int threads) -> Result<std::unique_ptr<model::DeviceModel>> {
    model::LoadOptions options;
    options.threads = threads;
    options.numerics = numerics;
    options.context = context_for(prompts);
    options.device = context.device;
    options.without = context.without;
    if (context.load) return context.load(bench.weights, options);
    if (context.backend == "reference")
      return std::make_unique<ReferenceDevice>(bench.weights, options.context, options.slots, threads);
    return backend::load_model(context.backend, bench.weights, options);
  };
  return {context.backend, entry != nullptr && entry->is_gpu, bench.sha256, prompts, open};
}

std::optional<CheckResult> backend_absent(const CheckContext& context) {
  if (context.load || context.backend == "reference") return std::nullopt;
  const auto choice = backend::choose_backend(context.backend, context.device);
  if (choice) return std::nullopt;
  return failed_with(choice.error());
}

CheckResult no_bench(const Error& error) {
  return refused("the model cannot be judged: " + to_string(error));
}

Result<std::unique_ptr<model::DeviceModel>> open_device(const BackendSide& side, model::Numerics numerics,
                                                        int threads) {
  TRINE_TRY(auto device, side.open(numerics, threads));
  if (std::string reason = refuse_device(side, numerics, device->describe()); !reason.empty())
    return fail(ErrorCode::validation_failed, std::move(reason));
  return device;
}

}  // namespace trine::contract
