// What eight consecutive threads find together, through workgroup memory; blocks_subgroup.wgsl has the same functions.
// Constants: WORKGROUP (threads, a multiple of 8). Workgroups are one-dimensional. Every thread calls them, in uniform
// control flow.

var<workgroup> block_values: array<u32, WORKGROUP>;

fn block_max(value: u32, thread: u32) -> u32 {
  let first = thread - thread % 8u;
  workgroupBarrier();
  block_values[thread] = value;
  workgroupBarrier();
  var largest = 0u;
  for (var i = 0u; i < 8u; i++) {
    largest = max(largest, block_values[first + i]);
  }
  return largest;
}

fn block_sum(value: i32, thread: u32) -> i32 {
  let first = thread - thread % 8u;
  workgroupBarrier();
  block_values[thread] = bitcast<u32>(value);
  workgroupBarrier();
  var sum = 0;
  for (var i = 0u; i < 8u; i++) {
    sum += bitcast<i32>(block_values[first + i]);
  }
  return sum;
}
