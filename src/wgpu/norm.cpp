#include "wgpu/norm.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

namespace trine::wgpu {

std::uint32_t norm_lanes(const Builder& builder) {
  const std::uint32_t columns = static_cast<std::uint32_t>(builder.config.hidden_size);
  return builder.kernels.workgroup_for(divide_up(columns, 4), builder.kernels.tuning().norm_lanes);
}

std::uint32_t norm_workgroup(const Builder& builder, const Tile& tile) {
  return std::min(builder.kernels.workgroup_for(tile.workgroup, tile.workgroup), norm_lanes(builder));
}

ShaderSource norm_source(const Builder& builder, NormOutput output, std::uint32_t workgroup) {
  ShaderSource source = builder.kernels.with_reduce(workgroup, norm_lanes(builder));
  source.constants.emplace_back("COLUMNS", static_cast<std::uint32_t>(builder.config.hidden_size));
  source.constants.emplace_back("TERMS", output == NormOutput::f32_and_q8_terms ? qkv_terms : 1);
  source.flags = {{"QUANTIZE", output != NormOutput::f32}};
  const std::vector<std::string> quantize = builder.kernels.quantize_files();
  source.files.insert(source.files.end(), quantize.begin(), quantize.end());
  return source;
}

Result<Op> make_norm(const Builder& builder, const Buffer& x, const Buffer& weight, NormOutput output,
                     bool logits) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  ShaderSource source = norm_source(builder, output, norm_lanes(builder));
  source.flags.emplace_back("LOGITS", logits);
  source.files.insert(source.files.end(),
                      {"norm_row.wgsl", "store_block.wgsl", "norm_blocks.wgsl", "rms_norm.wgsl"});
  TRINE_TRY(const Bound params, kernels.params({std::bit_cast<std::uint32_t>(builder.config.rms_norm_eps)}));
  return kernels.make(
      "rms_norm", source,
      {params, reads(work.step), reads(work.rows), reads(x), reads(weight), writes(work.normed),
       writes(output != NormOutput::f32 ? work.normed_q8 : work.unused)});
}

}  // namespace trine::wgpu
