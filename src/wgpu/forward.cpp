#include "wgpu/forward.h"

#include "wgpu/gemm.h"
#include "wgpu/repack.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>

namespace trine::wgpu {

using model::Stage;

namespace {

constexpr std::uint32_t few_rows = 512, vocab_rows = 32768;  // of a matrix
constexpr std::uint32_t most_logits_rows = 16;
constexpr std::uint64_t most_sum_bytes = 128ull << 20;

std::uint64_t quads(const model::Config& config) {
  return divide_up(static_cast<std::uint64_t>(config.head_dim), 4);
}

std::uint64_t q8_row_bytes(std::int64_t columns) {
  const std::uint64_t units = static_cast<std::uint64_t>(columns) / unit_columns;
  return 16 * (2 * units + (units + 1) / 2);
}

struct Sized {
  Buffer Workspace::*buffer;
  const char* label;
  std::uint64_t bytes;
};

std::vector<Sized> sizes(const model::Config& c, const Capacity& capacity) {
  const std::uint64_t n = capacity.rows;
  const auto floats = [&](std::int64_t width) { return n * static_cast<std::uint64_t>(width) * 4; };
  const std::uint64_t heads = static_cast<std::uint64_t>(c.n_heads);
  return {
      {&Workspace::step, "step", sizeof(Step)},
      {&Workspace::rows, "rows", n * 16},
      {&Workspace::page_tables, "page tables", n * capacity.pages * 4},
      {&Workspace::unused, "unused", 16},
      {&Workspace::x, "residual stream", floats(c.hidden_size)},
      {&Workspace::attn_out, "attn_out", floats(c.hidden_size)},
      {&Workspace::normed, "normed", floats(c.hidden_size)},
      {&Workspace::normed_q8, "normed q8", n * qkv_terms * q8_row_bytes(c.hidden_size)},
      {&Workspace::qkv, "qkv", floats(c.q_size() + 2 * c.kv_size())},
      {&Workspace::qk, "qk", floats(c.q_size() + c.kv_size())},
      {&Workspace::attended, "attended", floats(c.q_size())},
      {&Workspace::attended_q8, "attended q8", n * q8_row_bytes(c.q_size())},
      {&Workspace::sums, "attention sums", capacity.part_sums * heads * (quads(c) + 1) * 16},
      {&Workspace::router_logits, "router logits", floats(c.n_experts)},
      {&Workspace::ids, "expert ids", floats(c.experts_per_token)},
      {&Workspace::expert_weights, "expert weights", floats(c.experts_per_token)},
      {&Workspace::act, "expert activations", floats(c.experts_per_token * c.expert_ffn_size)},
      {&Workspace::act_f32, "expert activations of many rows",
       floats(c.experts_per_token * c.expert_ffn_size)},
      {&Workspace::groups, "pairs of an expert", static_cast<std::uint64_t>(c.n_experts) * 8},
      {&Workspace::pairs, "pairs", floats(c.experts_per_token)},
      {&Workspace::tiles, "tiles of pairs", std::uint64_t{capacity.tiles} * 16},
      {&Workspace::down, "expert outputs", floats(c.experts_per_token * c.hidden_size)},
      {&Workspace::moe_out, "moe_out", floats(c.hidden_size)},
      {&Workspace::logits, "logits",
       std::uint64_t{capacity.logits_rows} * static_cast<std::uint64_t>(c.vocab_size) * 4},
  };
}

}  // namespace

Capacity plan_capacity(const model::Config& config, const Tuning& tuning, const AdapterLimits& limits,
                       std::int32_t positions) {
  Capacity capacity;
  capacity.pages = divide_up(static_cast<std::uint64_t>(positions), KvCache::page_size);
  const std::uint64_t context = std::uint64_t{capacity.pages} * KvCache::page_size;
  const std::uint64_t limit = limits.max_storage_binding_bytes;

  // Every buffer of a pass fits into a binding.
  const std::int64_t widest = std::max<std::int64_t>(
      {config.q_size() + 2 * config.kv_size(),
       std::int64_t{config.experts_per_token} * std::max(config.expert_ffn_size, config.hidden_size)});
  const std::uint64_t rows_that_fit = limit / 4 / static_cast<std::uint64_t>(widest);
  capacity.rows = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rows_that_fit, 1, tuning.batch_rows));

  const std::uint64_t logits_that_fit = limit / 4 / static_cast<std::uint64_t>(config.vocab_size);
  capacity.logits_rows =
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(logits_that_fit, 1, most_logits_rows));

  // Where the parts of long contexts would need too much memory, fewer rows run by parts.
  capacity.chunk = tuning.attention_chunk;
  capacity.few_chunks = tuning.attention_few_chunks;
  capacity.group_chunks = tuning.attention_group_chunks;
  const std::uint64_t part_bytes = static_cast<std::uint64_t>(config.n_heads) * (quads(config) + 1) * 16;
  const std::uint64_t most_parts = std::max<std::uint64_t>(1, std::min(limit, most_sum_bytes) / part_bytes);
  const std::uint32_t chunks = divide_up(context, capacity.chunk);
  const std::uint64_t parts =
      std::max(std::min(chunks, capacity.few_chunks), divide_up(chunks, capacity.group_chunks));
  capacity.decode_rows = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
      most_parts / parts, 1, std::min(tuning.attention_decode_rows, capacity.rows)));
  capacity.part_sums = capacity.decode_rows * parts;
  capacity.tiles = most_tiles(config, tuning, capacity.rows);
  return capacity;
}

