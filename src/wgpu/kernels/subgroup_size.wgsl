// How wide this device's subgroups are: each invocation writes the size that it sees, or 0 where the lanes of a subgroup
// are not those of consecutive invocations in their order.
// Dispatch: one workgroup. Binding 0: sizes[256].
@group(0) @binding(0) var<storage, read_write> sizes: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32,
        @builtin(subgroup_invocation_id) own: u32) {
  sizes[lane] = select(0u, size, own == lane % size);
}
