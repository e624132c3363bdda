#include "wgpu/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace trine::wgpu {

using model::Stage;

namespace {

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) {
  return (a + b - 1) / b;
}

std::uint32_t unsigned_of(std::int32_t value) {
  return static_cast<std::uint32_t>(value);
}

std::uint32_t qkv_width(const model::Config& config) {
  return unsigned_of(config.q_size() + 2 * config.kv_size());
}

// Fed with f32 activations in every mode: their errors are multiplied by each other in the scores and stay in
// the cache, and of all matrices they alone decide whether leg F holds (docs/performance.md).
constexpr bool qkv_reads_q8 = false;

Result<Op> make_fused_qkv(const Builder& builder, const LayerMatrices& m) {
  Kernels& kernels = builder.kernels;
  const Workspace& work = builder.work;
  TRINE_TRY(const Bound params, kernels.params({m.attn_q.rows, m.attn_k.rows, m.attn_v.rows}));
  const std::vector<Bound> bound = {params,
                                    reads(work.normed),
                                    reads(m.attn_q.parts[0].buffer),
                                    reads(m.attn_k.parts[0].buffer),
                                    reads(m.attn_v.parts[0].buffer),
                                    reads(work.step),
                                    writes(work.qkv)};
  Op op;
  for (const std::uint32_t tokens : kernels.tuning().tokens) {
    const Tile& tile = tokens == 1 ? kernels.tuning().matvec : kernels.tuning().matvec_many;
    ShaderSource source = kernels.with_reduce(tile.workgroup, tile.team);
    source.constants.insert(source.constants.end(),
                            {{"ROWS", tile.rows}, {"TOKENS", tokens}, {"COLUMNS", m.attn_q.columns}});
    source.files.insert(
        source.files.end(),
        {"quant_common.wgsl", numerics_file(qkv_reads_q8), "matvec_tile.wgsl", quant_file(m.attn_q, "wq"),
         "matvec_multiply.wgsl as wq", quant_file(m.attn_k, "wk"), "matvec_multiply.wgsl as wk",
         quant_file(m.attn_v, "wv"), "matvec_multiply.wgsl as wv", "qkv.wgsl"});
    TRINE_TRY(const Pipeline* pipeline, kernels.compile("qkv", source, bound));
    std::uint32_t tiles = 0;
    for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v})
      tiles += divide_up(matrix->rows, tile.matrix_rows());
    op.variants.push_back({pipeline, tokens, tiles, 1});
  }
  TRINE_CHECK_OK(kernels.bind(op, bound));
  return op;
}

Result<std::vector<Op>> make_qkv(const Builder& builder, const LayerMatrices& m) {
  const auto whole = [](const Matrix& matrix) { return matrix.parts.size() == 1; };
  std::vector<Op> ops;
  if (whole(m.attn_q) && whole(m.attn_k) && whole(m.attn_v)) {
    TRINE_TRY(Op op, make_fused_qkv(builder, m));
    ops.push_back(std::move(op));
    return ops;
  }
  std::uint32_t first = 0;
  for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v}) {
    TRINE_TRY(std::vector<Op> parts,
              make_projection(builder, {*matrix, builder.work.normed, qkv_reads_q8, builder.work.qkv,
                                        qkv_width(builder.config), first}));
    std::move(parts.begin(), parts.end(), std::back_inserter(ops));
    first += matrix->rows;
  }
  return ops;
}

Result<Op> make_qk_norm_rope(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                             KvType kv_type, double rope_scale) {
  Kernels& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  const std::uint32_t half = unsigned_of(c.head_dim / 2);
  ShaderSource source = kernels.with_reduce(kernels.workgroup_for(half, 256), 4);
  source.constants.insert(source.constants.end(), {{"HEAD_DIM", unsigned_of(c.head_dim)},
                                                   {"N_HEADS", unsigned_of(c.n_heads)},
                                                   {"N_KV_HEADS", unsigned_of(c.n_kv_heads)}});
  source.flags = {{"KV_F16", kv_type == KvType::f16}};
  source.files.emplace_back("qk_norm_rope.wgsl");
  TRINE_TRY(const Bound params,
            kernels.params({std::bit_cast<std::uint32_t>(c.rms_norm_eps),
                            std::bit_cast<std::uint32_t>(static_cast<float>(rope_scale)), work.capacity.pages,
                            qkv_width(c), qkv_width(c), unsigned_of(c.q_size() + c.kv_size())}));
  return kernels.make("qk_norm_rope", source,
                      {params, reads(work.step), reads(work.rows), reads(work.page_tables), reads(work.qkv),
                       reads(work.qkv), reads(m.head_constants), writes(work.qk), writes(cache)},
                      unsigned_of(c.n_heads + c.n_kv_heads));
}

