// Causal attention over the paged cache. A row of position p sees positions 0 … p, in chunks: each chunk has its own
// softmax. Chunks are merged one after another to groups, and groups one after another to the row (attention_merge.wgsl),
// which makes the result of a row the same to the bit in every form of this kernel. A workgroup takes one token row, up
// to 8 query heads that share a key head, and CHUNKS_EACH chunks: one for decoding in short contexts, a group in long
// ones, and attention_combine.wgsl merges what they leave; or 0, which is all of them: for prefill, whose many rows fill
// the device.
//
// T rows, D head_dim, Q n_heads·D, K n_kv_heads·D, C step.n_splits. out [T][Q]; where CHUNKS_EACH chunks are not all: sums
// [T][n_heads][C][DP/4 + 1], the weighted values of each workgroup, not divided, then (largest score, sum of weights, 0,
// 0). cache: see kv_write.wgsl. Positions that were never written are not used.
// Files before it: blocks_*, quantize, store_block, attention_merge, and attention_queries, which takes the queries from memory, or
// attention_rotate, which makes them and writes the cache.
// Constants: WORKGROUP (at least 32, V · DP / 4 and V · CHUNK / 4), CHUNK (a multiple of 64), HEAD_DIM (even), N_HEADS, N_KV_HEADS,
// CHUNKS_EACH, GROUP_CHUNKS, KV_F16 (bool), QUANTIZE (bool): the result as 8-bit blocks too; D is then a multiple of 32.
// Workgroup memory, in bytes, with V = 1 for at most 4 heads a key head, else 2: at most 64 · WORKGROUP + 16 · V ·
// (CHUNK + 32), and 16 · V · DP more where CHUNKS_EACH is not 1.
// Grid: (n_kv_heads · ceil(heads a key head / 4V), rows, C, or 1 for all chunks).
struct Params {
  scale: f32,       // 1 / √D
  max_pages: u32,   // of a sequence, in page_tables
  eps: f32,         // for attention_rotate.wgsl, as rope_scale
  rope_scale: f32,  // multiplies cos and sin (YaRN)
}
struct Step { n_rows: u32, n_logits: u32, n_splits: u32, unused: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, slot, flags
@group(0) @binding(3) var<storage, read> page_tables: array<u32>;  // [slot][max_pages]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> quantized: array<u32>;  // without QUANTIZE any other writable buffer

const PAGE = 64u;
const QUADS = (HEAD_DIM + 3u) / 4u;
const HEADS_PER_KV = N_HEADS / N_KV_HEADS;
const V = min(2u, (HEADS_PER_KV + 3u) / 4u);  // vectors of 4 query heads
const HEADS = 4u * V;
const SLICES = (HEADS_PER_KV + HEADS - 1u) / HEADS;
const PAGES = CHUNK / PAGE;
const STRIPES = 16u;  // of the chunk, for its maximum and sum
// Scores: a lane has 4 positions, a quarter of the chunk apart, 4 heads and every SHARES-th quad of dimensions.
const POSITION_LANES = CHUNK / 4u;
const SHARES = WORKGROUP / (POSITION_LANES * V);
// Values: a lane has 4 dimensions, 4 heads and every GROUPS-th position.
const VALUE_LANES = QUADS * V;
const GROUPS = WORKGROUP / VALUE_LANES;
// Results: of a head 4 dimensions.
const RESULTS = HEADS * QUADS;
const RESULTS_EACH = (RESULTS + WORKGROUP - 1u) / WORKGROUP;
// Loads go ahead of their use: the memory's latency is most of a chunk's time.
const QUADS_AHEAD = 2u;   // of four keys
const VALUES_AHEAD = 8u;  // positions

// A workgroup with several chunks keeps its queries; one with a single chunk has them in scratch.
const KEEPS_QUERIES = CHUNKS_EACH != 1u;

var<workgroup> kept_queries: array<vec4<f32>, select(1u, 4u * QUADS * V, KEEPS_QUERIES)>;  // [dimension][vector]
// The queries, then the scores' partial sums as [share][vector][position], then the values' as [group][head][quad].
var<workgroup> scratch: array<vec4<f32>, max(GROUPS * RESULTS, SHARES * V * CHUNK)>;
var<workgroup> scores: array<vec4<f32>, V * CHUNK>;  // [vector][position], then their weights
var<workgroup> largest: array<vec4<f32>, V * STRIPES>;
var<workgroup> weight_sums: array<vec4<f32>, V * STRIPES>;

// Four elements of the cache as they lie there, and as numbers.
fn fetch_quad(quad: u32) -> vec4<u32> {
  if (KV_F16) {
    return vec4(cache[quad], 0u, 0u);
  }
  return vec4(cache[2u * quad], cache[2u * quad + 1u]);
}

fn quad_of(bits: vec4<u32>) -> vec4<f32> {
  if (KV_F16) {
    return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return bitcast<vec4<f32>>(bits);
}

fn query(i: u32) -> vec4<f32> {
  if (KEEPS_QUERIES) {
    return kept_queries[i];
  }
  return scratch[i];
}

// sum + key · queries of four dimensions, for four heads.
fn add_products(key: vec4<f32>, queries: mat4x4<f32>, sum: vec4<f32>) -> vec4<f32> {
  return fma(vec4(key.w), queries[3],
             fma(vec4(key.z), queries[2], fma(vec4(key.y), queries[1], fma(vec4(key.x), queries[0], sum))));
}

// A lane's share of its scores, to scratch. Positions that are not there weigh nothing; the last one is read in their
// place.
fn multiply_keys(pages: array<u32, PAGES>, count: u32, lane: u32) {
  let position_lane = lane % POSITION_LANES;
  let v = lane / POSITION_LANES % V;
  let share = lane / (POSITION_LANES * V);
  var keys: array<u32, 4>;
  for (var r = 0u; r < 4u; r++) {
    let at = min(position_lane + r * POSITION_LANES, count - 1u);
    keys[r] = pages[at / PAGE] + at % PAGE;
  }
  var a = vec4<f32>();
  var b = vec4<f32>();
  var c = vec4<f32>();
  var d = vec4<f32>();
  for (var first = share; first < QUADS; first += SHARES * QUADS_AHEAD) {
    var fetched: array<vec4<u32>, 4u * QUADS_AHEAD>;
    for (var i = 0u; i < 4u * QUADS_AHEAD; i++) {
      fetched[i] = fetch_quad(keys[i % 4u] + min(first + i / 4u * SHARES, QUADS - 1u) * PAGE);
    }
    for (var i = 0u; i < QUADS_AHEAD; i++) {
      let quad = first + i * SHARES;
      if (quad < QUADS) {
        let at = 4u * quad * V + v;
        let queries = mat4x4(query(at), query(at + V), query(at + 2u * V), query(at + 3u * V));
        a = add_products(quad_of(fetched[4u * i]), queries, a);
        b = add_products(quad_of(fetched[4u * i + 1u]), queries, b);
        c = add_products(quad_of(fetched[4u * i + 2u]), queries, c);
        d = add_products(quad_of(fetched[4u * i + 3u]), queries, d);
      }
    }
  }
  if (!KEEPS_QUERIES) {
    workgroupBarrier();  // the queries are in use up to here
  }
  if (share < SHARES) {
    let at = (share * V + v) * CHUNK + position_lane;
    scratch[at] = a;
    scratch[at + POSITION_LANES] = b;
    scratch[at + 2u * POSITION_LANES] = c;
    scratch[at + 3u * POSITION_LANES] = d;
  }
}

// Softmax of the scores within the chunk, without the division: weights in their place, their sums by stripes.
fn weigh(count: u32, lane: u32) {
  let first = lane / STRIPES * CHUNK + lane % STRIPES;
  if (lane < V * STRIPES) {
    var most = vec4(-1e30);
    for (var i = 0u; i < CHUNK; i += STRIPES) {
      most = max(most, scores[first + i]);
    }
    largest[lane] = most;
  }
  workgroupBarrier();
  for (var s = lane; s < V * CHUNK; s += WORKGROUP) {
    scores[s] = select(vec4(0.0), exp(scores[s] - largest_of(s / CHUNK)), s % CHUNK < count);
  }
  workgroupBarrier();
  if (lane < V * STRIPES) {
    var sum = vec4<f32>();
    for (var i = 0u; i < CHUNK; i += STRIPES) {
      sum += scores[first + i];
    }
    weight_sums[lane] = sum;
  }
}

fn largest_of(v: u32) -> vec4<f32> {
  var most = largest[v * STRIPES];
  for (var i = 1u; i < STRIPES; i++) {
    most = max(most, largest[v * STRIPES + i]);
  }
  return most;
}

// The weighted values of a lane's positions, heads and dimensions, to scratch as [group][head][quad].
fn add_values(pages: array<u32, PAGES>, count: u32, lane: u32) {
  let group = lane / VALUE_LANES;
  let v = lane % VALUE_LANES / QUADS;
  let quad = lane % QUADS;
  if (group >= GROUPS) {
    return;
  }
  var a = vec4<f32>();
  var b = vec4<f32>();
  var c = vec4<f32>();
  var d = vec4<f32>();
  for (var first = group; first < count; first += GROUPS * VALUES_AHEAD) {
    var fetched: array<vec4<u32>, VALUES_AHEAD>;
    for (var i = 0u; i < VALUES_AHEAD; i++) {
      let at = min(first + i * GROUPS, count - 1u);
      fetched[i] = fetch_quad(pages[at / PAGE] + (PAGE + at % PAGE) * QUADS + quad);
    }
    for (var i = 0u; i < VALUES_AHEAD; i++) {
      let at = first + i * GROUPS;
      if (at < count) {
        let value = quad_of(fetched[i]);
        let weight = scores[v * CHUNK + at];
        a = fma(vec4(weight.x), value, a);
        b = fma(vec4(weight.y), value, b);
        c = fma(vec4(weight.z), value, c);
        d = fma(vec4(weight.w), value, d);
      }
    }
  }
  let at = (group * HEADS + 4u * v) * QUADS + quad;
  scratch[at] = a;
  scratch[at + QUADS] = b;
  scratch[at + 2u * QUADS] = c;
  scratch[at + 3u * QUADS] = d;
}

// One chunk of a row, merged into what came before it: a lane's results, those of every WORKGROUP-th (head, quad).
fn attend(row: u32, chunk: u32, position: u32, kv_head: u32, first_head: u32, lane: u32,
          merged: ptr<function, array<Merged, RESULTS_EACH>>) {
  let begin = chunk * CHUNK;
  let count = min(CHUNK, position + 1u - begin);
  let table = rows[row].z * params.max_pages + begin / PAGE;
  var pages: array<u32, PAGES>;  // where the key head's rows of each begin in the cache, in quads
  for (var i = 0u; i < PAGES; i++) {
    pages[i] = page_tables[table + min(i, (count - 1u) / PAGE)];
  }
  if (!KEEPS_QUERIES) {
    load_queries(row, chunk, position, kv_head, first_head, lane);
  }
  for (var i = 0u; i < PAGES; i++) {
    pages[i] = (pages[i] * N_KV_HEADS + kv_head) * 2u * PAGE * QUADS;
  }
  workgroupBarrier();
  multiply_keys(pages, count, lane);
  workgroupBarrier();
  for (var s = lane; s < V * CHUNK; s += WORKGROUP) {
    var score = scratch[s];
    for (var share = 1u; share < SHARES; share++) {
      score += scratch[share * V * CHUNK + s];
    }
    scores[s] = select(vec4(-1e30), score, s % CHUNK < count);
  }
  workgroupBarrier();
  weigh(count, lane);
  add_values(pages, count, lane);
  workgroupBarrier();

  for (var i = 0u; i < RESULTS_EACH; i++) {
    let result = min(i * WORKGROUP + lane, RESULTS - 1u);
    let head = result / QUADS;
    var sum = scratch[result];
    for (var group = 1u; group < GROUPS; group++) {
      sum += scratch[group * RESULTS + result];
    }
    var weights = 0.0;
    for (var stripe = 0u; stripe < STRIPES; stripe++) {
      weights += weight_sums[head / 4u * STRIPES + stripe][head % 4u];
    }
    (*merged)[i] = merge((*merged)[i], Merged(largest_of(head / 4u)[head % 4u], weights, sum));
  }
  workgroupBarrier();  // before the next chunk overwrites what was read here
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let position = rows[row].y;
  let kv_head = group.x / SLICES;
  let first_head = (group.x % SLICES) * HEADS;  // of those that share the key head
  let first_chunk = group.z * CHUNKS_EACH;
  if (first_chunk * CHUNK > position) {
    return;
  }
  var last_chunk = position / CHUNK;
  if (CHUNKS_EACH > 0u) {
    last_chunk = min(last_chunk, first_chunk + CHUNKS_EACH - 1u);
  }
  var merged: array<Merged, RESULTS_EACH>;
  var of_group: array<Merged, RESULTS_EACH>;
  for (var i = 0u; i < RESULTS_EACH; i++) {
    merged[i] = merge_nothing();
    of_group[i] = merge_nothing();
  }
  if (KEEPS_QUERIES) {
    load_queries(row, first_chunk, position, kv_head, first_head, lane);
  }
  for (var chunk = first_chunk; chunk <= last_chunk; chunk++) {
    attend(row, chunk, position, kv_head, first_head, lane, &of_group);
    if (chunk % GROUP_CHUNKS == GROUP_CHUNKS - 1u || chunk == last_chunk) {
      for (var i = 0u; i < RESULTS_EACH; i++) {
        merged[i] = merge(merged[i], of_group[i]);
        of_group[i] = merge_nothing();
      }
    }
  }
  let is_part = CHUNKS_EACH > 0u && position >= CHUNKS_EACH * CHUNK;
  let own_heads = min(HEADS, HEADS_PER_KV - first_head);
  let heads_before = kv_head * HEADS_PER_KV + first_head;
  for (var i = 0u; i < RESULTS_EACH; i++) {
    let head = (i * WORKGROUP + lane) / QUADS;
    let quad = (i * WORKGROUP + lane) % QUADS;
    let result = merged[i].sum / merged[i].weights;
    let out_head = row * N_HEADS + heads_before + head;
    if (head < own_heads && is_part) {
      let at = (out_head * step.n_splits + group.z) * (QUADS + 1u);
      sums[at + quad] = merged[i].sum;
      if (quad == 0u) {
        sums[at + QUADS] = vec4(merged[i].largest, merged[i].weights, 0.0, 0.0);
      }
    } else if (head < own_heads) {
      for (var d = 0u; d < 4u; d++) {
        if (4u * quad + d < HEAD_DIM) {
          out[out_head * HEAD_DIM + 4u * quad + d] = result[d];
        }
      }
    }
    if (QUANTIZE && !is_part) {
      let block = quantize_lane(result, lane);
      if (head < own_heads) {
        store_block(row, N_HEADS * QUADS / 8u, (heads_before + head) * QUADS + quad, block);
      }
    }
  }
}
