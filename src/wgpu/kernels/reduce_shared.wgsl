// Sums over a workgroup through workgroup memory; reduce_subgroup.wgsl has the same functions.
// Constants: WORKGROUP (threads). Workgroups are one-dimensional. Every thread calls them, in uniform control flow;
// every thread gets the result; the order of the sums is fixed.

var<workgroup> reduce_values: array<f32, WORKGROUP>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_values[thread] = value;
  for (var width = WORKGROUP; width > 1u;) {
    let half = (width + 1u) / 2u;
    workgroupBarrier();
    if (thread + half < width) {
      reduce_values[thread] += reduce_values[thread + half];
    }
    width = half;
  }
  workgroupBarrier();
  return reduce_values[0];
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_values[thread] = value;
  for (var width = WORKGROUP; width > 1u;) {
    let half = (width + 1u) / 2u;
    workgroupBarrier();
    if (thread + half < width) {
      reduce_values[thread] = max(reduce_values[thread], reduce_values[thread + half]);
    }
    width = half;
  }
  workgroupBarrier();
  return reduce_values[0];
}
