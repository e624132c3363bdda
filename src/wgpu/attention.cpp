#include "wgpu/attention.h"

#include "wgpu/gemm.h"
#include "wgpu/matvec.h"
#include "wgpu/norm.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>

namespace trine::wgpu {

using model::Stage;

namespace {

std::uint32_t unsigned_of(std::int32_t value) {
  return static_cast<std::uint32_t>(value);
}

std::uint32_t qkv_width(const model::Config& config) {
  return unsigned_of(config.q_size() + 2 * config.kv_size());
}

// Whether all three matrices read 8-bit blocks: they share their activations.
bool qkv_reads_q8(const Builder& builder, const LayerMatrices& m) {
  return builder.reads_q8(m.attn_q) && builder.reads_q8(m.attn_k) && builder.reads_q8(m.attn_v);
}

const Buffer& qkv_input(const Builder& builder, bool q8) {
  return q8 ? builder.work.normed_q8 : builder.work.normed;
}

bool is_whole(const LayerMatrices& m) {
  return m.attn_q.parts.size() == 1 && m.attn_k.parts.size() == 1 && m.attn_v.parts.size() == 1;
}

Result<Op> make_fused_qkv(const Builder& builder, const LayerMatrices& m) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const bool q8 = qkv_reads_q8(builder, m);
  TRINE_TRY(const Bound params, kernels.params({m.attn_q.rows, m.attn_k.rows, m.attn_v.rows}));
  const std::vector<Bound> bound = {params,
                                    reads(qkv_input(builder, q8)),
                                    reads(m.attn_q.parts[0].buffer),
                                    reads(m.attn_k.parts[0].buffer),
                                    reads(m.attn_v.parts[0].buffer),
                                    reads(work.step),
                                    writes(work.qkv)};
  Op op;
  op.label = "qkv";
  for (const std::uint32_t tokens : kernels.tuning().matvec_tokens) {
    const Tile& tile = tokens == 1 ? kernels.tuning().matvec : kernels.tuning().matvec_many;
    if (!matvec_fits(kernels, tile, tokens)) continue;
    ShaderSource source = matvec_source(tile, tokens, q8 ? qkv_terms : 1, m.attn_q.columns);
    append_numerics(source, q8);
    source.files.insert(source.files.end(),
                        {"matvec_tile.wgsl", quant_file(m.attn_q, "wq"), "matvec_multiply.wgsl as wq",
                         quant_file(m.attn_k, "wk"), "matvec_multiply.wgsl as wk", quant_file(m.attn_v, "wv"),
                         "matvec_multiply.wgsl as wv", "qkv.wgsl"});
    TRINE_TRY(const Pipeline* pipeline, kernels.compile("qkv", source, bound));
    std::uint32_t tiles = 0;
    for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v})
      tiles += divide_up(matrix->rows, tile.matrix_rows());
    op.variants.push_back({pipeline, tokens, tiles, 1});
  }
  TRINE_CHECK_OK(kernels.bind(op, bound));
  return op;
}

