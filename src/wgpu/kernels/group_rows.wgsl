// Groups the (row, slot) pairs of a batch by expert, for the matrix products of prefill: one workgroup per expert,
// and each finds its own place by counting, so that one dispatch does it all and the order never varies.
//
// T rows, k experts_per_token, E experts; pair i = row·k + slot. ids [T][k]. groups [E] (first, count): an expert's
// pairs are pairs[first .. first + count), ascending; pairs [T·k]. tiles [n_tiles] (expert, first, count, 0): at
// most TILE pairs of one expert each, experts ascending; those that are not needed have count 0. n_tiles is at
// least min(T·k, E) + T·k / TILE.
// Constants: WORKGROUP, N_EXPERTS = E, EXPERTS_PER_TOKEN = k, TILE.
// Grid: (E, 1, 1); of T rows, n_rows count.
struct Params { n_tiles: u32 }
struct Step { n_rows: u32, n_logits: u32, n_splits: u32, unused: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> groups: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> pairs: array<u32>;
@group(0) @binding(5) var<storage, read_write> tiles: array<vec4<u32>>;

var<workgroup> counts: array<atomic<u32>, N_EXPERTS>;
var<workgroup> totals: array<vec2<u32>, WORKGROUP>;  // pairs and tiles of the experts before this one
var<workgroup> mine: array<u32, WORKGROUP>;          // pairs of this expert up to and including a lane's

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let expert = group.x;
  let n_pairs = step.n_rows * EXPERTS_PER_TOKEN;
  for (var i = lane; i < N_EXPERTS; i += WORKGROUP) {
    atomicStore(&counts[i], 0u);
  }
  workgroupBarrier();

  // Each lane takes consecutive pairs.
  let length = (n_pairs + WORKGROUP - 1u) / WORKGROUP;
  let begin = min(lane * length, n_pairs);
  let end = min(begin + length, n_pairs);
  var own = 0u;
  for (var i = begin; i < end; i++) {
    let id = ids[i];
    if (id < N_EXPERTS) {
      atomicAdd(&counts[id], 1u);
    }
    own += select(0u, 1u, id == expert);
  }
  mine[lane] = own;
  workgroupBarrier();

  var before = vec2<u32>();
  for (var i = lane; i < expert; i += WORKGROUP) {
    let count = atomicLoad(&counts[i]);
    before += vec2(count, (count + TILE - 1u) / TILE);
  }
  totals[lane] = before;
  workgroupBarrier();
  for (var distance = 1u; distance < WORKGROUP; distance *= 2u) {
    var added = 0u;
    var sum = vec2<u32>();
    if (lane >= distance) {
      added = mine[lane - distance];
      sum = totals[lane - distance];
    }
    workgroupBarrier();
    mine[lane] += added;
    totals[lane] += sum;
    workgroupBarrier();
  }

  let first = totals[WORKGROUP - 1u].x;
  let first_tile = totals[WORKGROUP - 1u].y;
  let count = mine[WORKGROUP - 1u];
  var at = first + mine[lane] - own;
  for (var i = begin; i < end; i++) {
    if (ids[i] == expert) {
      pairs[at] = i;
      at++;
    }
  }
  let own_tiles = (count + TILE - 1u) / TILE;
  for (var i = lane; i < own_tiles; i += WORKGROUP) {
    tiles[first_tile + i] = vec4(expert, first + i * TILE, min(TILE, count - i * TILE), 0u);
  }
  if (lane == 0u) {
    groups[expert] = vec2(first, count);
  }
  if (expert == N_EXPERTS - 1u) {
    for (var i = first_tile + own_tiles + lane; i < params.n_tiles; i += WORKGROUP) {
      tiles[i] = vec4<u32>();
    }
  }
}
