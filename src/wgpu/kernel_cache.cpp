#include "wgpu/kernel_cache.h"

#include <algorithm>
#include <bit>

namespace trine::wgpu {
namespace {

std::vector<Binding> kinds_of(const std::vector<Bound>& bound) {
  std::vector<Binding> kinds;
  for (const Bound& one : bound) kinds.push_back(one.kind);
  return kinds;
}

}  // namespace

KernelCache::KernelCache(Gpu& gpu)
    : gpu_(&gpu), tuning_(tuning_for(gpu.subgroup_size(), gpu.adapter().type == "software")) {}

ShaderSource KernelCache::with_reduce(std::uint32_t workgroup, std::uint32_t lanes) const {
  ShaderSource source;
  source.constants = {{"WORKGROUP", workgroup}, {"LANES", lanes}};
  if (tuning_.subgroup_size > 0) source.constants.emplace_back("SUBGROUP_SIZE", tuning_.subgroup_size);
  source.files = {tuning_.subgroup_size > 0 ? "reduce_subgroup.wgsl" : "reduce_shared.wgsl"};
  return source;
}

std::vector<std::string> KernelCache::quantize_files() const {
  return {tuning_.subgroup_size >= 8 ? "blocks_subgroup.wgsl" : "blocks_shared.wgsl", "quantize.wgsl"};
}

std::uint32_t KernelCache::workgroup_for(std::uint32_t work, std::uint32_t limit) const {
  const std::uint32_t least = std::max(32u, tuning_.subgroup_size);
  return std::clamp(std::bit_ceil(std::max(work, 1u)), least, std::max(limit, least));
}

Result<const Pipeline*> KernelCache::compile(std::string_view name, const ShaderSource& source,
                                             const std::vector<Bound>& bound) {
  std::string text = assemble(source);
  const auto known = pipelines_.find(text);
  if (known != pipelines_.end()) return known->second.get();
  TRINE_TRY(Pipeline pipeline, gpu_->create_pipeline(name, text, kinds_of(bound)));
  auto kept = std::make_unique<Pipeline>(std::move(pipeline));
  const Pipeline* result = kept.get();
  pipelines_.emplace(std::move(text), std::move(kept));
  return result;
}

Result<Op> KernelCache::make(std::string_view name, const ShaderSource& source,
                             const std::vector<Bound>& bound, std::uint32_t x) {
  Op op;
  op.label = name;
  TRINE_TRY(const Pipeline* pipeline, compile(name, source, bound));
  op.variants.push_back({pipeline, 1, x, 1});
  TRINE_CHECK_OK(bind(op, bound));
  return op;
}

Result<void> KernelCache::bind(Op& op, const std::vector<Bound>& bound) {
  std::vector<Slice> slices;
  for (const Bound& one : bound) slices.push_back(one.slice);
  // The variants' layouts are equal, and so are good for the same bind group.
  TRINE_TRY(op.bindings, gpu_->bind(*op.variants.front().pipeline, slices));
  return {};
}

Result<Bound> KernelCache::params(std::vector<std::uint32_t> words) {
  words.resize((words.size() + 3) / 4 * 4);  // uniforms are padded to 16 bytes
  auto known = params_.find(words);
  if (known == params_.end()) {
    TRINE_TRY(Buffer buffer,
              gpu_->create_buffer("params", words.size() * sizeof(std::uint32_t), BufferUse::uniform));
    TRINE_CHECK_OK(gpu_->write(buffer, 0, std::as_bytes(std::span(words))));
    known = params_.emplace(std::move(words), std::move(buffer)).first;
  }
  return Bound{Binding::uniform, known->second};
}

}  // namespace trine::wgpu
