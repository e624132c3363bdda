// Blocks of a normed row to memory, in the layout of quantize.wgsl.
// Binding of the kernel: quantized (without QUANTIZE any other writable buffer).

fn put_block(row: u32, quad: u32, block: QuantizedLane) {
  const units = NORM_QUADS / 8u;
  let base = quantized_row(row, units);
  quantized[base + quantized_word(units, quad / 8u, quad % 8u)] = block.word;
  if (quad % 8u == 0u) {
    quantized[base + quantized_scale(units, quad / 8u)] = bitcast<u32>(block.scale);
    quantized[base + quantized_scale(units, quad / 8u) + 1u] = bitcast<u32>(block.sum);
  }
}
