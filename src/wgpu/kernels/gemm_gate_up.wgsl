// act[i][f] = silu(gate_e[f] · x[i / k]) * (up_e[f] · x[i / k]) for the pairs i = row · k + slot of each expert e, as
// group_rows.wgsl with the same TILE has listed them: expert_gate_up.wgsl's work for prefill.
//
// Files before it: quant_common, numerics_*, quant_<type of gate> with "weights" replaced by "gate", quant_<type of
//   up> with "weights" replaced by "up", gemm_exact or gemm_fast as the numerics, gemm_tile, swiglu.
// Constants: those of gemm_tile, ROWS even: half of a tile's rows are of gate, half the same ones of up;
//   EXPERTS_PER_TOKEN = k.
// Flag: PREFETCH.
// Grid: ceil(params.rows / (TILE_ROWS / 2)) along x, the number of tiles along y.
// Bindings: 0 params, 1 x (see numerics), 2 gate, 3 up, 4 tiles, 5 pairs, 6 act: f32 [pair][params.rows].
// Pairs whose expert is outside this part of the tensors are left alone.

struct Params {
  rows: u32,  // of one expert: its width F
  first_expert: u32,
  n_experts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gate: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> up: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> pairs: array<u32>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

const HALF_ROWS: u32 = TILE_ROWS / 2u;

var<workgroup> tile_pairs: array<u32, TILE>;

struct Place {
  expert: u32,  // in this part
  first_row: u32,
}

const SCALES: u32 = max(gate_unit_scales, up_unit_scales);
const MINIMA: u32 = max(gate_unit_minima, up_unit_minima);

fn row_scales(place: Place, r: u32) -> u32 {
  return select(up_unit_scales, gate_unit_scales, r < ROWS / 2u);
}

fn load_weight(place: Place, row: u32, unit: u32) -> Loaded {
  let at = place.expert * params.rows + min(place.first_row + row % HALF_ROWS, params.rows - 1u);
  if (row < HALF_ROWS) {
    return gate_load(at * gate_stride, unit);
  }
  return up_load(at * up_stride, unit);
}

fn put(row: u32, token: u32, count: u32, g: f32, u: f32) {
  if (row < params.rows && token < count) {
    act[tile_pairs[token] * params.rows + row] = swiglu(g, u);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y];
  let expert = tile.x - params.first_expert;  // wraps below the part
  let count = tile.z;
  let first_row = group.x * HALF_ROWS;
  if (count == 0u || expert >= params.n_experts || first_row >= params.rows) {
    return;
  }
  for (var i = thread; i < TILE; i += WORKGROUP) {
    let pair = pairs[tile.y + min(i, count - 1u)];
    tile_pairs[i] = pair;
    x_rows[i] = pair / EXPERTS_PER_TOKEN;
  }
  workgroupBarrier();
  var sums = multiply_tile(Place(expert, first_row), count, thread);
  for (var r = 0u; r < ROWS / 2u; r++) {
    let row = first_row + own_row(thread, r);
    for (var q = 0u; q < QUADS; q++) {
      let g = sums[r * QUADS + q];
      let u = sums[(r + ROWS / 2u) * QUADS + q];
      put(row, own_token(thread, 4u * q), count, g.x, u.x);
      put(row, own_token(thread, 4u * q + 1u), count, g.y, u.y);
      put(row, own_token(thread, 4u * q + 2u), count, g.z, u.z);
      put(row, own_token(thread, 4u * q + 3u), count, g.w, u.w);
    }
  }
}
