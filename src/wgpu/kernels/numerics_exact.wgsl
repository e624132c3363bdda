// Activations in f32: every weight becomes a number, products are summed in f32 in one fixed order per lane.
// Comes after quant_common.wgsl and before the quant_<type>.wgsl.
// Constants: COLUMNS.
// Binding 1: x [rows][COLUMNS] f32; the buffer is a multiple of 16 bytes long.

alias Loaded = Unpacked;
alias Activations = Unpacked;

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

fn unpack_signed(q: vec4<u32>, scale: f32, min: f32) -> mat4x4<f32> {
  let scales = vec4(scale);
  let offsets = vec4(-min);
  return mat4x4(fma(vec4<f32>(unpack4xI8(q.x)), scales, offsets), fma(vec4<f32>(unpack4xI8(q.y)), scales, offsets),
                fma(vec4<f32>(unpack4xI8(q.z)), scales, offsets), fma(vec4<f32>(unpack4xI8(q.w)), scales, offsets));
}

fn loaded(unit: Packed) -> Loaded {
  return Loaded(unpack_signed(unit.a, unit.scale.x, unit.min.x), unpack_signed(unit.b, unit.scale.y, unit.min.y));
}

// Four activations from `column` on; zeros beyond the row.
fn activations4(row: u32, column: u32) -> vec4<f32> {
  let at = row * COLUMNS + column;
  if (COLUMNS % 32u == 0u) {
    return x[at / 4u];
  }
  var four = vec4(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (column + i < COLUMNS) {
      four[i] = x[(at + i) / 4u][(at + i) % 4u];
    }
  }
  return four;
}

fn load_activations(row: u32, unit: u32) -> Activations {
  let c = 32u * unit;
  return Activations(
      mat4x4(activations4(row, c), activations4(row, c + 4u), activations4(row, c + 8u), activations4(row, c + 12u)),
      mat4x4(activations4(row, c + 16u), activations4(row, c + 20u), activations4(row, c + 24u),
             activations4(row, c + 28u)));
}

fn add_products(w: vec4<f32>, v: vec4<f32>, sum: f32) -> f32 {
  return fma(w.w, v.w, fma(w.z, v.z, fma(w.y, v.y, fma(w.x, v.x, sum))));
}

// sum + w · v, column after column as in gemm_exact.wgsl, so that both give the same bits.
fn add_unit(w: Loaded, v: Activations, scales: u32, sum: f32) -> f32 {
  var result = sum;
  for (var i = 0u; i < 4u; i++) {
    result = add_products(w.a[i], v.a[i], result);
  }
  for (var i = 0u; i < 4u; i++) {
    result = add_products(w.b[i], v.b[i], result);
  }
  return result;
}
