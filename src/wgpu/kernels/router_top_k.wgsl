// The experts of every token row and their weights, one workgroup a row: for batches of many rows; for few,
// expert_gate_up.wgsl chooses them itself.
//
// Files before it: top_k, with its constants.
// Grid: (1, rows, 1); rows from n_rows on are left alone.
// Bindings: 0 step, 1 router_logits [T][E], 2 ids [T][k], 3 expert_weights [T][k] f32.
struct Step { n_rows: u32, n_logits: u32, n_splits: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> router_logits: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> expert_weights: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (row >= step.n_rows) {
    return;
  }
  choose_experts(row, true, lane);
  for (var rank = lane; rank < EXPERTS_PER_TOKEN; rank += WORKGROUP) {
    ids[row * EXPERTS_PER_TOKEN + rank] = chosen_ids[rank];
    expert_weights[row * EXPERTS_PER_TOKEN + rank] = chosen_weights[rank];
  }
}