// Both attention kernels: they have the same bindings and most constants.
Result<Op> make_attend(const Builder& builder, const Buffer& cache, KvType kv_type, bool decode) {
  Kernels& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  const std::uint32_t heads_per_kv = unsigned_of(c.n_heads / c.n_kv_heads);
  const std::uint32_t decode_heads = 4 * std::min(2u, divide_up(heads_per_kv, 4));  // of a workgroup
  ShaderSource source;
  source.constants = {
      {"WORKGROUP", decode ? kernels.tuning().attention_workgroup : work.capacity.tile_workgroup},
      {"CHUNK", decode ? work.capacity.decode_chunk : work.capacity.tile_chunk},
      {"HEAD_DIM", unsigned_of(c.head_dim)},
      {"N_HEADS", unsigned_of(c.n_heads)},
      {"N_KV_HEADS", unsigned_of(c.n_kv_heads)}};
  if (!decode) source.constants.emplace_back("ROWS", work.capacity.tile_rows);
  source.flags = {{"KV_F16", kv_type == KvType::f16}};
  source.files = {decode ? "attention.wgsl" : "attention_tile.wgsl"};
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  TRINE_TRY(const Bound params, kernels.params({std::bit_cast<std::uint32_t>(scale), work.capacity.pages}));
  TRINE_TRY(Op op,
            kernels.make(decode ? "attention" : "attention_tile", source,
                         {params, reads(work.step), reads(work.rows), reads(work.page_tables), reads(work.qk),
                          reads(cache), writes(work.attended), writes(work.sums), writes(work.stats)},
                         unsigned_of(c.n_kv_heads) * (decode ? divide_up(heads_per_kv, decode_heads) : 1)));
  if (!decode) op.variants[0].rows_per_group = work.capacity.tile_rows;
  return op;
}

Result<Op> make_merge(const Builder& builder, std::uint32_t chunk) {
  Kernels& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  ShaderSource source = kernels.with_reduce(kernels.workgroup_for(unsigned_of(c.head_dim), 1024), 4);
  source.constants.insert(
      source.constants.end(),
      {{"CHUNK", chunk}, {"HEAD_DIM", unsigned_of(c.head_dim)}, {"N_HEADS", unsigned_of(c.n_heads)}});
  source.files.emplace_back("attention_combine.wgsl");
  return kernels.make(
      "attention_combine", source,
      {reads(work.step), reads(work.rows), reads(work.sums), reads(work.stats), writes(work.attended)},
      unsigned_of(c.n_heads));
}

Result<Op> make_quantize(const Builder& builder) {
  constexpr std::uint32_t workgroup = 64;
  const std::uint32_t columns = unsigned_of(builder.config.q_size());
  ShaderSource source;
  source.constants = {{"COLUMNS", columns}, {"WORKGROUP", workgroup}, {"ROWS_PER_TOKEN", 1}};
  source.files = {"quantize.wgsl", "quantize_rows.wgsl"};
  return builder.kernels.make(
      "quantize_rows", source,
      {reads(builder.work.attended), reads(builder.work.step), writes(builder.work.attended_q8)},
      divide_up(columns / 4, workgroup));
}

}  // namespace

Result<AttentionOps> make_attention(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                    KvType kv_type, double rope_scale) {
  const Workspace& work = builder.work;
  AttentionOps ops;
  TRINE_TRY(ops.norm, make_norm(builder, work.x, m.attn_norm, NormOutput::f32));
  TRINE_TRY(ops.qkv, make_qkv(builder, m));
  TRINE_TRY(ops.qk_norm_rope, make_qk_norm_rope(builder, m, cache, kv_type, rope_scale));
  TRINE_TRY(ops.decode, make_attend(builder, cache, kv_type, true));
  TRINE_TRY(ops.merge_decode, make_merge(builder, work.capacity.decode_chunk));
  if (work.capacity.tile_rows > 0) {
    TRINE_TRY(ops.prefill, make_attend(builder, cache, kv_type, false));
    TRINE_TRY(ops.merge_prefill, make_merge(builder, work.capacity.tile_chunk));
  }
  const bool q8 = builder.reads_q8(m.attn_output);
  if (q8) {
    TRINE_TRY(ops.quantize, make_quantize(builder));
  }
  TRINE_TRY(ops.output, make_projection(builder, {m.attn_output, q8 ? work.attended_q8 : work.attended, q8,
                                                  work.attn_out, m.attn_output.rows, 0, &work.x}));
  return ops;
}

Result<void> attention_forward_layer(Pass& pass, const AttentionOps& ops, int layer) {
  const model::Config& c = pass.config;
  pass.run(ops.norm);
  TRINE_CHECK_OK(pass.report(Stage::attn_norm, layer, pass.work.normed, c.hidden_size));
  pass.run(ops.qkv);
  TRINE_CHECK_OK(pass.report(Stage::qkv, layer, pass.work.qkv, c.q_size() + 2 * c.kv_size()));
  pass.run(ops.qk_norm_rope);
  TRINE_CHECK_OK(pass.report(Stage::qk_norm_rope, layer, pass.work.qk, c.q_size() + c.kv_size()));
  pass.run(pass.decode ? ops.decode : *ops.prefill, pass.n_rows, pass.n_chunks);
  if (pass.n_chunks > 1) pass.run(pass.decode ? ops.merge_decode : ops.merge_prefill);
  TRINE_CHECK_OK(pass.report(Stage::attention, layer, pass.work.attended, c.q_size()));
  if (ops.quantize) pass.run(*ops.quantize);
  pass.run(ops.output);
  return pass.report(Stage::attn_out, layer, pass.work.attn_out, c.hidden_size);
}

}  // namespace trine::wgpu
