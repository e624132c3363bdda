#pragma once

#include "base/thread_pool.h"
#include "model/device_model.h"

#include <optional>
#include <string_view>

namespace trine::cpu {

// The limit of arithmetic: how fast the pool's threads multiply and add with the instructions that an
// instruction set's kernels use, on registers alone: the best of several passes. What the kernels do beside
// it, to decode weights and to widen sums, is no part of it. Nothing for kernels without instructions of
// their own ("portable"), and for those that have no such loop.
std::optional<model::ArithmeticRate> measure_arithmetic(std::string_view isa, ThreadPool& pool);

}  // namespace trine::cpu
