// Quantises activations to 8-bit blocks of 32, as numerics_fast.wgsl reads them.
// File before it: blocks_*, with its constants.

struct QuantizedLane {
  word: u32,   // four columns as signed bytes
  scale: f32,  // d: a column is d·q
  sum: f32,    // d·(sum of the block's q)
}

// Eight consecutive threads hold a block, four columns each. Every thread calls it, in uniform control flow.
// A NaN in the block makes its scale NaN.
fn quantize_lane(value: vec4<f32>, thread: u32) -> QuantizedLane {
  let bits = bitcast<vec4<u32>>(abs(value));  // magnitudes order as their bits do, and NaN is above all
  let largest_bits = block_max(max(max(bits.x, bits.y), max(bits.z, bits.w)), thread);
  let largest = bitcast<f32>(largest_bits);
  var inverse = 0.0;
  if (largest_bits != 0u) {
    inverse = 127.0 / largest;
  }
  // A block below 127 · 2^-126 has no inverse: its integers stay within range, its scale is next to nothing.
  let q = clamp(vec4<i32>(round(clamp(value * inverse, vec4(-127.0), vec4(127.0)))), vec4(-127), vec4(127));
  let word = pack4xI8(q);
  let sum = block_sum(dot4I8Packed(word, 0x01010101u), thread);
  let scale = largest / 127.0;
  return QuantizedLane(word, scale, scale * f32(sum));
}

// Where a row of `units` blocks begins, in words.
fn quantized_row(row: u32, units: u32) -> u32 {
  return row * 4u * (2u * units + (units + 1u) / 2u);
}
// Where thread `j` of block `unit` puts its word, and where the block's scale and sum stand, within such a row.
fn quantized_word(units: u32, unit: u32, j: u32) -> u32 {
  return (units * (j / 4u) + unit) * 4u + j % 4u;
}
fn quantized_scale(units: u32, unit: u32) -> u32 {
  return 8u * units + 2u * unit;
}
