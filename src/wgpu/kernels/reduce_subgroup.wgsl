// Sums over lanes with subgroup operations; reduce_shared.wgsl has the same function.
// Constants: WORKGROUP (threads, a multiple of SUBGROUP_SIZE), LANES (a multiple of WORKGROUP), SUBGROUP_SIZE: the lanes
// of a subgroup in a kernel that looked, at least 4. A driver may take another number here. Thread t is in subgroup
// t / that number. Workgroups are one-dimensional.

const LANES_EACH: u32 = LANES / WORKGROUP;

var<workgroup> reduce_values: array<f32, LANES / 4u>;

fn subgroup_lanes() -> u32 {
  let lanes = countOneBits(subgroupBallot(true));
  return (lanes.x + lanes.y) + (lanes.z + lanes.w);
}

// The sum of LANES values, of which a thread has LANES_EACH: the i-th is that of lane thread + i * WORKGROUP. Every
// thread calls it, in uniform control flow, and gets the result. The order of the sums depends on LANES only, where
// subgroups have SUBGROUP_SIZE lanes.
fn lanes_sum(values: array<f32, LANES_EACH>, thread: u32) -> f32 {
  let size = subgroup_lanes();
  let as_expected = size == SUBGROUP_SIZE;
  workgroupBarrier();  // what the last call reads is still in use
  for (var i = 0u; i < LANES_EACH; i++) {
    let sum = subgroupAdd(values[i]);
    if (as_expected) {
      if (thread % SUBGROUP_SIZE == 0u) {
        reduce_values[(i * WORKGROUP + thread) / SUBGROUP_SIZE] = sum;
      }
    } else if (thread % size == 0u) {
      reduce_values[(i * WORKGROUP + thread) / size] = sum;
    }
  }
  workgroupBarrier();
  var sum = reduce_values[0];
  if (as_expected) {
    for (var i = 1u; i < LANES / SUBGROUP_SIZE; i++) {
      sum += reduce_values[i];
    }
  } else {
    for (var i = 1u; i < LANES / size; i++) {
      sum += reduce_values[i];
    }
  }
  return sum;
}
