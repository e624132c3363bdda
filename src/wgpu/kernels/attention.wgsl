// Causal attention over the paged cache. A row of position p sees positions 0 … p, in chunks: each chunk has its own
// softmax, and the chunks are merged one after another (attention_merge.wgsl), which makes the result of a row the
// same to the bit in both forms of this kernel. With ALL_CHUNKS a workgroup takes one token row and up to 8 query heads
// that share a key head, and every chunk: for prefill, whose many rows fill the device. Without, it takes one of the
// chunks, for decode; attention_combine.wgsl then merges them where there are several.
//
// T rows, D head_dim, Q n_heads·D, K n_kv_heads·D, C chunks. out [T][Q], and per
// row, head and chunk: sums [T][n_heads][C][DP/4 + 1], the weighted values, not divided, then (largest score, sum of
// weights, 0, 0); C is step.n_chunks. cache: see kv_write.wgsl. Positions that were never written are not used.
// Files before it: quantize, attention_merge, and attention_queries, which takes the queries from memory, or
// attention_rotate, which makes them and writes the cache.
// Constants: WORKGROUP (a multiple of CHUNK / 4, at least 32 and DP / 4), CHUNK (a multiple of 64), HEAD_DIM
// (even), N_HEADS, N_KV_HEADS, KV_F16 (bool), ALL_CHUNKS (bool), QUANTIZE (bool): the result as 8-bit blocks too; D is
// then a multiple of 32. Workgroup memory, in bytes, with V = 1 for at most 4
// heads a key head, else 2: max(64·WORKGROUP, 32·DP/2)·V/2 + 16·CHUNK·V + 512·V.
// Grid: (n_kv_heads · ceil(heads a key head / 4V), rows, chunks of the longest row, or 1 with ALL_CHUNKS).
struct Params {
  scale: f32,       // 1 / √D
  max_pages: u32,   // of a sequence, in page_tables
  eps: f32,         // for attention_rotate.wgsl, as rope_scale
  rope_scale: f32,  // multiplies cos and sin (YaRN)
}
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(3) var<storage, read> page_tables: array<u32>;  // [sequence][max_pages]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> quantized: array<u32>;  // without QUANTIZE any other writable buffer

const PAGE = 64u;
const QUADS = (HEAD_DIM + 3u) / 4u;
const HEADS_PER_KV = N_HEADS / N_KV_HEADS;
const V = min(2u, (HEADS_PER_KV + 3u) / 4u);  // vectors of 4 query heads
const HEADS = 4u * V;
const SLICES = (HEADS_PER_KV + HEADS - 1u) / HEADS;
// Scores: a lane has 4 positions, a quarter of the chunk apart, and a share of the dimensions.
const POSITION_LANES = CHUNK / 4u;
const SHARES = WORKGROUP / POSITION_LANES;
// Values: a lane has 4 dimensions and every GROUPS-th position.
const GROUPS = WORKGROUP / QUADS;
const PARTS = 16u;  // of the chunk, for its maximum and sum
const SCRATCH = WORKGROUP / 2u;
const QUADS_AHEAD = 4u;   // of keys
const VALUES_AHEAD = 8u;  // positions

var<workgroup> scratch: array<vec4<f32>, max(4u * QUADS * V, HEADS * SCRATCH)>;  // the queries, then partial sums
var<workgroup> scores: array<vec4<f32>, CHUNK * V>;
var<workgroup> largest: array<vec4<f32>, PARTS * V>;
var<workgroup> weight_sums: array<vec4<f32>, PARTS * V>;

