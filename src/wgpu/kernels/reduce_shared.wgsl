// Sums over lanes through workgroup memory; reduce_subgroup.wgsl has the same functions.
// Constants: WORKGROUP (threads), TEAM (lanes of a team, which divides WORKGROUP: thread t is lane t % TEAM of team
// t / TEAM). Workgroups are one-dimensional. Every thread calls them, in uniform control flow; every lane gets the
// result; the order of the sums is fixed.

var<workgroup> reduce_values: array<vec4<f32>, WORKGROUP>;

// Of four values at once, over the lanes of the thread's team.
fn team_sum4(value: vec4<f32>, thread: u32) -> vec4<f32> {
  workgroupBarrier();  // what the last call reads is still in use
  reduce_values[thread] = value;
  workgroupBarrier();
  let first = thread - thread % TEAM;
  var sum = reduce_values[first];
  for (var lane = 1u; lane < TEAM; lane++) {
    sum += reduce_values[first + lane];
  }
  return sum;
}

fn team_sum2(value: vec2<f32>, thread: u32) -> vec2<f32> {
  return team_sum4(vec4(value, 0.0, 0.0), thread).xy;
}

fn team_sum(value: f32, thread: u32) -> f32 {
  return team_sum4(vec4(value, 0.0, 0.0, 0.0), thread).x;
}

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_values[thread].x = value;
  for (var width = WORKGROUP; width > 1u;) {
    let half = (width + 1u) / 2u;
    workgroupBarrier();
    if (thread + half < width) {
      reduce_values[thread].x += reduce_values[thread + half].x;
    }
    width = half;
  }
  workgroupBarrier();
  return reduce_values[0].x;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  reduce_values[thread].x = value;
  for (var width = WORKGROUP; width > 1u;) {
    let half = (width + 1u) / 2u;
    workgroupBarrier();
    if (thread + half < width) {
      reduce_values[thread].x = max(reduce_values[thread].x, reduce_values[thread + half].x);
    }
    width = half;
  }
  workgroupBarrier();
  return reduce_values[0].x;
}
