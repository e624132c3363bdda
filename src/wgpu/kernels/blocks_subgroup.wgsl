// What eight consecutive threads find together, with subgroup operations; blocks_shared.wgsl has the same functions.
// Subgroups have 8 lanes or a multiple, lane i of one being thread i of its share of the workgroup. Workgroups are
// one-dimensional. Every thread calls them, in uniform control flow.

fn block_max(value: u32, thread: u32) -> u32 {
  var largest = max(value, subgroupShuffleXor(value, 1u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  return max(largest, subgroupShuffleXor(largest, 4u));
}

fn block_sum(value: i32, thread: u32) -> i32 {
  var sum = value + subgroupShuffleXor(value, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 4u);
}
