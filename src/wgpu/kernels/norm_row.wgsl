// One row's RMS norm, held in the registers of a workgroup.
//
// Files before it: reduce_*, quantize. Bindings of the kernel: x f32 [t][COLUMNS], w f32 [COLUMNS], y f32
//   [t][COLUMNS].
// Constants: COLUMNS (any); WORKGROUP threads, a multiple of 8, four columns each at a time; LANES, which decides the
//   order of the sum; TERMS: rows of 8-bit blocks for each row, 1, or 2 of which the second holds what the first lost.
// Flags: QUANTIZE: y as 8-bit blocks too, for numerics_fast.wgsl; COLUMNS is then a multiple of 32.

const NORM_QUADS: u32 = (COLUMNS + 3u) / 4u;
const QUADS_PER_LANE: u32 = (NORM_QUADS + LANES - 1u) / LANES;
const QUADS_PER_THREAD: u32 = QUADS_PER_LANE * LANES_EACH;  // quad i * WORKGROUP + thread is the i-th

alias HeldRow = array<vec4<f32>, QUADS_PER_THREAD>;

// The weights of a thread's quads: loaded with the row, for a load behind the sum would be waited for.
fn load_norm_weights(thread: u32) -> HeldRow {
  var held: HeldRow;
  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    held[i] = w[min(i * WORKGROUP + thread, NORM_QUADS - 1u)];
  }
  return held;
}

fn load_row(row: u32, thread: u32) -> HeldRow {
  var held: HeldRow;
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
  }
  return held;
}

// 1 / sqrt(mean(x²) + eps). What a compiler could fuse is fused here, so that every kernel gives the same bits.
fn norm_scale(held: HeldRow, eps: f32, thread: u32) -> f32 {
  var sums: array<f32, LANES_EACH>;
  for (var lane = 0u; lane < LANES_EACH; lane++) {
    var squares = vec4(0.0);
    for (var i = 0u; i < QUADS_PER_LANE; i++) {
      let quad = held[i * LANES_EACH + lane];
      squares = fma(quad, quad, squares);
    }
    sums[lane] = (squares.x + squares.y) + (squares.z + squares.w);
  }
  return inverseSqrt(lanes_sum(sums, thread) / f32(COLUMNS) + eps);
}

fn normed_quad(value: vec4<f32>, scale: f32, weight: vec4<f32>) -> vec4<f32> {
  return value * scale * weight;
}

// y of a thread's quads, where the workgroup `writes` it, and, with QUANTIZE, the blocks, which put_block() of the kernel or of norm_blocks.wgsl takes:
// (row of blocks, quad, block). Every thread calls it, in uniform control flow.
fn put_row(held: HeldRow, held_weights: HeldRow, scale: f32, out_row: u32, writes: bool, thread: u32) {
  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    let quad = i * WORKGROUP + thread;
    let value_of_all = normed_quad(held[i], scale, held_weights[i]);
    var value = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
      let column = 4u * quad + j;
      if (column < COLUMNS) {
        value[j] = value_of_all[j];
        if (writes) {
          y[out_row * COLUMNS + column] = value[j];
        }
      }
    }
    if (QUANTIZE) {
      for (var term = 0u; term < TERMS; term++) {
        let lane = quantize_lane(value, thread);
        if (quad < NORM_QUADS) {
          put_block(out_row * TERMS + term, quad, lane);
        }
        value = fma(vec4(-lane.scale), vec4<f32>(unpack4xI8(lane.word)), value);
      }
    }
  }
}
