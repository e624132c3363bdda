// Chunks of attention, merged one after another.

struct Merged {
  largest: f32,    // score so far
  weights: f32,    // sum of exp(score - largest)
  sum: vec4<f32>,  // of so weighted values
}

fn merge_nothing() -> Merged {
  return Merged(-1e30, 0.0, vec4(0.0));
}

// What a compiler could fuse is fused here, so that every kernel gives the same bits. Merging with nothing changes none.
fn merge(before: Merged, chunk: Merged) -> Merged {
  let largest = max(before.largest, chunk.largest);
  let old = exp(before.largest - largest);
  let recent = exp(chunk.largest - largest);
  return Merged(largest, fma(chunk.weights, recent, before.weights * old),
                fma(chunk.sum, vec4(recent), before.sum * old));
}
