// Penalties, bias and mask, as sampling::Sampler::adjust has them, to the bit.
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
  if ((flags & HAS_TALLIES) != 0u) {
    let slot = rules[choice.slot];
    let logit = bitcast<f32>(bits);
    var scale = 1.0;
    if (tallies[seen_at(choice.slot, token)] > 0u) {
      scale = select(slot.other_scale, slot.positive_scale, logit > 0.0);
    }
    var cost = 0.0;
    let generated = tallies[generated_at(choice.slot, token)];
    if (generated > 0u) {
      cost = fma(slot.frequency_penalty, f32(generated), slot.presence_penalty);
    }
    // What no rule touches keeps its bits, a NaN too.
    if (scale != 1.0 || cost != 0.0) {
      bits = bitcast<u32>(fma(logit, scale, -cost));
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
