// One row's RMS norm, held in the registers of a workgroup.
//
// Files before it: reduce_*, quantize. Bindings of the kernel: x f32 [t][COLUMNS], w f32 [COLUMNS], y f32
//   [t][COLUMNS], quantized (without QUANTIZE any other writable buffer).
// Constants: COLUMNS (any); WORKGROUP threads, a multiple of 8, four columns each at a time; TERMS: rows of 8-bit
//   blocks for each row, 1, or 2 of which the second holds what the first lost.
// Flags: QUANTIZE: y as 8-bit blocks too, for numerics_fast.wgsl; COLUMNS is then a multiple of 32.

const NORM_QUADS: u32 = (COLUMNS + 3u) / 4u;
const QUADS_PER_THREAD: u32 = (NORM_QUADS + WORKGROUP - 1u) / WORKGROUP;

alias HeldRow = array<vec4<f32>, QUADS_PER_THREAD>;

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
  var squares = vec4(0.0);
  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    squares = fma(held[i], held[i], squares);
  }
  let sum = workgroup_sum((squares.x + squares.y) + (squares.z + squares.w), thread);
  return inverseSqrt(sum / f32(COLUMNS) + eps);
}

fn normed_quad(value: vec4<f32>, scale: f32, quad: u32) -> vec4<f32> {
  return value * scale * w[min(quad, NORM_QUADS - 1u)];
}

// Every thread calls it, in uniform control flow.
fn put_row(held: HeldRow, scale: f32, out_row: u32, thread: u32) {
  for (var i = 0u; i < QUADS_PER_THREAD; i++) {
    let quad = i * WORKGROUP + thread;
    let value_of_all = normed_quad(held[i], scale, quad);
    var value = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
      let column = 4u * quad + j;
      if (column < COLUMNS) {
        value[j] = value_of_all[j];
        y[out_row * COLUMNS + column] = value[j];
      }
    }
    if (QUANTIZE) {
      const units = NORM_QUADS / 8u;
      for (var term = 0u; term < TERMS; term++) {
        let lane = quantize_lane(value, thread);
        if (quad < NORM_QUADS) {
          let base = quantized_row(out_row * TERMS + term, units);
          quantized[base + quantized_word(units, quad / 8u, quad % 8u)] = lane.word;
          if (quad % 8u == 0u) {
            quantized[base + quantized_scale(units, quad / 8u)] = bitcast<u32>(lane.scale);
            quantized[base + quantized_scale(units, quad / 8u) + 1u] = bitcast<u32>(lane.sum);
          }
        }
        value = fma(vec4(-lane.scale), vec4<f32>(unpack4xI8(lane.word)), value);
      }
    }
  }
}
