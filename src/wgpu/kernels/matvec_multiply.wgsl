// One team's share of a mat-vec: each lane's sums over its own units of ROWS rows of `weights` and TOKENS rows of x,
// still to be added up over the lanes (matvec_tile.wgsl). Which units a lane has, and their order, depends on TEAM only.
// As in the quant_<type>.wgsl, "weights" is replaced where a kernel has several matrices.
// Constants: TERMS: rows of activations whose sum is a row of x (numerics_fast.wgsl), else 1.

fn weights_multiply(first_row: u32, n_rows: u32, first_token: u32, n_tokens: u32, lane: u32) -> array<f32, OUTPUTS> {
  var sums: array<f32, OUTPUTS>;
  for (var unit = lane; unit < UNITS; unit += TEAM) {
    var w: array<Loaded, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      w[r] = weights_load(min(first_row + r, n_rows - 1u) * weights_stride, unit);
    }
    for (var t = 0u; t < TOKENS; t++) {
      for (var term = 0u; term < TERMS; term++) {
        let v = load_activations(min(first_token + t, n_tokens - 1u) * TERMS + term, unit);
        for (var r = 0u; r < ROWS; r++) {
          let i = r * TOKENS + t;
          sums[i] = add_unit(w[r], v, weights_unit_scales, sums[i]);
        }
      }
    }
  }
  return sums;
}
