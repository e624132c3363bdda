// Reads a buffer and does next to nothing with it: how fast memory is.
//
// Constants: WORKGROUP threads, LOADS of 16 bytes each.
// Grid: (size of memory / (WORKGROUP · LOADS), 1, 1).
// Bindings: 0 memory, 1 sums [workgroups]: a compiler would leave out loads that cannot change a result.
@group(0) @binding(0) var<storage, read> memory: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<atomic<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var loaded: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) {
    loaded[i] = memory[(group.x * LOADS + i) * WORKGROUP + thread];
  }
  var sum = vec4(0u);
  for (var i = 0u; i < LOADS; i++) {
    sum ^= loaded[i];
  }
  let word = sum.x ^ sum.y ^ sum.z ^ sum.w;
  if (word != 0u) {  // the buffer is zero, which no compiler knows
    atomicXor(&sums[group.x], word);
  }
}