std::uint64_t Workspace::bytes(const model::Config& config, const Capacity& capacity) {
  std::uint64_t sum = 0;
  for (const Sized& one : sizes(config, capacity)) sum += one.bytes;
  return sum;
}

Result<Workspace> Workspace::create(Gpu& gpu, const model::Config& config, const Capacity& capacity) {
  Workspace work;
  work.capacity = capacity;
  for (const Sized& one : sizes(config, capacity)) {
    // Kernels read 16 bytes at a time.
    const std::uint64_t rounded = std::max<std::uint64_t>(16, (one.bytes + 15) / 16 * 16);
    TRINE_TRY(work.*one.buffer, gpu.create_buffer(one.label, rounded));
  }
  TRINE_TRY(work.logits_read, gpu.create_readback("logits", work.logits.bytes()));
  return work;
}

bool Builder::reads_q8(const Matrix& matrix) const {
  return numerics == model::Numerics::fast && has_integer_dot(matrix.type);
}

std::string quant_file(const Matrix& matrix, std::string_view as) {
  const std::string_view library = quant_library(matrix.type);
  return as.empty() ? std::string(library) : fmt::format("{} as {}", library, as);
}

// As matvec_tile.wgsl says.
bool matvec_fits(const Kernels& kernels, const Tile& tile, std::uint32_t tokens) {
  return tokens == 1 ||
         4 * tile.workgroup * (tile.rows * tokens + 1) <= kernels.gpu().limits().max_workgroup_bytes;
}

ShaderSource matvec_source(const Tile& tile, std::uint32_t tokens, std::uint32_t terms,
                           std::uint32_t columns) {
  ShaderSource source;
  source.constants = {{"WORKGROUP", tile.workgroup},
                      {"TEAM", tile.team},
                      {"ROWS", tile.rows},
                      {"TOKENS", tokens},
                      {"TERMS", terms},
                      {"COLUMNS", columns}};
  return source;
}

void append_numerics(ShaderSource& source, bool reads_q8) {
  source.files.emplace_back("quant_common.wgsl");
  source.files.emplace_back(reads_q8 ? "numerics_fast.wgsl" : "numerics_exact.wgsl");
  if (reads_q8) source.files.emplace_back("activations_q8.wgsl");
}

