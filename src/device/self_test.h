#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/weights.h"

namespace trine::device {

// Drivers have bugs, so a model judges its own kernels before anybody uses it: a few tokens run on the
// device, and each stage of the first and the last layer, the embedding and the head are held against values
// that the host computes in fp64 from the file's weights and the stage's own input on the device. So an error
// shows where it is made. Of wide products a sample of rows is computed, the first and the last among them.
//
// Tokens that the device chooses are held against sampling::Sampler, by the logits of the same row.

// What is judged beside single rows: kernels that software adapters compile when they are first used.
struct Judged {
  bool many_rows = false;  // a batch that multiplies matrices
  bool choices = false;    // tokens, chosen greedily, by filters and a draw, and by penalties
};

// Runs tokens at positions 0 and up, for which it opens slots with all pages. Errors: inference (a stage is
// wrong, by name and layer; a traced run and an untraced one differ; a token is another than the sampler's),
// and those of run().
Result<void> self_test(model::DeviceModel& model, const model::Weights& weights, const Judged& judged);

// The same model with its first and its last layer only, on which kernels are tried; the tensors are the
// same.
model::Weights first_and_last_layer(const model::Weights& weights);

}  // namespace trine::device
