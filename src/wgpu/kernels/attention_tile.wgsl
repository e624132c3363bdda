// Causal attention over the paged cache for prefill: attention.wgsl for a tile of token rows at once, so that a key
// or value is read once for all of them. One workgroup takes ROWS rows of the batch, the query heads of one key head,
// and one chunk of positions, page by page with an online softmax. Rows of one sequence belong side by side in the
// batch: a tile with rows of several sequences takes them one after the other.
//
// Shapes, bindings and results are those of attention.wgsl (chunks are merged by attention_combine.wgsl). A row's
// result depends on no other row.
// Constants: WORKGROUP (a multiple of 16·VECTORS, VECTORS = ROWS · ceil(heads a key head / 4); at least VECTORS ·
// DP / 4 / 4), ROWS, CHUNK (a multiple of 64), HEAD_DIM (even), N_HEADS, N_KV_HEADS, KV_F16 (bool). Workgroup
// memory, in bytes: 16·VECTORS·(4·ceil(D / 4) + 64 + 3) and some.
// Grid: (n_kv_heads, ceil(rows / ROWS), chunks of the longest row).
struct Params {
  scale: f32,      // 1 / √D
  max_pages: u32,  // of a sequence, in page_tables
}
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(3) var<storage, read> page_tables: array<u32>;  // [sequence][max_pages]
@group(0) @binding(4) var<storage, read> qk: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> stats: array<vec2<f32>>;

const PAGE = 64u;
const QUADS = (HEAD_DIM + 3u) / 4u;
const HEADS_PER_KV = N_HEADS / N_KV_HEADS;
const ROW_VECTORS = (HEADS_PER_KV + 3u) / 4u;  // of 4 query heads
const VECTORS = ROWS * ROW_VECTORS;
// Scores: a lane has one vector of queries and every POSITION_LANES-th position of a page.
const POSITION_LANES = WORKGROUP / VECTORS;
const POSITIONS = (PAGE + POSITION_LANES - 1u) / POSITION_LANES;
// Values: a lane has one vector of queries and every QUAD_LANES-th quad of dimensions.
const QUAD_LANES = POSITION_LANES;
const LANE_QUADS = (QUADS + QUAD_LANES - 1u) / QUAD_LANES;
const NONE = 0xffffffffu;

var<workgroup> queries: array<vec4<f32>, 4u * QUADS * VECTORS>;  // [dimension][vector]
var<workgroup> weights: array<vec4<f32>, PAGE * VECTORS>;        // [position][vector]
var<workgroup> partial: array<vec4<f32>, WORKGROUP>;
var<workgroup> largest: array<vec4<f32>, VECTORS>;
var<workgroup> weight_sums: array<vec4<f32>, VECTORS>;
var<workgroup> correction: array<vec4<f32>, VECTORS>;

