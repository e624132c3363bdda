#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "wgpu/model.h"

#include <functional>
#include <memory>

namespace trine::wgpu {

// Drivers have bugs, so a model judges its own kernels before anybody uses it: a few tokens run on the
// device, and each stage of the first and the last layer, the embedding and the head are held against values
// that the host computes in fp64 from the file's weights and the stage's own input on the device. So an error
// shows where it is made. Of wide products a sample of rows is computed, the first and the last among them.
//
// Runs single tokens at positions 0 and up, and with `prefill` a batch of several as well; overwrites the
// first page of the KV cache. Errors: inference (a stage is wrong, by name and layer; a traced run and an
// untraced one differ), and those of forward().
Result<void> self_test(model::DeviceModel& model, const model::Weights& weights, bool prefill);

// Loads and tests a model with these variants of its kernels.
using LoadVariants = std::function<Result<std::unique_ptr<WgpuModel>>(const model::Weights& weights,
                                                                      const Variants& variants)>;

// The model with all variants that were asked for, when its self-test passes; else with the fewest switched
// off that let it pass: each alone, then two, then all. They are looked for with the first and the last layer
// only. Errors: those of `load`; inference when the plain kernels are wrong too.
Result<std::unique_ptr<WgpuModel>> load_tested(const model::Weights& weights, model::Numerics numerics,
                                               const Variants& asked, const LoadVariants& load);

}  // namespace trine::wgpu
