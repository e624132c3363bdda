// down[i][h] = down_e[h] · act[i] for the pairs i = row · k + slot of each expert e, as group_rows.wgsl with the same
// TILE has listed them: expert_down_part.wgsl's work for prefill. expert_sum.wgsl follows.
//
// Files before it: quant_common, numerics_*, quant_<type>, gemm_exact or gemm_fast as the numerics, gemm_tile.
// Constants: those of gemm_tile (COLUMNS is the expert width).
// Flag: PREFETCH.
// Grid: ceil(params.rows / TILE_ROWS) along x, the number of tiles along y.
// Bindings: 0 params, 1 x: act, a row a pair (see numerics), 2 weights, 3 tiles, 4 pairs, 5 down: f32
//   [pair][params.rows].
// Pairs whose expert is outside this part of the tensor are left alone.

struct Params {
  rows: u32,  // of one expert: the hidden size
  first_expert: u32,
  n_experts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> pairs: array<u32>;
@group(0) @binding(5) var<storage, read_write> down: array<f32>;

struct Place {
  expert: u32,  // in this part
  first_row: u32,
}

const SCALES: u32 = weights_unit_scales;
const MINIMA: u32 = weights_unit_minima;

fn row_scales(place: Place, r: u32) -> u32 {
  return weights_unit_scales;
}

fn load_weight(place: Place, row: u32, unit: u32) -> Loaded {
  let at = place.expert * params.rows + min(place.first_row + row, params.rows - 1u);
  return weights_load(at * weights_stride, unit);
}

fn put(row: u32, token: u32, count: u32, value: f32) {
  if (row < params.rows && token < count) {
    down[x_rows[token] * params.rows + row] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y];
  let expert = tile.x - params.first_expert;  // wraps below the part
  let count = tile.z;
  let first_row = group.x * TILE_ROWS;
  if (count == 0u || expert >= params.n_experts || first_row >= params.rows) {
    return;
  }
  for (var i = thread; i < TILE; i += WORKGROUP) {
    x_rows[i] = pairs[tile.y + min(i, count - 1u)];
  }
  workgroupBarrier();
  var sums = multiply_tile(Place(expert, first_row), count, thread);
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + own_row(thread, r);
    for (var q = 0u; q < QUADS; q++) {
      let sum = sums[r * QUADS + q];
      put(row, own_token(thread, 4u * q), count, sum.x);
      put(row, own_token(thread, 4u * q + 1u), count, sum.y);
      put(row, own_token(thread, 4u * q + 2u), count, sum.z);
      put(row, own_token(thread, 4u * q + 3u), count, sum.w);
    }
  }
}