fn load_quad(quad: u32) -> vec4<f32> {
  if (KV_F16) {
    let bits = cache[quad];
    return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return bitcast<vec4<f32>>(vec4(cache[2u * quad], cache[2u * quad + 1u]));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.y * ROWS;
  if (first_row >= step.n_rows) {
    return;
  }
  let n_rows = min(ROWS, step.n_rows - first_row);
  let kv_head = group.x;
  let begin = group.z * CHUNK;

  for (var i = lane; i < 4u * QUADS * VECTORS; i += WORKGROUP) {
    let d = i / VECTORS;
    let row = (i % VECTORS) / ROW_VECTORS;
    var q = vec4<f32>();
    for (var h = 0u; h < 4u; h++) {
      let head = 4u * (i % ROW_VECTORS) + h;
      if (row < n_rows && d < HEAD_DIM && head < HEADS_PER_KV) {
        let at = (first_row + row) * (N_HEADS + N_KV_HEADS) + kv_head * HEADS_PER_KV + head;
        q[h] = qk[at * HEAD_DIM + d] * params.scale;
      }
    }
    queries[i] = q;
  }
  for (var i = lane; i < VECTORS; i += WORKGROUP) {
    largest[i] = vec4(-1e30);
    weight_sums[i] = vec4<f32>();
  }
  workgroupBarrier();

  let vector = lane / POSITION_LANES;  // beyond VECTORS: idle
  let own_lane = lane % POSITION_LANES;
  let own_row = vector / ROW_VECTORS;
  var sum: array<array<vec4<f32>, 4>, LANE_QUADS>;  // [quad][head]
  for (var i = 0u; i < LANE_QUADS; i++) {
    for (var h = 0u; h < 4u; h++) {
      sum[i][h] = vec4<f32>();
    }
  }

  // One sequence after the other: `leader` is the tile's first row of it.
  for (var leader = 0u; leader < n_rows; leader++) {
    let sequence = rows[first_row + leader].z;
    var is_first = true;
    var last = 0u;  // position of its rows
    for (var i = 0u; i < n_rows; i++) {
      let other = rows[first_row + i];
      if (other.z == sequence) {
        is_first = is_first && i >= leader;
        last = max(last, other.y);
      }
    }
    if (!is_first) {
      continue;
    }
    // Positions of this sequence that the lane's row sees.
    var seen = 0u;
    if (own_row < n_rows && rows[first_row + own_row].z == sequence) {
      seen = rows[first_row + own_row].y + 1u;
    }
    let end = min(last + 1u, begin + CHUNK);
    for (var first = begin; first < end; first += PAGE) {
      let page = page_tables[sequence * params.max_pages + first / PAGE];
      let keys = (page * N_KV_HEADS + kv_head) * 2u * PAGE * QUADS;
      let count = min(PAGE, end - first);

      if (vector < VECTORS) {
        var score: array<vec4<f32>, POSITIONS>;
        for (var r = 0u; r < POSITIONS; r++) {
          score[r] = vec4<f32>();
        }
        for (var quad = 0u; quad < QUADS; quad++) {
          let at = 4u * quad * VECTORS + vector;
          let q0 = queries[at];
          let q1 = queries[at + VECTORS];
          let q2 = queries[at + 2u * VECTORS];
          let q3 = queries[at + 3u * VECTORS];
          for (var r = 0u; r < POSITIONS; r++) {
            let key = load_quad(keys + quad * PAGE + min(own_lane + r * POSITION_LANES, count - 1u));
            score[r] += key.x * q0 + key.y * q1 + key.z * q2 + key.w * q3;
          }
        }
        var most = vec4(-1e30);
        for (var r = 0u; r < POSITIONS; r++) {
          let at = own_lane + r * POSITION_LANES;
          if (at < PAGE) {
            let masked = select(vec4(-1e30), score[r], at < count && first + at < seen);
            weights[at * VECTORS + vector] = masked;
            most = max(most, masked);
          }
        }
        partial[lane] = most;
      }
      workgroupBarrier();
      if (lane < VECTORS) {
        var most = largest[lane];
        for (var i = 0u; i < POSITION_LANES; i++) {
          most = max(most, partial[lane * POSITION_LANES + i]);
        }
        correction[lane] = exp(largest[lane] - most);
        largest[lane] = most;
      }
      workgroupBarrier();
      if (vector < VECTORS) {
        let most = largest[vector];
        var added = vec4<f32>();
        for (var at = own_lane; at < PAGE; at += POSITION_LANES) {
          var weight = vec4<f32>();
          if (at < count && first + at < seen) {
            weight = exp(weights[at * VECTORS + vector] - most);
          }
          weights[at * VECTORS + vector] = weight;
          added += weight;
        }
        partial[lane] = added;
      }
      workgroupBarrier();
      if (lane < VECTORS) {
        var total = weight_sums[lane] * correction[lane];
        for (var i = 0u; i < POSITION_LANES; i++) {
          total += partial[lane * POSITION_LANES + i];
        }
        weight_sums[lane] = total;
      }
      if (vector < VECTORS && first < seen) {
        let values = keys + PAGE * QUADS;
        let factor = correction[vector];
        for (var i = 0u; i < LANE_QUADS; i++) {
          sum[i][0] *= factor.x;
          sum[i][1] *= factor.y;
          sum[i][2] *= factor.z;
          sum[i][3] *= factor.w;
        }
        // Not beyond the row's own: what a later row stored never touches it.
        for (var at = 0u; at < min(count, seen - first); at++) {
          let weight = weights[at * VECTORS + vector];
          for (var i = 0u; i < LANE_QUADS; i++) {
            let value = load_quad(values + at * QUADS + min(own_lane + i * QUAD_LANES, QUADS - 1u));
            sum[i][0] += weight.x * value;
            sum[i][1] += weight.y * value;
            sum[i][2] += weight.z * value;
            sum[i][3] += weight.w * value;
          }
        }
      }
      workgroupBarrier();
    }
  }

  if (vector >= VECTORS || own_row >= n_rows) {
    return;
  }
  let row = first_row + own_row;
  let position = rows[row].y;
  if (begin > position) {
    return;
  }
  for (var h = 0u; h < 4u; h++) {
    let own_head = 4u * (vector % ROW_VECTORS) + h;
    if (own_head >= HEADS_PER_KV) {
      break;
    }
    let head = row * N_HEADS + kv_head * HEADS_PER_KV + own_head;
    let chunk = head * step.n_chunks + group.z;
    for (var i = 0u; i < LANE_QUADS; i++) {
      let quad = own_lane + i * QUAD_LANES;
      if (quad >= QUADS) {
        break;
      }
      if (position >= CHUNK) {
        sums[chunk * QUADS + quad] = sum[i][h];
        continue;
      }
      let result = sum[i][h] / weight_sums[vector][h];
      for (var d = 0u; d < 4u; d++) {
        if (4u * quad + d < HEAD_DIM) {
          out[head * HEAD_DIM + 4u * quad + d] = result[d];
        }
      }
    }
    if (position >= CHUNK && own_lane == 0u) {
      stats[chunk] = vec2(largest[vector][h], weight_sums[vector][h]);
    }
  }
}
