#pragma once

#include "base/thread_pool.h"
#include "model/weights.h"
#include "wgpu/gpu.h"

#include <cstdint>
#include <vector>

namespace trine::wgpu {

// A part of a matrix in a buffer of its own: `count` of its units from `first` on.
struct MatrixPart {
  Buffer buffer;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

// A weight on the device, in the layout of repack.h: in one part, or in as many as the limit of a binding
// asks for. Each part ends in the type's code book.
struct Matrix {
  gguf::TensorType type = gguf::TensorType::F32;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint32_t unit_rows = 1;  // what a part never cuts: a row, or an expert's `rows`
  std::vector<MatrixPart> parts;
};

struct LayerMatrices {
  Buffer attn_norm;               // [H] f32
  Matrix attn_q, attn_k, attn_v;  // [Q][H], [K][H], [K][H]
  Buffer head_constants;          // q_norm, k_norm and rotary frequencies: see head_rope.wgsl
  Matrix attn_output;             // [H][Q]
  Buffer ffn_norm;                // [H] f32
  Matrix router;                  // [E][H]
  Matrix expert_gate, expert_up;  // [E][F][H], with the same experts in each part
  Matrix expert_down;             // [E][H][F]
};

// The model's weights as the device holds them.
struct Matrices {
  std::vector<LayerMatrices> layers;
  Matrix embed;        // [V][H]
  Buffer output_norm;  // [H] f32
  Matrix output;       // [V][H]; empty when the embedding is the output too
  const Matrix& head() const { return output.parts.empty() ? embed : output; }
};

// Bytes of all weights on this device.
std::uint64_t device_bytes(const Gpu& gpu, const model::Weights& weights);

// Makes the buffers, still without content. Errors: model_load (the device has too little memory, or a row or
// an expert is larger than a binding may be).
Result<Matrices> allocate_weights(Gpu& gpu, const model::Weights& weights);
// Fills them in, repacked by the pool's threads piece by piece. Errors: inference.
Result<void> upload_weights(Gpu& gpu, const model::Weights& weights, ThreadPool& pool,
                            const Matrices& matrices);

}  // namespace trine::wgpu
