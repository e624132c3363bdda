// A tile of a matrix product: TILE_ROWS rows of weights times TILE tokens, by WORKGROUP threads with ROWS rows and
// 4 * QUADS tokens each, from operands staged in workgroup memory STEP units of columns at a time.
//
// An output is the same to the bit as a mat-vec with teams of TEAM lanes gives it: lane l has the units l, l + TEAM, …,
// its sum is taken by itself, and the lanes' sums are added one after another. So the answer to a prompt does not
// depend on how many of its tokens ran together, which 8-bit rounding would make visible.
//
// Comes after gemm_exact.wgsl or gemm_fast.wgsl.
// Constants: COLUMNS, TERMS, TEAM as the mat-vec has them; WORKGROUP, TILE_ROWS, TILE, ROWS, STEP. TILE_ROWS / ROWS
//   threads share a token, and the remaining factor of WORKGROUP, TOKEN_THREADS, must divide TILE / 4.
// Flag: PREFETCH: load a step's operands while the one before is multiplied; takes registers.
// The kernel defines `Place`, load_weight(place: Place, row: u32, unit: u32) -> Loaded for row `row` of the tile,
// row_scales(place: Place, r: u32) -> u32, the weights_unit_scales of a thread's row r, and SCALES and MINIMA: the most
// that its matrices have.

const ROW_THREADS: u32 = TILE_ROWS / ROWS;
const TOKEN_THREADS: u32 = WORKGROUP / ROW_THREADS;
const QUADS: u32 = TILE / (4u * TOKEN_THREADS);
const OUTPUTS: u32 = ROWS * QUADS;

const WEIGHT_UNITS: u32 = TILE_ROWS * STEP;
const WEIGHT_ITEMS: u32 = (WEIGHT_UNITS + WORKGROUP - 1u) / WORKGROUP;
// Places of the units in the order of the sums: LANE_UNITS for each lane, the last ones of a lane may be none.
const LANE_UNITS: u32 = (UNITS + TEAM - 1u) / TEAM;
const PLACES: u32 = min(TEAM, UNITS) * LANE_UNITS;
const X_ROW: u32 = STEP * X_PIECES;
const X_UNITS: u32 = TILE * X_ROW;
const X_ITEMS: u32 = (X_UNITS + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> x_rows: array<u32, TILE>;  // the row of x of each token of the tile; the kernel fills it

// What a thread carries from memory to workgroup memory in a step.
struct Carried {
  w: array<Loaded, WEIGHT_ITEMS>,
  x: array<Piece, X_ITEMS>,
}

// UNITS or more where there is none.
fn unit_at(place: u32) -> u32 {
  return place / LANE_UNITS + place % LANE_UNITS * TEAM;
}

fn fetch(place: Place, first: u32, thread: u32) -> Carried {
  var carried: Carried;
  for (var j = 0u; j < WEIGHT_ITEMS; j++) {
    let i = thread + j * WORKGROUP;
    carried.w[j] = load_weight(place, min(i / STEP, TILE_ROWS - 1u), min(unit_at(first + i % STEP), UNITS - 1u));
  }
  for (var j = 0u; j < X_ITEMS; j++) {
    let i = thread + j * WORKGROUP;
    let row = x_rows[min(i / X_ROW, TILE - 1u)];
    carried.x[j] = load_piece(row, min(unit_at(first + i % X_ROW / X_PIECES), UNITS - 1u), i % X_PIECES);
  }
  return carried;
}

fn stage(carried: Carried, thread: u32) {
  for (var j = 0u; j < WEIGHT_ITEMS; j++) {
    let i = thread + j * WORKGROUP;
    if (WEIGHT_UNITS % WORKGROUP == 0u || i < WEIGHT_UNITS) {
      put_weights(i % STEP, i / STEP, carried.w[j]);
    }
  }
  for (var j = 0u; j < X_ITEMS; j++) {
    let i = thread + j * WORKGROUP;
    if (X_UNITS % WORKGROUP == 0u || i < X_UNITS) {
      put_piece(i % X_ROW / X_PIECES, i / X_ROW, i % X_PIECES, carried.x[j]);
    }
  }
}

// A thread's outputs in the tile: component i of output r * QUADS + q is row own_row(thread, r), token
// own_token(thread, 4 * q + i). Rows are apart so that neighbouring threads have neighbouring rows, tokens together so
// that whole subgroups have nothing to do where a tile is not full.
fn own_row(thread: u32, r: u32) -> u32 {
  return thread % ROW_THREADS + r * ROW_THREADS;
}

fn own_token(thread: u32, i: u32) -> u32 {
  return thread / ROW_THREADS * 4u * QUADS + i;
}

struct Sums {
  lane: array<vec4<f32>, OUTPUTS>,   // of the lane whose units are being multiplied
  total: array<vec4<f32>, OUTPUTS>,  // of the lanes before it
}

fn multiply(place: Place, first: u32, thread: u32, sums: ptr<function, Sums>) {
  for (var i = 0u; i < STEP; i++) {
    if (first + i < PLACES && unit_at(first + i) < UNITS) {
      for (var chunk = i * CHUNKS; chunk < (i + 1u) * CHUNKS; chunk++) {
        for (var term = 0u; term < TERMS; term++) {
          var v: array<Four, QUADS>;
          for (var q = 0u; q < QUADS; q++) {
            v[q] = take_four(chunk * TERMS + term, own_token(thread, 4u * q));
          }
          for (var r = 0u; r < ROWS; r++) {
            let w = take_weight(chunk, own_row(thread, r));
            for (var q = 0u; q < QUADS; q++) {
              let at = r * QUADS + q;
              (*sums).lane[at] = multiply_four(w, v[q], row_scales(place, r), (*sums).lane[at]);
            }
          }
        }
      }
    }
    if ((first + i) % LANE_UNITS == LANE_UNITS - 1u) {
      for (var at = 0u; at < OUTPUTS; at++) {
        (*sums).total[at] += (*sums).lane[at];
        (*sums).lane[at] = vec4(0.0);
      }
    }
  }
}

// The outputs of the first n_tokens tokens of the tile; others are anything. Every thread calls it, in uniform control
// flow, after a barrier that follows the filling of x_rows.
fn multiply_tile(place: Place, n_tokens: u32, thread: u32) -> array<vec4<f32>, OUTPUTS> {
  var sums: Sums;
  var carried: Carried;
  if (PREFETCH) {
    carried = fetch(place, 0u, thread);
  }
  for (var first = 0u; first < PLACES; first += STEP) {
    if (!PREFETCH) {
      carried = fetch(place, first, thread);
    }
    workgroupBarrier();
    stage(carried, thread);
    workgroupBarrier();
    if (PREFETCH) {
      carried = fetch(place, first + STEP, thread);
    }
    if (own_token(thread, 0u) < n_tokens) {
      multiply(place, first, thread, &sums);
    }
  }
  return sums.total;
}
