// A lane's share of an 8-bit block to memory, in the layout of quantize.wgsl.
// File before it: quantize. Binding of the kernel: quantized, read_write, array<u32>.

// `units`: blocks of a row; `quad`: of the row.
fn store_block(row: u32, units: u32, quad: u32, block: QuantizedLane) {
  let base = quantized_row(row, units);
  quantized[base + quantized_word(units, quad / 8u, quad % 8u)] = block.word;
  if (quad % 8u == 0u) {
    quantized[base + quantized_scale(units, quad / 8u)] = bitcast<u32>(block.scale);
    quantized[base + quantized_scale(units, quad / 8u) + 1u] = bitcast<u32>(block.sum);
  }
}
