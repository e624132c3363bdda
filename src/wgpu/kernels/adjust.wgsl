// Penalties, bias and mask, as sampling::Sampler::adjust has them, to the bit but for subnormal numbers.
//
// L rows of logits, V vocabulary, S slots. logits [L][V] f32, tallies [S][3][V], allowed [S][ceil(V / 32)].
// Files before it: choice. Constants: WORKGROUP and those of choice.
// Grid: (ceil(V / WORKGROUP), L, 1); rows from n_logits on, and those that choose no token, are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> choices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> rules: array<Rules>;
@group(0) @binding(3) var<storage, read> tallies: array<u32>;
@group(0) @binding(4) var<storage, read> allowed: array<u32>;
@group(0) @binding(5) var<storage, read_write> logits: array<u32>;

// A product or sum that is rounded by itself: a compiler that sees only the operations may fuse them, or not, as it
// does with fma().
fn rounded(value: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(value) ^ step.zero);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
  let token = thread.x;
  let row = thread.y;
  if (token >= VOCAB || row >= step.n_logits) {
    return;
  }
  let choice = choice_of(choices[step.first_logits + row]);
  let flags = rules[choice.slot].flags;
  if (choice.wants_token == 0u || flags == 0u) {
    return;
  }
  let at = row * VOCAB + token;
  var bits = logits[at];
  // Penalties and bias leave an infinity or NaN what it is.
  if ((flags & HAS_TALLIES) != 0u && (bits & 0x7fffffffu) < 0x7f800000u) {
    let slot = rules[choice.slot];
    if (tallies[seen_at(choice.slot, token)] > 0u) {
      let logit = bitcast<f32>(bits);
      bits = bitcast<u32>(rounded(logit * select(slot.other_scale, slot.positive_scale, logit > 0.0)));
    }
    let generated = tallies[generated_at(choice.slot, token)];
    if (generated > 0u) {
      let cost = rounded(slot.presence_penalty + rounded(slot.frequency_penalty * f32(generated)));
      bits = bitcast<u32>(rounded(bitcast<f32>(bits) - cost));
    }
    let bias = tallies[bias_at(choice.slot, token)];
    if ((bias & 0x7fffffffu) != 0u) {
      bits = bitcast<u32>(bitcast<f32>(bits) + bitcast<f32>(bias));
    }
  }
  if ((flags & HAS_MASK) != 0u && (bits & 0x7fffffffu) <= 0x7f800000u) {
    let word = allowed[choice.slot * ((VOCAB + 31u) / 32u) + token / 32u];
    if (((word >> (token % 32u)) & 1u) == 0u) {
      bits = 0xff800000u;
    }
  }
  logits[at] = bits;
}