// Norm and projections in one, for rows that read 8-bit blocks. Nothing where they do not, or the device has
// too little workgroup memory for it.
Result<std::optional<Op>> make_norm_qkv(const Builder& builder, const LayerMatrices& m) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const Tile& tile = kernels.tuning().norm_qkv;
  const std::uint32_t workgroup = norm_workgroup(builder, tile);
  // As activations_kept.wgsl, matvec_tile.wgsl, reduce_* and blocks_* say.
  const std::uint32_t bytes = qkv_terms * 40 * divide_up(m.attn_q.columns, 32) +
                              4 * (workgroup * (tile.rows + 1) + norm_lanes(builder) + workgroup);
  const AdapterLimits& limits = kernels.gpu().limits();
  constexpr std::uint32_t buffers = 7;
  if (!qkv_reads_q8(builder, m) || !is_whole(m) || bytes > limits.max_workgroup_bytes ||
      buffers > limits.max_storage_buffers) {
    return std::nullopt;
  }

  ShaderSource source = norm_source(builder, NormOutput::f32_and_q8_terms, workgroup);
  source.constants.insert(source.constants.end(), {{"TEAM", tile.team}, {"ROWS", tile.rows}, {"TOKENS", 1}});
  source.files.insert(source.files.end(),
                      {"quant_common.wgsl", "numerics_fast.wgsl", "activations_kept.wgsl", "matvec_tile.wgsl",
                       quant_file(m.attn_q, "wq"), "matvec_multiply.wgsl as wq", quant_file(m.attn_k, "wk"),
                       "matvec_multiply.wgsl as wk", quant_file(m.attn_v, "wv"), "matvec_multiply.wgsl as wv",
                       "norm_row.wgsl", "norm_qkv.wgsl"});
  TRINE_TRY(const Bound params, kernels.params({std::bit_cast<std::uint32_t>(builder.config.rms_norm_eps),
                                                m.attn_q.rows, m.attn_k.rows, m.attn_v.rows}));
  const std::uint32_t tile_rows = workgroup / tile.team * tile.rows;
  std::uint32_t tiles = 0;
  for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v}) tiles += divide_up(matrix->rows, tile_rows);
  TRINE_TRY(Op op, kernels.make("norm_qkv", source,
                                {params, reads(work.x), reads(m.attn_q.parts[0].buffer),
                                 reads(m.attn_k.parts[0].buffer), reads(m.attn_v.parts[0].buffer),
                                 reads(m.attn_norm), writes(work.normed), writes(work.qkv)},
                                1 + tiles));
  return op;
}

// `many`: for batches of many rows.
Result<std::vector<Op>> make_qkv(const Builder& builder, const LayerMatrices& m, bool many) {
  const bool q8 = qkv_reads_q8(builder, m);
  std::vector<Op> ops;
  if (is_whole(m)) {
    TRINE_TRY(Op op,
              many ? make_gemm_qkv(builder, m, qkv_input(builder, q8), q8) : make_fused_qkv(builder, m));
    ops.push_back(std::move(op));
    return ops;
  }
  std::uint32_t first = 0;
  for (const Matrix* matrix : {&m.attn_q, &m.attn_k, &m.attn_v}) {
    Projection projection = {
        "qkv", *matrix, qkv_input(builder, q8), q8, builder.work.qkv, qkv_width(builder.config), first};
    projection.terms = q8 ? qkv_terms : 1;
    TRINE_TRY(std::vector<Op> parts, many ? make_gemm(builder, projection, builder.kernels.tuning().gemm_qkv)
                                          : make_projection(builder, projection));
    std::move(parts.begin(), parts.end(), std::back_inserter(ops));
    first += matrix->rows;
  }
  return ops;
}

Result<Bound> rotary_params(const Builder& builder, double rope_scale) {
  const model::Config& c = builder.config;
  return builder.kernels.params(
      {std::bit_cast<std::uint32_t>(1.0f / std::sqrt(static_cast<float>(c.head_dim))),
       builder.work.capacity.pages, std::bit_cast<std::uint32_t>(c.rms_norm_eps),
       std::bit_cast<std::uint32_t>(static_cast<float>(rope_scale))});
}

Result<Op> make_qk_norm_rope(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                             KvType kv_type, double rope_scale) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  ShaderSource source;
  source.constants = {
      {"WORKGROUP", kernels.workgroup_for(unsigned_of(c.head_dim / 2), kernels.tuning().rope_workgroup)},
      {"HEAD_DIM", unsigned_of(c.head_dim)},
      {"N_HEADS", unsigned_of(c.n_heads)},
      {"N_KV_HEADS", unsigned_of(c.n_kv_heads)},
      {"LOCAL_HEADS", 1}};
  source.flags = {{"KV_F16", kv_type == KvType::f16}};
  source.files = {"head_rope.wgsl", "kv_write.wgsl", "qk_norm_rope.wgsl"};
  TRINE_TRY(const Bound params, rotary_params(builder, rope_scale));
  return kernels.make("qk_norm_rope", source,
                      {params, reads(work.step), reads(work.rows), reads(work.page_tables), reads(work.qkv),
                       reads(m.head_constants), writes(work.qk), writes(cache)},
                      unsigned_of(c.n_heads + c.n_kv_heads));
}

// Whether what W_o reads comes from the attention kernels as 8-bit blocks, which then lie within heads.
bool attention_quantizes(const Builder& builder, const LayerMatrices& m) {
  return builder.reads_q8(m.attn_output) && builder.config.head_dim % 32 == 0;
}

