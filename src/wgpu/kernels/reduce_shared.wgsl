// Sums over lanes through workgroup memory; reduce_subgroup.wgsl has the same function.
// Constants: WORKGROUP (threads), LANES (a multiple of WORKGROUP). Workgroups are one-dimensional.

const LANES_EACH: u32 = LANES / WORKGROUP;

var<workgroup> reduce_values: array<f32, LANES>;

// The sum of LANES values, of which a thread has LANES_EACH: the i-th is that of lane thread + i * WORKGROUP. Every
// thread calls it, in uniform control flow, and gets the result. The order of the sums depends on LANES only.
fn lanes_sum(values: array<f32, LANES_EACH>, thread: u32) -> f32 {
  workgroupBarrier();  // what the last call reads is still in use
  for (var i = 0u; i < LANES_EACH; i++) {
    reduce_values[i * WORKGROUP + thread] = values[i];
  }
  for (var width = LANES; width > 1u;) {
    let half = (width + 1u) / 2u;
    workgroupBarrier();
    for (var lane = thread; lane + half < width; lane += WORKGROUP) {
      reduce_values[lane] += reduce_values[lane + half];
    }
    width = half;
  }
  workgroupBarrier();
  return reduce_values[0];
}