Result<std::vector<Op>> make_projection(const Builder& builder, const Projection& p) {
  Kernels& kernels = builder.kernels;
  std::vector<Op> ops;
  for (const MatrixPart& part : p.matrix.parts) {
    TRINE_TRY(const Bound params, kernels.params({part.count, p.y_stride, p.y_first + part.first}));
    const std::vector<Bound> bound = {params,
                                      reads(p.x),
                                      reads(part.buffer),
                                      reads(builder.work.step),
                                      reads(p.residual != nullptr ? *p.residual : builder.work.unused),
                                      writes(p.y)};
    Op op;
    op.label = p.label;
    for (const std::uint32_t tokens : kernels.tuning().tokens) {
      const Tile& tile = tokens > 1                    ? kernels.tuning().matvec_many
                         : p.matrix.rows <= few_rows   ? kernels.tuning().matvec_few_rows
                         : p.matrix.rows >= vocab_rows ? kernels.tuning().matvec_vocab_rows
                                                       : kernels.tuning().matvec;
      if (!matvec_fits(kernels, tile, tokens)) continue;
      ShaderSource source = matvec_source(tile, tokens, p.terms, p.matrix.columns);
      source.flags = {{"RESIDUAL", p.residual != nullptr}, {"LOGITS", p.logits}};
      append_numerics(source, p.reads_q8);
      source.files.insert(source.files.end(),
                          {quant_file(p.matrix), "matvec_tile.wgsl", "matvec_multiply.wgsl", "matvec.wgsl"});
      TRINE_TRY(const Pipeline* pipeline, kernels.compile("matvec", source, bound));
      const std::uint32_t tiles = divide_up(part.count, tile.matrix_rows());
      const std::uint32_t x = std::min(tiles, kernels.gpu().limits().max_workgroups_per_dimension);
      op.variants.push_back({pipeline, tokens, x, divide_up(tiles, x)});
    }
    TRINE_CHECK_OK(kernels.bind(op, bound));
    ops.push_back(std::move(op));
  }
  return ops;
}

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
  Kernels& kernels = builder.kernels;
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

void Pass::run(const Op& op, std::uint32_t rows, std::uint32_t parts) {
  const std::uint32_t work_rows = rows * op.slots;
  auto variant = std::find_if(op.variants.begin(), op.variants.end(),
                              [&](const Op::Variant& v) { return v.rows_per_group >= work_rows; });
  if (variant == op.variants.end()) --variant;
  commands.dispatch({variant->pipeline, &op.bindings, variant->x,
                     divide_up(work_rows, variant->rows_per_group), variant->z * parts, op.label});
}

Result<Submission> Pass::submit() {
  Commands recorded = std::exchange(commands, gpu.record());
  return gpu.submit(std::move(recorded));
}

Result<void> Pass::set_logits_slice(std::uint32_t first, std::uint32_t count) {
  TRINE_TRY(const Submission submission, submit());
  static_cast<void>(submission);
  Step step;
  step.n_rows = n_rows;
  step.n_logits = count;
  step.n_parts = n_parts;
  step.first_logits = first;
  return gpu.write(work.step, 0, std::as_bytes(std::span(&step, 1)));
}

Result<void> Pass::read(const Buffer& buffer, std::span<std::uint32_t> into) {
  TRINE_TRY(const Submission submission, submit());
  TRINE_CHECK_OK(gpu.wait(submission, submission_patience));
  return gpu.read(buffer, 0, std::as_writable_bytes(into));
}

Result<void> Pass::report(Stage stage, int layer, const Buffer& buffer, std::int64_t width) {
  if (!wants(stage, layer)) return {};
  std::vector<std::uint32_t> words(n_rows * static_cast<std::size_t>(width));
  TRINE_CHECK_OK(read(buffer, words));
  std::vector<float> values(words.size());
  std::transform(words.begin(), words.end(), values.begin(),
                 [](std::uint32_t word) { return std::bit_cast<float>(word); });
  trace->take(stage, layer, 0, n_rows, width, values);
  return {};
}

}  // namespace trine::wgpu
