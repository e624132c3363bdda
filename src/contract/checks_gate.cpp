#include "contract/checks.h"

namespace trine::contract {

void register_gate_checks(CheckRegistry& registry) {
  const std::pair<const char*, const char*> checks[] = {
      {"gate.reference-vs-transformers",
       "leg R: the reference against golden logits of Hugging Face transformers"},
      {"gate.exact-parity", "leg X: exact numerics against the reference, every stage of every layer"},
      {"gate.fast-parity", "leg F: fast numerics against the reference, logits"},
      {"gate.decode-vs-prefill", "leg D: token by token against all at once, same backend"},
      {"gate.determinism", "leg T: the same run twice, same tokens and same bytes"},
      {"gate.per-layer", "moe_out of every layer against the reference"},
      {"gate.invariants", "shapes, finiteness and routing sums of every stage"},
      {"gate.memory", "what the backend holds against what the device has"},
      {"gate.throughput", "tokens per second, decode and prefill"},
      {"gate.preload", "loading looks for no tensor that a MoE file lacks"},
      {"trace.production-unchanged", "a traced run gives the bytes of an untraced one"},
      {"trace.stage-names", "stages come by their names and in their order"},
  };
  for (const auto& [name, description] : checks)
    registry.add_absent(name, description, "no gate in this build");
}

}  // namespace trine::contract
