// The activations of numerics_fast.wgsl from workgroup memory: one row, as TERMS rows of blocks.
// Constants: TERMS. Workgroup memory, in bytes: TERMS · 40 · UNITS.

var<workgroup> kept_words: array<vec4<u32>, TERMS * 2u * UNITS>;  // as activations_q8.wgsl has them
var<workgroup> kept_scales: array<vec2<f32>, TERMS * UNITS>;      // and sums

fn load_activations(row: u32, unit: u32) -> Activations {
  let at = row * 2u * UNITS + unit;
  let scale = kept_scales[row * UNITS + unit];
  return Activations(kept_words[at], kept_words[at + UNITS], scale.x, scale.y);
}

// Word `j` of a block.
fn keep_word(row: u32, unit: u32, j: u32, word: u32) {
  kept_words[(row * 2u + j / 4u) * UNITS + unit][j % 4u] = word;
}