// How attention takes its query heads.
struct QueryHeads {
  std::uint32_t of_kv;  // heads that share a key head
  std::uint32_t heads;  // of them in a workgroup
};

QueryHeads query_heads(const Builder& builder) {
  const model::Config& c = builder.config;
  const std::uint32_t of_kv = unsigned_of(c.n_heads / c.n_kv_heads);
  const std::uint32_t vectors = builder.kernels.tuning().attention_head_vectors;
  return {of_kv, 4 * std::min(vectors, divide_up(of_kv, 4))};
}

// How attention.wgsl is cut, with the workgroup memory that it and blocks_* take.
struct AttentionTile {
  std::uint32_t workgroup;
  std::uint32_t bytes;
};

AttentionTile attention_tile(const Builder& builder, std::uint32_t workgroup) {
  const std::uint32_t quads = divide_up(unsigned_of(builder.config.head_dim), 4);
  const std::uint32_t vectors = query_heads(builder).heads / 4, chunk = builder.work.capacity.chunk;
  workgroup = std::max(workgroup, builder.kernels.workgroup_for(vectors * std::max(quads, chunk / 4), 1024));
  return {workgroup, 64 * workgroup + 16 * vectors * (chunk + 32 + 4 * quads) + 4 * workgroup};
}

// The tuned one, or a smaller one where the device has too little workgroup memory for it. It decides bits,
// so that every form of attention takes the same.
AttentionTile attention_tile(const Builder& builder) {
  std::uint32_t workgroup = builder.kernels.tuning().attention_workgroup;
  const std::uint32_t limit = builder.kernels.gpu().limits().max_workgroup_bytes;
  while (workgroup > 32 && attention_tile(builder, workgroup).bytes > limit) workgroup /= 2;
  return attention_tile(builder, workgroup);
}

Result<void> check_attention_fits(const Builder& builder) {
  const std::uint32_t bytes = attention_tile(builder).bytes;
  const std::uint32_t limit = builder.kernels.gpu().limits().max_workgroup_bytes;
  if (bytes <= limit) return {};
  return fail({.code = ErrorCode::model_load,
               .what = "attention of this model needs more workgroup memory than the device has",
               .where = builder.kernels.gpu().adapter().name,
               .expected = fmt::format("at most {} bytes", limit),
               .actual = fmt::format("{} bytes for heads of {} dimensions", bytes, builder.config.head_dim),
               .hint = "Use --backend cpu"});
}

ShaderSource attend_source(const Builder& builder, const LayerMatrices& m, KvType kv_type,
                           std::uint32_t chunks_each) {
  const model::Config& c = builder.config;
  ShaderSource source;
  source.constants = {{"WORKGROUP", attention_tile(builder).workgroup},
                      {"CHUNK", builder.work.capacity.chunk},
                      {"CHUNKS_EACH", chunks_each},
                      {"GROUP_CHUNKS", builder.work.capacity.group_chunks},
                      {"HEAD_DIM", unsigned_of(c.head_dim)},
                      {"N_HEADS", unsigned_of(c.n_heads)},
                      {"N_KV_HEADS", unsigned_of(c.n_kv_heads)}};
  source.flags = {{"KV_F16", kv_type == KvType::f16}, {"QUANTIZE", attention_quantizes(builder, m)}};
  source.files = builder.kernels.quantize_files();
  source.files.insert(source.files.end(), {"store_block.wgsl", "attention_merge.wgsl"});
  return source;
}

std::uint32_t attend_workgroups(const Builder& builder) {
  return unsigned_of(builder.config.n_kv_heads) *
         divide_up(query_heads(builder).of_kv, query_heads(builder).heads);
}

Result<Op> make_attend(const Builder& builder, const LayerMatrices& m, const Buffer& cache, KvType kv_type,
                       double rope_scale, std::uint32_t chunks_each) {
  const Workspace& work = builder.work;
  ShaderSource source = attend_source(builder, m, kv_type, chunks_each);
  source.files.insert(source.files.end(), {"attention_queries.wgsl", "attention.wgsl"});
  TRINE_TRY(const Bound params, rotary_params(builder, rope_scale));
  return builder.kernels.make(
      "attention", source,
      {params, reads(work.step), reads(work.rows), reads(work.page_tables), reads(work.qk), reads(cache),
       writes(work.attended), writes(work.sums), writes(work.attended_q8)},
      attend_workgroups(builder));
}