fn load_quad(quad: u32) -> vec4<f32> {
  if (KV_F16) {
    let bits = cache[quad];
    return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return bitcast<vec4<f32>>(vec4(cache[2u * quad], cache[2u * quad + 1u]));
}

// One chunk of a row, merged into what came before it: `merged` of the lanes below QUADS, four dimensions each.
fn attend(row: u32, chunk: u32, position: u32, kv_head: u32, first_head: u32, lane: u32,
          merged: ptr<function, array<Merged, HEADS>>) {
  let begin = chunk * CHUNK;
  let count = min(CHUNK, position + 1u - begin);
  let table = rows[row].z * params.max_pages + begin / PAGE;

  load_queries(row, chunk, position, kv_head, first_head, lane);
  workgroupBarrier();

  let share = lane / POSITION_LANES;
  let position_lane = lane % POSITION_LANES;
  var keys: array<u32, 4>;
  for (var r = 0u; r < 4u; r++) {
    let at = min(position_lane + r * POSITION_LANES, count - 1u);
    keys[r] = (page_tables[table + at / PAGE] * N_KV_HEADS + kv_head) * 2u * PAGE * QUADS + at % PAGE;
  }
  var score: array<vec4<f32>, 4u * V>;  // [position][heads]
  for (var i = 0u; i < 4u * V; i++) {
    score[i] = vec4<f32>();
  }
  // Loads go ahead of their use: the memory's latency is most of a chunk's time.
  for (var first_quad = share; first_quad < QUADS; first_quad += SHARES * QUADS_AHEAD) {
    var key: array<vec4<f32>, 4u * QUADS_AHEAD>;
    for (var j = 0u; j < QUADS_AHEAD; j++) {
      for (var r = 0u; r < 4u; r++) {
        key[4u * j + r] = load_quad(keys[r] + min(first_quad + j * SHARES, QUADS - 1u) * PAGE);
      }
    }
    for (var j = 0u; j < QUADS_AHEAD; j++) {
      let quad = first_quad + j * SHARES;
      for (var i = 0u; i < V && quad < QUADS; i++) {
        let first = 4u * quad * V + i;
        let q0 = scratch[first];
        let q1 = scratch[first + V];
        let q2 = scratch[first + 2u * V];
        let q3 = scratch[first + 3u * V];
        for (var r = 0u; r < 4u; r++) {
          let at = r * V + i;
          let k = key[4u * j + r];
          score[at] = fma(vec4(k.x), q0, score[at]);
          score[at] = fma(vec4(k.y), q1, score[at]);
          score[at] = fma(vec4(k.z), q2, score[at]);
          score[at] = fma(vec4(k.w), q3, score[at]);
        }
      }
    }
  }
  workgroupBarrier();

  // The shares are added by halves, as are the groups below.
  for (var n = SHARES; n > 1u; n = (n + 1u) / 2u) {
    let half = (n + 1u) / 2u;
    if (share >= half && share < n) {
      for (var i = 0u; i < 4u * V; i++) {
        scratch[i * SCRATCH + (share - half) * POSITION_LANES + position_lane] = score[i];
      }
    }
    workgroupBarrier();
    if (share + half < n) {
      for (var i = 0u; i < 4u * V; i++) {
        score[i] += scratch[i * SCRATCH + share * POSITION_LANES + position_lane];
      }
    }
    workgroupBarrier();
  }
  if (share == 0u) {
    for (var r = 0u; r < 4u; r++) {
      let at = position_lane + r * POSITION_LANES;
      for (var i = 0u; i < V; i++) {
        scores[at * V + i] = select(vec4(-1e30), score[r * V + i], at < count);
      }
    }
  }
  workgroupBarrier();

  // Softmax within the chunk.
  let heads = lane % V;
  let part = lane / V;
  if (part < PARTS) {
    var most = vec4(-1e30);
    for (var at = part; at < CHUNK; at += PARTS) {
      most = max(most, scores[at * V + heads]);
    }
    largest[lane] = most;
  }
  workgroupBarrier();
  if (part < PARTS) {
    var most = vec4(-1e30);
    for (var i = 0u; i < PARTS; i++) {
      most = max(most, largest[i * V + heads]);
    }
    var sum = vec4<f32>();
    for (var at = part; at < CHUNK; at += PARTS) {
      let weight = select(vec4(0.0), exp(scores[at * V + heads] - most), at < count);
      scores[at * V + heads] = weight;
      sum += weight;
    }
    weight_sums[lane] = sum;
  }
  workgroupBarrier();

  let value_group = lane / QUADS;
  let quad = lane % QUADS;
  var sum: array<vec4<f32>, HEADS>;
  for (var i = 0u; i < HEADS; i++) {
    sum[i] = vec4<f32>();
  }
  // Positions that are not there weigh nothing; the last one is read in their place.
  for (var first = 0u; first < count; first += PAGE) {
    let values = (page_tables[table + first / PAGE] * N_KV_HEADS + kv_head) * 2u * PAGE * QUADS + PAGE * QUADS + quad;
    let last = min(PAGE, count - first) - 1u;
    if (value_group < GROUPS) {
      for (var begin_at = value_group; begin_at <= last; begin_at += GROUPS * VALUES_AHEAD) {
        var value: array<vec4<f32>, VALUES_AHEAD>;
        for (var j = 0u; j < VALUES_AHEAD; j++) {
          value[j] = load_quad(values + min(begin_at + j * GROUPS, last) * QUADS);
        }
        for (var j = 0u; j < VALUES_AHEAD; j++) {
          let at = begin_at + j * GROUPS;
          for (var i = 0u; i < V && at < PAGE; i++) {
            let weight = scores[(first + at) * V + i];
            sum[4u * i] = fma(vec4(weight.x), value[j], sum[4u * i]);
            sum[4u * i + 1u] = fma(vec4(weight.y), value[j], sum[4u * i + 1u]);
            sum[4u * i + 2u] = fma(vec4(weight.z), value[j], sum[4u * i + 2u]);
            sum[4u * i + 3u] = fma(vec4(weight.w), value[j], sum[4u * i + 3u]);
          }
        }
      }
    }
  }
  for (var n = GROUPS; n > 1u; n = (n + 1u) / 2u) {
    let half = (n + 1u) / 2u;
    if (value_group >= half && value_group < n) {
      for (var i = 0u; i < HEADS; i++) {
        scratch[i * SCRATCH + (value_group - half) * QUADS + quad] = sum[i];
      }
    }
    workgroupBarrier();
    if (value_group + half < n) {
      for (var i = 0u; i < HEADS; i++) {
        sum[i] += scratch[i * SCRATCH + value_group * QUADS + quad];
      }
    }
    workgroupBarrier();
  }

  if (value_group == 0u) {
    for (var v = 0u; v < V; v++) {
      var weights = vec4<f32>();
      var most = vec4(-1e30);
      for (var j = 0u; j < PARTS; j++) {
        weights += weight_sums[j * V + v];
        most = max(most, largest[j * V + v]);
      }
      for (var h = 0u; h < 4u; h++) {
        let i = 4u * v + h;
        (*merged)[i] = merge((*merged)[i], Merged(most[h], weights[h], sum[i]));
      }
    }
  }
  workgroupBarrier();  // before the next chunk overwrites what was read here
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  let position = rows[row].y;
  let kv_head = group.x / SLICES;
  let first_head = (group.x % SLICES) * HEADS;  // of those that share the key head
  if (group.z * CHUNK > position) {
    return;
  }
  let last_chunk = select(group.z, position / CHUNK, ALL_CHUNKS);
  var merged: array<Merged, HEADS>;
  for (var i = 0u; i < HEADS; i++) {
    merged[i] = merge_nothing();
  }
  for (var chunk = group.z; chunk <= last_chunk; chunk++) {
    attend(row, chunk, position, kv_head, first_head, lane, &merged);
  }
  let quad = lane % QUADS;
  let own_heads = select(0u, min(HEADS, HEADS_PER_KV - first_head), lane < QUADS);
  let head = row * N_HEADS + kv_head * HEADS_PER_KV + first_head;
  if (!ALL_CHUNKS && position >= CHUNK) {
    for (var i = 0u; i < own_heads; i++) {
      let at = ((head + i) * step.n_chunks + group.z) * (QUADS + 1u);
      sums[at + quad] = merged[i].sum;
      if (quad == 0u) {
        sums[at + QUADS] = vec4(merged[i].largest, merged[i].weights, 0.0, 0.0);
      }
    }
    return;
  }
  for (var i = 0u; i < own_heads; i++) {
    let result = merged[i].sum / merged[i].weights;
    for (var d = 0u; d < 4u; d++) {
      if (4u * quad + d < HEAD_DIM) {
        out[(head + i) * HEAD_DIM + 4u * quad + d] = result[d];
      }
    }
    if (QUANTIZE) {
      scratch[i * QUADS + quad] = result;
    }
  }
  if (QUANTIZE) {
    workgroupBarrier();
    for (var first = 0u; first < HEADS * QUADS; first += WORKGROUP) {
      let at = first + lane;
      let block = quantize_lane(scratch[min(at, HEADS * QUADS - 1u)], lane);
      let of_row = (kv_head * HEADS_PER_KV + first_head) * QUADS + at;  // quads
      if (at < HEADS * QUADS && at / QUADS < HEADS_PER_KV - first_head) {
        put_block(row, of_row, block);
      }
    }
  }
}

fn put_block(row: u32, quad: u32, block: QuantizedLane) {
  let units = N_HEADS * QUADS / 8u;
  let base = quantized_row(row, units);
  quantized[base + quantized_word(units, quad / 8u, quad % 8u)] = block.word;
  if (quad % 8u == 0u) {
    quantized[base + quantized_scale(units, quad / 8u)] = bitcast<u32>(block.scale);
    quantized[base + quantized_scale(units, quad / 8u) + 1u] = bitcast<u32>(block.sum);
  }
}
