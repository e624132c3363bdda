// y[t] = x[t] / sqrt(mean(x[t]²) + eps) · w, one workgroup per token row.
//
// T rows, H width, L rows that want logits. x [T][H], w [H], y [T][H], f32. With LOGITS, y is [L][H]: only the
// rows that want logits (rows[t] has bit 0 of its flags), behind one another.
// Files before it: reduce_*.
// Constants: WORKGROUP (at most 1024), WIDTH = H (any), LOGITS (bool).
// Grid: (1, T, 1); rows from n_rows on are left alone.
struct Params { eps: f32 }
struct Step { n_rows: u32, n_logits: u32, n_chunks: u32, ring_slot: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;  // token, position, sequence, flags
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> w: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const PER_LANE = (WIDTH + WORKGROUP - 1u) / WORKGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  var out_row = row;
  if (LOGITS) {
    if ((rows[row].w & 1u) == 0u) {
      return;
    }
    var earlier = 0.0;
    for (var i = lane; i < row; i += WORKGROUP) {
      earlier += f32(rows[i].w & 1u);
    }
    out_row = u32(workgroup_sum(earlier, lane));
  }

  // The row stays in registers between the two uses.
  var held: array<f32, PER_LANE>;
  var squares = 0.0;
  for (var i = 0u; i < PER_LANE; i++) {
    let at = i * WORKGROUP + lane;
    held[i] = 0.0;
    if (at < WIDTH) {
      held[i] = x[row * WIDTH + at];
    }
    squares += held[i] * held[i];
  }
  let scale = inverseSqrt(workgroup_sum(squares, lane) / f32(WIDTH) + params.eps);
  for (var i = 0u; i < PER_LANE; i++) {
    let at = i * WORKGROUP + lane;
    if (at < WIDTH) {
      y[out_row * WIDTH + at] = held[i] * scale * w[at];
    }
  }
}
