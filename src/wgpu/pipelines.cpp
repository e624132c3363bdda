#include "wgpu/pipelines.h"

#include <algorithm>
#include <bit>

namespace trine::wgpu {
namespace {

// clang-format off
constexpr GemmTile tall = {128, 128, 32, 4, 1, false};
constexpr GemmTile narrow = {128, 64, 32, 4, 2, false};
constexpr GemmTile few_rows = {64, 32, 16, 2, 1, false};  // for matrices of hundreds of rows
constexpr GemmTile small = {32, 16, 16, 2, 1, false};
//   subgroup   matvec        few rows     vocab rows    matvec_many   norm_qkv      router        gate_up       down          tokens     norm  attention         decode  gemm               batch submit
constexpr Tuning table[] = {
    {32,        {128, 32, 1}, {32, 32, 1}, {128, 32, 2}, {128, 32, 4}, {512, 32, 1}, {256, 32, 1}, {512, 16, 1}, {256, 32, 1}, {1, 4, 8}, 512, 256, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 2048},
    {4,         {64, 4, 4},   {64, 4, 1},  {64, 4, 4},   {64, 4, 4},   {64, 4, 1},   {64, 4, 1},   {64, 4, 2},   {64, 4, 4},   {1, 4, 8}, 256, 128, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 1024},
    {0,         {64, 4, 4},   {64, 4, 1},  {64, 4, 4},   {64, 4, 4},   {64, 4, 1},   {64, 4, 1},   {64, 4, 2},   {64, 4, 4},   {1, 4, 8}, 256, 128, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 1024},
};
// On a CPU the compiler's time counts, and it grows with the tile.
constexpr Tuning software =
    {0,         {64, 4, 1},   {64, 4, 1},  {64, 4, 1},   {64, 4, 1},   {256, 4, 1},  {64, 4, 1},   {128, 4, 1},  {64, 4, 1},   {1, 8, 8}, 256, 128, 64, 2, 2,   16,     17, small, small, small, small, 256, 512};
// clang-format on

std::vector<Binding> kinds_of(const std::vector<Bound>& bound) {
  std::vector<Binding> kinds;
  for (const Bound& one : bound) kinds.push_back(one.kind);
  return kinds;
}

}  // namespace

Tuning tuning_for(std::uint32_t subgroup_size, bool is_software) {
  const std::uint32_t usable =
      std::has_single_bit(subgroup_size) && subgroup_size >= 4 && subgroup_size <= 128 ? subgroup_size : 0;
  // The first line whose subgroups are not wider than the device's.
  Tuning tuning =
      is_software ? software : *std::find_if(std::begin(table), std::end(table), [&](const Tuning& line) {
        return line.subgroup_size <= usable;
      });
  tuning.subgroup_size = usable;
  return tuning;
}

Kernels::Kernels(Gpu& gpu)
    : gpu_(&gpu), tuning_(tuning_for(gpu.subgroup_size(), gpu.adapter().type == "software")) {}

ShaderSource Kernels::with_reduce(std::uint32_t workgroup, std::uint32_t lanes) const {
  ShaderSource source;
  source.constants = {{"WORKGROUP", workgroup}, {"LANES", lanes}};
  if (tuning_.subgroup_size > 0) source.constants.emplace_back("SUBGROUP_SIZE", tuning_.subgroup_size);
  source.files = {tuning_.subgroup_size > 0 ? "reduce_subgroup.wgsl" : "reduce_shared.wgsl"};
  return source;
}

std::vector<std::string> Kernels::quantize_files() const {
  return {tuning_.subgroup_size >= 8 ? "blocks_subgroup.wgsl" : "blocks_shared.wgsl", "quantize.wgsl"};
}

std::uint32_t Kernels::workgroup_for(std::uint32_t work, std::uint32_t limit) const {
  const std::uint32_t least = std::max(32u, tuning_.subgroup_size);
  return std::clamp(std::bit_ceil(std::max(work, 1u)), least, std::max(limit, least));
}

Result<const Pipeline*> Kernels::compile(std::string_view name, const ShaderSource& source,
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

Result<Op> Kernels::make(std::string_view name, const ShaderSource& source, const std::vector<Bound>& bound,
                         std::uint32_t x) {
  Op op;
  op.label = name;
  TRINE_TRY(const Pipeline* pipeline, compile(name, source, bound));
  op.variants.push_back({pipeline, 1, x, 1});
  TRINE_CHECK_OK(bind(op, bound));
  return op;
}

Result<void> Kernels::bind(Op& op, const std::vector<Bound>& bound) {
  std::vector<Slice> slices;
  for (const Bound& one : bound) slices.push_back(one.slice);
  // The variants' layouts are equal, and so are good for the same bind group.
  TRINE_TRY(op.bindings, gpu_->bind(*op.variants.front().pipeline, slices));
  return {};
}

Result<Bound> Kernels::params(std::vector<std::uint32_t> words) {
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
