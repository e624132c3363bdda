// A tile's operands in f32, and the products of a thread's rows with four tokens.
// Comes after numerics_exact.wgsl. gemm_tile.wgsl names the constants; TERMS is 1 here, SCALES and MINIMA do not matter.
// Workgroup memory: (TILE_ROWS + TILE + 1) * STEP * 128 bytes.

const CHUNKS: u32 = 8u;  // a unit is staged and multiplied in so many chunks: four columns
const X_PIECES: u32 = 8u;  // loads a unit of x

const TOKENS_STRIDE: u32 = TILE + 1u;  // odd: the pieces of a token go to different banks

var<workgroup> tile_w: array<vec4<f32>, 8u * STEP * TILE_ROWS>;      // [chunk][row]
var<workgroup> tile_x: array<vec4<f32>, 8u * STEP * TOKENS_STRIDE>;  // [chunk][token]

alias Piece = vec4<f32>;

fn load_piece(row: u32, unit: u32, piece: u32) -> Piece {
  return activations4(row, 32u * unit + 4u * piece);
}

fn put_piece(unit: u32, token: u32, piece: u32, value: Piece) {
  tile_x[(8u * unit + piece) * TOKENS_STRIDE + token] = value;
}

fn put_weights(unit: u32, row: u32, w: Loaded) {
  let at = 8u * unit * TILE_ROWS + row;
  tile_w[at] = w.a[0];
  tile_w[at + TILE_ROWS] = w.a[1];
  tile_w[at + 2u * TILE_ROWS] = w.a[2];
  tile_w[at + 3u * TILE_ROWS] = w.a[3];
  tile_w[at + 4u * TILE_ROWS] = w.b[0];
  tile_w[at + 5u * TILE_ROWS] = w.b[1];
  tile_w[at + 6u * TILE_ROWS] = w.b[2];
  tile_w[at + 7u * TILE_ROWS] = w.b[3];
}

alias Weight = vec4<f32>;

fn take_weight(chunk: u32, row: u32) -> Weight {
  return tile_w[chunk * TILE_ROWS + row];
}

struct Four {
  x0: vec4<f32>,
  x1: vec4<f32>,
  x2: vec4<f32>,
  x3: vec4<f32>,
}

// Tokens `token` .. `token` + 3 of the tile.
fn take_four(chunk: u32, token: u32) -> Four {
  let at = chunk * TOKENS_STRIDE + token;
  return Four(tile_x[at], tile_x[at + 1u], tile_x[at + 2u], tile_x[at + 3u]);
}

// As add_unit() of numerics_exact.wgsl, column after column.
fn multiply_four(w: Weight, v: Four, scales: u32, sums: vec4<f32>) -> vec4<f32> {
  return vec4(add_products(w, v.x0, sums.x), add_products(w, v.x1, sums.y), add_products(w, v.x2, sums.z),
              add_products(w, v.x3, sums.w));
}
