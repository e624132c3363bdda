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
// Runs single tokens at positions 0 and up, and with `prefill` a batch of several as well; overwrites the
// first page of the KV cache. Errors: inference (a stage is wrong, by name and layer; a traced run and an
// untraced one differ), and those of forward().
Result<void> self_test(model::DeviceModel& model, const model::Weights& weights, bool prefill);

}  // namespace trine::device
