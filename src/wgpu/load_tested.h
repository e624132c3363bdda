#pragma once

#include "base/error.h"
#include "model/device_model.h"
#include "model/weights.h"
#include "wgpu/model.h"
#include "wgpu/variants.h"

#include <functional>
#include <memory>

namespace trine::wgpu {

// Loads and tests a model with these variants of its kernels.
using LoadVariants = std::function<Result<std::unique_ptr<WgpuModel>>(const model::Weights& weights,
                                                                      const Variants& variants)>;

// The model with all variants that were asked for, when its self-test passes; else with the fewest switched
// off that let it pass: each alone, then two, then all. They are looked for with the first and the last layer
// only. Errors: those of `load`; inference when the plain kernels are wrong too.
Result<std::unique_ptr<WgpuModel>> load_tested(const model::Weights& weights, model::Numerics numerics,
                                               const Variants& asked, const LoadVariants& load);

}  // namespace trine::wgpu
