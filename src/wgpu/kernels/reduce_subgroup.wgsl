// Sums over a workgroup with subgroup operations; reduce_shared.wgsl has the same functions.
// Constants: WORKGROUP (threads, a multiple of SUBGROUP_SIZE), SUBGROUP_SIZE (probed: thread t is in subgroup
// t / SUBGROUP_SIZE). Workgroups are one-dimensional. Every thread calls them, in uniform control flow; every thread
// gets the result; the order of the sums is fixed.

var<workgroup> reduce_values: array<f32, WORKGROUP / SUBGROUP_SIZE>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  let part = subgroupAdd(value);
  workgroupBarrier();  // what the last call reads is still in use
  if (thread % SUBGROUP_SIZE == 0u) {
    reduce_values[thread / SUBGROUP_SIZE] = part;
  }
  workgroupBarrier();
  var sum = reduce_values[0];
  for (var i = 1u; i < WORKGROUP / SUBGROUP_SIZE; i++) {
    sum += reduce_values[i];
  }
  return sum;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  let part = subgroupMax(value);
  workgroupBarrier();
  if (thread % SUBGROUP_SIZE == 0u) {
    reduce_values[thread / SUBGROUP_SIZE] = part;
  }
  workgroupBarrier();
  var largest = reduce_values[0];
  for (var i = 1u; i < WORKGROUP / SUBGROUP_SIZE; i++) {
    largest = max(largest, reduce_values[i]);
  }
  return largest;
}
