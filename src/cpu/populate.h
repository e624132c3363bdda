#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"

#include <cstdint>
#include <vector>

namespace trine::cpu {

// Maps the pages of the weights at load, where that costs less than each token's minor faults would: not of a
// small model, and not of one that does not fit into memory beside `besides` bytes that will be needed as
// well, as what is read last would push out what was read first.
// What is read from disk goes to the pages of these nodes in turn; empty: to those of the thread that reads
// it.
void populate_weights(const model::Weights& weights, std::uint64_t besides, const std::vector<int>& nodes,
                      ThreadPool& pool);

}  // namespace trine::cpu
