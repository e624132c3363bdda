// Three matrices of any types times the same rows of x, in one dispatch: y[t] = (Q · x[t], K · x[t], V · x[t]), for
// prefill; qkv.wgsl for few tokens.
//
// Files before it: quant_common, numerics_*, quant_<its type> for each of the three with "weights" replaced by
//   "query", "key" and "value", gemm_exact or gemm_fast as the numerics, gemm_tile.
// Constants: those of gemm_tile.
// Flag: PREFETCH.
// Grid: the sum over the three of ceil(its rows / TILE_ROWS) along x, ceil(step.n_rows / TILE) (or more) along y.
// Bindings: 0 params, 1 x (see numerics), 2 query, 3 key, 4 value, 5 step, 6 y: f32 [rows of x][q_rows + k_rows +
//   v_rows].

struct Params {
  q_rows: u32,
  k_rows: u32,
  v_rows: u32,
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> query: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> value: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> step: Step;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

struct Place {
  matrix: u32,
  first_row: u32,
  n_rows: u32,
}

const SCALES: u32 = max(query_unit_scales, max(key_unit_scales, value_unit_scales));
const MINIMA: u32 = max(query_unit_minima, max(key_unit_minima, value_unit_minima));

fn row_scales(place: Place, r: u32) -> u32 {
  return select(select(value_unit_scales, key_unit_scales, place.matrix == 1u), query_unit_scales, place.matrix == 0u);
}

fn load_weight(place: Place, row: u32, unit: u32) -> Loaded {
  let at = min(place.first_row + row, place.n_rows - 1u);
  if (place.matrix == 0u) {
    return query_load(at * query_stride, unit);
  } else if (place.matrix == 1u) {
    return key_load(at * key_stride, unit);
  }
  return value_load(at * value_stride, unit);
}

fn tiles_of(rows: u32) -> u32 {
  return (rows + TILE_ROWS - 1u) / TILE_ROWS;
}

fn put(y_first: u32, row: u32, n_rows: u32, token: u32, sum: f32) {
  if (row < n_rows && token < step.n_rows) {
    y[token * (params.q_rows + params.k_rows + params.v_rows) + y_first + row] = sum;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first_token = group.y * TILE;
  if (first_token >= step.n_rows) {
    return;
  }
  let q_tiles = tiles_of(params.q_rows);
  let k_tiles = tiles_of(params.k_rows);
  var place = Place(0u, group.x * TILE_ROWS, params.q_rows);
  var y_first = 0u;
  if (group.x >= q_tiles + k_tiles) {
    place = Place(2u, (group.x - q_tiles - k_tiles) * TILE_ROWS, params.v_rows);
    y_first = params.q_rows + params.k_rows;
  } else if (group.x >= q_tiles) {
    place = Place(1u, (group.x - q_tiles) * TILE_ROWS, params.k_rows);
    y_first = params.q_rows;
  }
  for (var i = thread; i < TILE; i += WORKGROUP) {
    x_rows[i] = min(first_token + i, step.n_rows - 1u);
  }
  workgroupBarrier();
  var sums = multiply_tile(place, step.n_rows - first_token, thread);
  for (var r = 0u; r < ROWS; r++) {
    let row = place.first_row + own_row(thread, r);
    for (var i = 0u; i < QUADS; i++) {
      let sum = sums[r * QUADS + i];
      put(y_first, row, place.n_rows, first_token + own_token(thread, 4u * i), sum.x);
      put(y_first, row, place.n_rows, first_token + own_token(thread, 4u * i + 1u), sum.y);
      put(y_first, row, place.n_rows, first_token + own_token(thread, 4u * i + 2u), sum.z);
      put(y_first, row, place.n_rows, first_token + own_token(thread, 4u * i + 3u), sum.w);
    }
  }
}
