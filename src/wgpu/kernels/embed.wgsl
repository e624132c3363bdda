// x[t] = E[token of row t], decoded.
//
// Files before it: quant_common, numerics_exact, quant_<type>.
// Constants: COLUMNS, WORKGROUP.
// Grid: ceil(units of 32 columns / WORKGROUP) along x, step.n_rows (or more) along y.
// Bindings: 0 params, 1 x f32 [rows][COLUMNS], 2 weights, 3 step, 4 rows, 5 last_choices.

struct Params {
  first_token: u32,  // the tokens whose rows this part of the table holds; others are left alone
  n_tokens: u32,
}

struct Step {
  n_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> embedded: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(4) var<storage, read> rows: array<vec4<u32>>;  // token, position, slot, flags
@group(0) @binding(5) var<storage, read> last_choices: array<u32>;  // [slots]

const LAST_CHOICE = 0xffffffffu;  // as a row's token: what its slot chose last

fn store(at: u32, column: u32, values: vec4<f32>) {
  for (var i = 0u; i < 4u; i++) {
    if (column + i < COLUMNS) {
      embedded[at + column + i] = values[i];
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
  let unit = thread.x;
  let row = thread.y;
  if (unit >= UNITS || row >= step.n_rows) {
    return;
  }
  var id = rows[row].x;
  if (id == LAST_CHOICE) {
    id = last_choices[rows[row].z];  // of no token, which is in no part
  }
  let token = id - params.first_token;  // wraps below the part
  if (token >= params.n_tokens) {
    return;
  }
  let w = weights_load(token * weights_stride, unit);
  for (var i = 0u; i < 4u; i++) {
    store(row * COLUMNS, 32u * unit + 4u * i, w.a[i]);
    store(row * COLUMNS, 32u * unit + 16u + 4u * i, w.b[i]);
  }
}
