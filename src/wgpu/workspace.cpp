#include "wgpu/workspace.h"

#include "wgpu/gemm.h"
#include "wgpu/kv_cache.h"
#include "wgpu/repack.h"
#include "wgpu/slots.h"

#include <algorithm>
#include <vector>

namespace trine::wgpu {
namespace {

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
  const std::uint64_t slots = capacity.slots, vocab = static_cast<std::uint64_t>(c.vocab_size);
  return {
      {&Workspace::step, "step", sizeof(Step)},
      {&Workspace::rows, "rows", n * 16},
      {&Workspace::page_tables, "page tables", slots * capacity.pages * 4},
      {&Workspace::choices, "choices", n * 16},
      {&Workspace::rules, "rules of choosing", slots * sizeof(Rules)},
      {&Workspace::last_choices, "last choices", slots * 4},
      {&Workspace::tallies, "tallies of tokens", slots * 3 * vocab * 4},
      {&Workspace::rings, "tokens that penalties look back on",
       slots * (std::uint64_t{capacity.ring} + 1) * 4},
      {&Workspace::allowed, "masks of allowed tokens", slots * ((vocab + 31) / 32) * 4},
      {&Workspace::unused, "unused", 16},
      {&Workspace::x, "residual stream", floats(c.hidden_size)},
      {&Workspace::attn_out, "attn_out", floats(c.hidden_size)},
      {&Workspace::normed, "normed", floats(c.hidden_size)},
      {&Workspace::normed_q8, "normed q8", n * qkv_terms * q8_row_bytes(c.hidden_size)},
      {&Workspace::qkv, "qkv", floats(c.q_size() + 2 * c.kv_size())},
      {&Workspace::qk, "qk", floats(c.q_size() + c.kv_size())},
      {&Workspace::attended, "attended", floats(c.q_size())},
      {&Workspace::attended_q8, "attended q8", n * q8_row_bytes(c.q_size())},
      {&Workspace::sums, "attention sums", capacity.split_sums * heads * (quads(c) + 1) * 16},
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
      {&Workspace::logits, "logits", std::uint64_t{capacity.logits_rows} * vocab * 4},
      {&Workspace::best, "best logits", std::uint64_t{capacity.logits_rows} * capacity.choose_parts * 8},
  };
}

// Kernels read 16 bytes at a time.
std::uint64_t padded(std::uint64_t bytes) {
  return std::max<std::uint64_t>(16, (bytes + 15) / 16 * 16);
}

// More than top-k usually keeps, so that sample.wgsl need look at few.
std::uint32_t choose_parts(const model::Config& config, const Tuning& tuning) {
  constexpr std::uint32_t least_length = 16;
  return std::clamp(static_cast<std::uint32_t>(config.vocab_size) / least_length, 1u, tuning.choose_parts);
}

}  // namespace

Capacity plan_capacity(const model::Config& config, const Tuning& tuning, const AdapterLimits& limits,
                       std::int32_t positions, std::int32_t slots) {
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
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(logits_that_fit, 1, tuning.logits_rows));

  capacity.choose_parts = choose_parts(config, tuning);

  // Where the splits of long contexts would need too much memory, fewer rows are split.
  capacity.chunk = tuning.attention_chunk;
  capacity.few_chunks = tuning.attention_few_chunks;
  capacity.group_chunks = tuning.attention_group_chunks;
  const std::uint64_t split_bytes = static_cast<std::uint64_t>(config.n_heads) * (quads(config) + 1) * 16;
  const std::uint64_t most_splits =
      std::max<std::uint64_t>(1, std::min(limit, tuning.attention_sum_bytes) / split_bytes);
  const std::uint32_t chunks = divide_up(context, capacity.chunk);
  const std::uint64_t splits =
      std::max(std::min(chunks, capacity.few_chunks), divide_up(chunks, capacity.group_chunks));
  capacity.decode_rows = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
      most_splits / splits, 1, std::min(tuning.attention_decode_rows, capacity.rows)));
  capacity.split_sums = capacity.decode_rows * splits;
  capacity.tiles = most_tiles(config, tuning, capacity.rows);
  // A binding holds every slot's tallies.
  const std::uint64_t slots_that_fit = limit / 12 / static_cast<std::uint64_t>(config.vocab_size);
  capacity.slots = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(slots_that_fit, 1, static_cast<std::uint64_t>(slots)));
  capacity.ring = static_cast<std::uint32_t>(context);
  return capacity;
}

std::uint64_t Workspace::bytes(const model::Config& config, const Capacity& capacity) {
  std::uint64_t sum = 0;
  for (const Sized& one : sizes(config, capacity)) sum += padded(one.bytes);
  return sum;
}

std::uint64_t Workspace::answer_bytes(const model::Config& config, const Capacity& capacity) {
  std::uint64_t sum = 0;
  for (const Sized& one : sizes(config, capacity))
    if (one.buffer == &Workspace::last_choices || one.buffer == &Workspace::logits) sum += padded(one.bytes);
  return sum;
}

Result<Workspace> Workspace::create(Gpu& gpu, const model::Config& config, const Capacity& capacity) {
  Workspace work;
  work.capacity = capacity;
  for (const Sized& one : sizes(config, capacity)) {
    TRINE_TRY(work.*one.buffer, gpu.create_buffer(one.label, padded(one.bytes)));
  }
  return work;
}

}  // namespace trine::wgpu
