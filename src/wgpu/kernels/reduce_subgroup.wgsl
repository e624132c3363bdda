// Sums over lanes with subgroup operations; reduce_shared.wgsl has the same functions.
// Constants: WORKGROUP (threads, a multiple of SUBGROUP_SIZE), TEAM (lanes of a team: thread t is lane t % TEAM of
// team t / TEAM; a power of two, at most SUBGROUP_SIZE), SUBGROUP_SIZE (probed: thread t is in subgroup
// t / SUBGROUP_SIZE). Workgroups are one-dimensional. Every thread calls them, in uniform control flow; every lane
// gets the result; the order of the sums is fixed.

var<workgroup> reduce_values: array<f32, WORKGROUP / SUBGROUP_SIZE>;

// Of four values at once, over the lanes of the thread's team.
fn team_sum4(value: vec4<f32>, thread: u32) -> vec4<f32> {
  var sum = value;
  for (var distance = TEAM / 2u; distance > 0u; distance /= 2u) {
    sum += subgroupShuffleXor(sum, distance);
  }
  return sum;
}

fn team_sum2(value: vec2<f32>, thread: u32) -> vec2<f32> {
  var sum = value;
  for (var distance = TEAM / 2u; distance > 0u; distance /= 2u) {
    sum += subgroupShuffleXor(sum, distance);
  }
  return sum;
}

fn team_sum(value: f32, thread: u32) -> f32 {
  var sum = value;
  for (var distance = TEAM / 2u; distance > 0u; distance /= 2u) {
    sum += subgroupShuffleXor(sum, distance);
  }
  return sum;
}

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
