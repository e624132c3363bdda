// The activations of numerics_fast.wgsl from workgroup memory: one row, as TERMS rows of blocks.
// Constants: TERMS. Workgroup memory, in bytes: TERMS · 40 · UNITS.

// As activations_q8.wgsl has them, but as words: lanes must not write components of one vector, which a driver may store
// as a whole.
var<workgroup> kept_words: array<u32, TERMS * 8u * UNITS>;
var<workgroup> kept_scales: array<vec2<f32>, TERMS * UNITS>;      // and sums

fn kept_vector(at: u32) -> vec4<u32> {
  return vec4(kept_words[at], kept_words[at + 1u], kept_words[at + 2u], kept_words[at + 3u]);
}

fn load_activations(row: u32, unit: u32) -> Activations {
  let at = 4u * (row * 2u * UNITS + unit);
  let scale = kept_scales[row * UNITS + unit];
  return Activations(kept_vector(at), kept_vector(at + 4u * UNITS), scale.x, scale.y);
}

// Word `j` of a block.
fn keep_word(row: u32, unit: u32, j: u32, word: u32) {
  kept_words[4u * ((row * 2u + j / 4u) * UNITS + unit) + j % 4u] = word;
}
