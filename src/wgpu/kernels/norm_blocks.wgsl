// Blocks of a normed row to memory.
// Files before it: store_block, with its binding (without QUANTIZE any other writable buffer), norm_row.

fn put_block(row: u32, quad: u32, block: QuantizedLane) {
  store_block(row, NORM_QUADS / 8u, quad, block);
}
