// Sums over lanes with subgroup operations; reduce_shared.wgsl has the same function.
// Constants: WORKGROUP (threads, a multiple of SUBGROUP_SIZE), LANES (a multiple of WORKGROUP), SUBGROUP_SIZE: thread t is
// in subgroup t / SUBGROUP_SIZE, as it was in a kernel that looked (a driver that takes another size here gives wrong sums,
// which the self-test at load finds). Workgroups are one-dimensional.

const LANES_EACH: u32 = LANES / WORKGROUP;

var<workgroup> reduce_values: array<f32, LANES / SUBGROUP_SIZE>;

// The sum of LANES values, of which a thread has LANES_EACH: the i-th is that of lane thread + i * WORKGROUP. Every
// thread calls it, in uniform control flow, and gets the result. The order of the sums depends on LANES only.
fn lanes_sum(values: array<f32, LANES_EACH>, thread: u32) -> f32 {
  workgroupBarrier();  // what the last call reads is still in use
  for (var i = 0u; i < LANES_EACH; i++) {
    let sum = subgroupAdd(values[i]);
    if (thread % SUBGROUP_SIZE == 0u) {
      reduce_values[(i * WORKGROUP + thread) / SUBGROUP_SIZE] = sum;
    }
  }
  workgroupBarrier();
  var sum = reduce_values[0];
  for (var i = 1u; i < LANES / SUBGROUP_SIZE; i++) {
    sum += reduce_values[i];
  }
  return sum;
}