// Nothing where the device has too little workgroup memory for it, or binds too few buffers.
Result<std::optional<Op>> make_rotate_attend(const Builder& builder, const LayerMatrices& m,
                                             const Buffer& cache, KvType kv_type, double rope_scale) {
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  const AdapterLimits& limits = builder.kernels.gpu().limits();
  const std::uint32_t heads = query_heads(builder).heads, dims = unsigned_of(c.head_dim);
  // As head_rope.wgsl and kv_write.wgsl say.
  const std::uint32_t bytes = attention_tile(builder).bytes + 4 * (heads + 1) * (dims + 16) + 8 * dims;
  constexpr std::uint32_t buffers = 10;
  if (bytes > limits.max_workgroup_bytes || buffers > limits.max_storage_buffers) return std::nullopt;

  ShaderSource source = attend_source(builder, m, kv_type, 1);
  source.constants.emplace_back("LOCAL_HEADS", heads + 1);
  source.files.insert(source.files.end(),
                      {"head_rope.wgsl", "kv_write.wgsl", "attention_rotate.wgsl", "attention.wgsl"});
  TRINE_TRY(const Bound params, rotary_params(builder, rope_scale));
  TRINE_TRY(Op op,
            builder.kernels.make("rotate_attention", source,
                                 {params, reads(work.step), reads(work.rows), reads(work.page_tables),
                                  reads(work.qkv), writes(cache), writes(work.attended), writes(work.sums),
                                  writes(work.attended_q8), reads(m.head_constants), writes(work.qk)},
                                 attend_workgroups(builder)));
  return op;
}

Result<Op> make_combine(const Builder& builder, const LayerMatrices& m, std::uint32_t chunks_each) {
  const Workspace& work = builder.work;
  const model::Config& c = builder.config;
  const Tuning& tuning = builder.kernels.tuning();
  const std::uint32_t quads = divide_up(static_cast<std::uint32_t>(c.head_dim), 4);
  const std::uint32_t workgroup =
      builder.kernels.workgroup_for(tuning.combine_lanes * quads, std::max(tuning.combine_workgroup, quads));
  const std::uint32_t tile = builder.kernels.gpu().limits().max_workgroup_bytes / 4 * 3 / (16 * (quads + 1));
  ShaderSource source;
  source.constants = {{"WORKGROUP", workgroup},
                      {"TILE", std::clamp(tile, 1u, tuning.combine_tile)},
                      {"CHUNK", work.capacity.chunk},
                      {"CHUNKS_EACH", chunks_each},
                      {"GROUP_CHUNKS", work.capacity.group_chunks},
                      {"HEAD_DIM", unsigned_of(c.head_dim)},
                      {"N_HEADS", unsigned_of(c.n_heads)}};
  source.flags = {{"QUANTIZE", attention_quantizes(builder, m)}};
  source.files = builder.kernels.quantize_files();
  source.files.insert(source.files.end(),
                      {"store_block.wgsl", "attention_merge.wgsl", "attention_combine.wgsl"});
  return builder.kernels.make(
      "attention_combine", source,
      {reads(work.step), reads(work.rows), reads(work.sums), writes(work.attended), writes(work.attended_q8)},
      unsigned_of(c.n_heads));
}

Result<Op> make_quantize(const Builder& builder) {
  const std::uint32_t workgroup = builder.kernels.tuning().row_workgroup;
  const std::uint32_t columns = unsigned_of(builder.config.q_size());
  ShaderSource source;
  source.constants = {{"COLUMNS", columns}, {"WORKGROUP", workgroup}, {"ROWS_PER_TOKEN", 1}};
  source.files = builder.kernels.quantize_files();
  source.files.insert(source.files.end(), {"store_block.wgsl", "quantize_rows.wgsl"});
  return builder.kernels.make(
      "quantize_rows", source,
      {reads(builder.work.attended), reads(builder.work.step), writes(builder.work.attended_q8)},
      divide_up(columns / 4, workgroup));
}

