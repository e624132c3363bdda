#pragma once

#include "wgpu/gpu.h"
#include "wgpu/shader.h"
#include "wgpu/tuning.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trine::wgpu {

// A buffer as a kernel binds it.
struct Bound {
  Binding kind;
  Slice slice;
};
inline Bound reads(const Buffer& buffer) {
  return {Binding::read, buffer};
}
inline Bound writes(const Buffer& buffer) {
  return {Binding::read_write, buffer};
}

// One launch of a layer, for a batch of any length: workgroups along y cover its rows.
struct Op {
  // One kernel per number of rows that a workgroup takes, in rising order: the first one is used that takes
  // all, else the last.
  struct Variant {
    const Pipeline* pipeline = nullptr;
    std::uint32_t rows_per_group = 1;
    std::uint32_t x = 1;
    std::uint32_t z = 1;
  };
  std::string label;  // by which a profile names it
  std::vector<Variant> variants;
  BindGroup bindings;
  std::uint32_t slots = 1;  // rows of work for each row of the batch
};

// Compiles kernels, each composition once, and binds them.
class KernelCache {
 public:
  explicit KernelCache(Gpu& gpu);

  Gpu& gpu() const { return *gpu_; }
  const Tuning& tuning() const { return tuning_; }
  void set_few_chunks(std::uint32_t chunks) { tuning_.attention_few_chunks = chunks; }

  // A source that begins with the constants WORKGROUP and LANES, and the reductions for them.
  ShaderSource with_reduce(std::uint32_t workgroup, std::uint32_t lanes) const;
  // The libraries that quantise to 8-bit blocks, in their order.
  std::vector<std::string> quantize_files() const;
  // The fewest threads, a power of two, that `work` lanes fill and reductions allow; at most `limit`.
  std::uint32_t workgroup_for(std::uint32_t work, std::uint32_t limit) const;

  // Errors: inference (the kernel does not compile, which names it).
  Result<const Pipeline*> compile(std::string_view name, const ShaderSource& source,
                                  const std::vector<Bound>& bound);
  // An Op of one kernel. Errors: inference.
  Result<Op> make(std::string_view name, const ShaderSource& source, const std::vector<Bound>& bound,
                  std::uint32_t x = 1);
  // Fills `op.bindings`, once it has its variants. Errors: inference.
  Result<void> bind(Op& op, const std::vector<Bound>& bound);
  // The uniform of a kernel, as 32-bit words; equal ones share a buffer. Errors: model_load.
  Result<Bound> params(std::vector<std::uint32_t> words);

 private:
  Gpu* gpu_;
  Tuning tuning_;
  std::map<std::string, std::unique_ptr<Pipeline>> pipelines_;  // by text
  std::map<std::vector<std::uint32_t>, Buffer> params_;
};

}  // namespace trine::wgpu
