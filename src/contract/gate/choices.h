#pragma once

#include "base/error.h"
#include "contract/judge/legs.h"
#include "contract/judge/prompts.h"
#include "model/device_model.h"

#include <cstdint>

namespace trine::contract {

// Leg S: the tokens that a device chooses are those that sampling::Sampler chooses from the logits of the
// same rows. Each way of choosing has a slot of its own. First all of them decode together, in the same steps
// and as many steps ahead as the device allows, and nothing but their tokens comes back; then each decodes
// those same tokens again alone, and its logits come back too, for the host to choose from.

// Positions of KV cache that this needs at least.
std::int32_t context_for_choices();

// Errors: those of the backend; inference when its cache or its slots do not hold two sequences.
Result<ChoiceRun> run_choices(model::DeviceModel& device, const PromptSet& prompts);

}  // namespace trine::contract