// attn_out = x + W_o · attended
Projection output_projection(const Builder& builder, const LayerMatrices& m) {
  const Workspace& work = builder.work;
  const bool q8 = builder.reads_q8(m.attn_output);
  return {"attn_output",
          m.attn_output,
          q8 ? work.attended_q8 : work.attended,
          q8,
          work.attn_out,
          m.attn_output.rows,
          0,
          &work.x};
}

}  // namespace

Result<AttentionOps> make_attention(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                    KvType kv_type, double rope_scale) {
  TRINE_CHECK_OK(check_attention_fits(builder));
  AttentionOps ops;
  TRINE_TRY(ops.norm, make_norm(builder, builder.work.x, m.attn_norm,
                                qkv_reads_q8(builder, m) ? NormOutput::f32_and_q8_terms : NormOutput::f32));
  TRINE_TRY(ops.qkv, make_qkv(builder, m, false));
  TRINE_TRY(ops.norm_qkv, make_norm_qkv(builder, m));
  TRINE_TRY(ops.qk_norm_rope, make_qk_norm_rope(builder, m, cache, kv_type, rope_scale));
  const std::uint32_t group = builder.work.capacity.group_chunks;
  TRINE_TRY(ops.attend, make_attend(builder, m, cache, kv_type, rope_scale, 1));
  TRINE_TRY(ops.attend_groups, make_attend(builder, m, cache, kv_type, rope_scale, group));
  TRINE_TRY(ops.rotate_attend, make_rotate_attend(builder, m, cache, kv_type, rope_scale));
  TRINE_TRY(ops.combine, make_combine(builder, m, 1));
  TRINE_TRY(ops.combine_groups, make_combine(builder, m, group));
  if (builder.reads_q8(m.attn_output) && !attention_quantizes(builder, m)) {
    TRINE_TRY(ops.quantize, make_quantize(builder));
  }
  TRINE_TRY(ops.output, make_projection(builder, output_projection(builder, m)));
  return ops;
}

Result<void> add_attention_of_many(const Builder& builder, const LayerMatrices& m, const Buffer& cache,
                                   KvType kv_type, double rope_scale, AttentionOps& ops) {
  TRINE_TRY(ops.many_qkv, make_qkv(builder, m, true));
  TRINE_TRY(ops.many_attend, make_attend(builder, m, cache, kv_type, rope_scale, 0));
  TRINE_TRY(ops.many_output,
            make_gemm(builder, output_projection(builder, m), builder.kernels.tuning().gemm_output));
  return {};
}

Result<void> attention_forward_layer(Pass& pass, const AttentionOps& ops, int layer) {
  const model::Config& c = pass.config;
  if (ops.norm_qkv && pass.n_rows == 1) {
    pass.run(*ops.norm_qkv);
    TRINE_CHECK_OK(pass.report(Stage::attn_norm, layer, pass.work.normed, c.hidden_size));
  } else {
    pass.run(ops.norm);
    TRINE_CHECK_OK(pass.report(Stage::attn_norm, layer, pass.work.normed, c.hidden_size));
    pass.run(pass.many ? ops.many_qkv : ops.qkv);
  }
  TRINE_CHECK_OK(pass.report(Stage::qkv, layer, pass.work.qkv, c.q_size() + 2 * c.kv_size()));
  const bool rotates = ops.rotate_attend && pass.one_each && !pass.many && !pass.grouped;
  if (rotates) {
    pass.run(*ops.rotate_attend, pass.n_rows, pass.n_splits);
  } else {
    pass.run(ops.qk_norm_rope);
  }
  TRINE_CHECK_OK(pass.report(Stage::qk_norm_rope, layer, pass.work.qk, c.q_size() + c.kv_size()));
  if (!rotates) {
    const Op& attend = pass.many ? ops.many_attend : pass.grouped ? ops.attend_groups : ops.attend;
    pass.run(attend, pass.n_rows, pass.n_splits);
  }
  if (pass.n_splits > 1) pass.run(pass.grouped ? ops.combine_groups : ops.combine);
  TRINE_CHECK_OK(pass.report(Stage::attention, layer, pass.work.attended, c.q_size()));
  if (ops.quantize) pass.run(*ops.quantize);
  pass.run(pass.many ? ops.many_output : ops.output);
  return pass.report(Stage::attn_out, layer, pass.work.attn_out, c.hidden_size);
}

}  // namespace trine::wgpu
