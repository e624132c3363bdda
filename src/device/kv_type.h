#pragma once

#include "base/error.h"
#include "base/thread_pool.h"
#include "device/kv.h"
#include "model/device_model.h"
#include "model/weights.h"

#include <optional>

namespace trine::device {

// What the numerics ask for: fast ones halve what attention reads, exact ones keep what was computed.
constexpr KvType kv_type_for(model::Numerics numerics) {
  return numerics == model::Numerics::fast ? KvType::f16 : KvType::f32;
}

// `wanted`, or f32 where that is f16 and the weights allow keys or values that f16 does not have. `threads`
// as ThreadPool takes them.
KvType safe_kv_type(KvType wanted, const model::Weights& weights, int threads);

// Errors: usage (another type than f32 in exact numerics).
Result<void> check_kv_numerics(std::optional<KvType> asked, model::Numerics numerics);

// What a model's keys and values are to be kept as: `asked`, or what the numerics ask for and the weights
// allow. Errors: usage (another type than f32 in exact numerics, q8_0 for heads that are no whole blocks),
// model_load (f16 was asked for, and the weights allow values that it does not have).
Result<KvType> choose_kv_type(std::optional<KvType> asked, model::Numerics numerics,
                              const model::Weights& weights, int threads);

// Whether no input whatever can make a key or a value that is outside f16's range: a proof from the weights,
// not a measurement. Reads W_v and the norms, once.
bool kv_fits_f16(const model::Weights& weights, ThreadPool& pool);

}  // namespace trine::device
