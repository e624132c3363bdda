#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"

#include <cstdint>

namespace trine::cpu {

// Maps the pages of the weights at load, where that costs less than each token's minor faults would: not of a
// small model, and not of one that does not fit into memory beside `besides` bytes that will be needed as
// well, as what is read last would push out what was read first.
void populate_weights(const model::Weights& weights, std::uint64_t besides, ThreadPool& pool);

}  // namespace trine::cpu
