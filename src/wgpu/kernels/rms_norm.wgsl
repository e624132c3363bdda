// y[t] = x[t] / sqrt(mean(x[t]²) + eps) · w, one workgroup per token row.
//
// Files before it: reduce_*, quantize.
// Constants: COLUMNS (any); WORKGROUP threads, a multiple of 8, four columns each at a time; TERMS: rows of 8-bit
//   blocks for each row, 1, or 2 of which the second holds what the first lost.
// Flags: QUANTIZE: y as 8-bit blocks too, for numerics_fast.wgsl; COLUMNS is then a multiple of 32. LOGITS: only rows
//   that want logits (bit 0 of their flags), of these the step.n_logits from step.first_logits on, and their results
//   stand behind one another.
// Grid: 1 along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 step, 2 rows, 3 x f32 [t][COLUMNS], 4 w f32 [COLUMNS], 5 y f32 [t][COLUMNS], 6 quantized
//   (without QUANTIZE any other writable buffer).

struct Params {
  eps: f32,
}

struct Step {
  n_rows: u32,
  n_logits: u32,
  n_chunks: u32,
  ring_slot: u32,
  first_logits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> quantized: array<u32>;

const QUADS: u32 = (COLUMNS + 3u) / 4u;
const QUADS_PER_THREAD: u32 = (QUADS + WORKGROUP - 1u) / WORKGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  var out_row = row;
  if (LOGITS) {
    if ((rows[row].w & 1u) == 0u) {
      return;
    }
    var earlier = 0.0;
    for (var i = thread; i < row; i += WORKGROUP) {
      earlier += f32(rows[i].w & 1u);
    }
    out_row = u32(workgroup_sum(earlier, thread)) - step.first_logits;  // wraps below the first
    if (out_row >= step.n_logits) {
      return;
    }
  }

  // The row stays in registers between the two uses.
  var held: array<vec4<f32>, QUADS_PER_THREAD>;
  var squares = vec4(0.0);
  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    let column = 4u * (i * WORKGROUP + thread);
    held[i] = vec4(0.0);
    if (COLUMNS % 4u == 0u) {
      if (column < COLUMNS) {
        held[i] = x[(row * COLUMNS + column) / 4u];
      }
    } else {
      for (var j = 0u; j < 4u; j++) {
        if (column + j < COLUMNS) {
          let at = row * COLUMNS + column + j;
          held[i][j] = x[at / 4u][at % 4u];
        }
      }
    }
    squares += held[i] * held[i];
  }
  let sum = workgroup_sum((squares.x + squares.y) + (squares.z + squares.w), thread);
  let scale = inverseSqrt(sum / f32(COLUMNS) + params.eps);

  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    let quad = i * WORKGROUP + thread;
    let value_of_all = held[i] * scale * w[min(quad, QUADS - 1u)];
    var value = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
      let column = 4u * quad + j;
      if (column < COLUMNS) {
        value[j] = value_of_all[j];
        y[out_row * COLUMNS + column] = value[j];
      }
    }
    if (QUANTIZE) {
      for (var term = 0u; term < TERMS; term++) {
        let lane = quantize_lane(value, thread);
        if (quad < QUADS) {
          let base = quantized_row(out_row * TERMS + term, QUADS / 8u);
          quantized[base + quantized_word(QUADS / 8u, quad / 8u, quad % 8u)] = lane.word;
          if (quad % 8u == 0u) {
            quantized[base + quantized_scale(QUADS / 8u, quad / 8u)] = bitcast<u32>(lane.scale);
            quantized[base + quantized_scale(QUADS / 8u, quad / 8u) + 1u] = bitcast<u32>(lane.sum);
          }
        }
        value = fma(vec4(-lane.scale), vec4<f32>(unpack4xI8(lane.word)), value);
      }
    }
  }
}
