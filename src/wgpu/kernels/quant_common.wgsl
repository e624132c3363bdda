// What the libraries quant_<type>.wgsl share. They read rows in the layout of src/wgpu/repack.h: units of 32
// columns, in planes of vec4<u32>.
// Constants: COLUMNS (of the matrix, and of the activations it is multiplied with).
//
// A library defines, for the kernel's `var<storage, read> weights: array<vec4<u32>>`:
//   weights_stride: u32                               vec4s per row
//   weights_unit_scales: u32                          scales a unit: 1, or 2 for 16 columns each
//   weights_unit_minima: u32                          1 where a unit has a minimum, else 0
//   weights_load(row: u32, unit: u32) -> Loaded       one unit of the row that begins at vec4 `row`
// Behind the last row lies the type's code book, where it has one (weights_book vec4s: repack.h).
// Every name it defines begins with "weights", so that a kernel with several matrices includes it once for each,
// with that word replaced: gate_load(), up_load(). `Loaded` belongs to the numerics file that comes before it.

const UNITS: u32 = (COLUMNS + 31u) / 32u;
const BLOCKS: u32 = UNITS / 8u;  // super-blocks

// vec4s of a plane with so many bytes a unit, or a super-block.
const UNIT_PLANE_1: u32 = (UNITS + 15u) / 16u;
const UNIT_PLANE_2: u32 = (UNITS + 7u) / 8u;
const UNIT_PLANE_4: u32 = (UNITS + 3u) / 4u;
const UNIT_PLANE_8: u32 = (UNITS + 1u) / 2u;
const BLOCK_PLANE_2: u32 = (BLOCKS + 7u) / 8u;
const BLOCK_PLANE_4: u32 = (BLOCKS + 3u) / 4u;
const BLOCK_PLANE_8: u32 = (BLOCKS + 1u) / 2u;
const BLOCK_PLANE_12: u32 = (3u * BLOCKS + 3u) / 4u;

// A unit of 8-bit integers: weight c is scale[c / 16] * q[c] - min[c / 16]. Four columns a word, in order: `a` holds
// columns 0 .. 15, `b` columns 16 .. 31.
struct Packed {
  a: vec4<u32>,
  b: vec4<u32>,
  scale: vec2<f32>,
  min: vec2<f32>,
}

// A unit as numbers; vector i of `a` holds columns 4i .. 4i + 3.
struct Unpacked {
  a: mat4x4<f32>,
  b: mat4x4<f32>,
}

// Half number `i` of a word that holds two.
fn half_of(word: u32, i: u32) -> f32 {
  return unpack2x16float(word)[i & 1u];
}

fn low_nibbles(quants: vec4<u32>) -> vec4<u32> {
  return quants & vec4(0x0F0F0F0Fu);
}

fn high_nibbles(quants: vec4<u32>) -> vec4<u32> {
  return (quants >> vec4(4u)) & vec4(0x0F0F0F0Fu);
}

// One half of the "pairs" plane: two bits for each of 16 columns.
fn spread_pairs(word: u32) -> vec4<u32> {
  return (vec4(word) >> vec4(0u, 2u, 4u, 6u)) & vec4(0x03030303u);
}

// The "bits" plane: half 0 or 1 of a unit.
fn spread_bits(word: u32, half: u32) -> vec4<u32> {
  return (vec4(word) >> (vec4(0u, 1u, 2u, 3u) + vec4(4u * half))) & vec4(0x01010101u);
}

// Byte-wise q - offset for bytes below 128, as two's complement.
fn subtract_bytes(q: vec4<u32>, offset: u32) -> vec4<u32> {
  return ((q | vec4(0x80808080u)) - vec4(offset * 0x01010101u)) ^ vec4(0x80808080u);
}

// Scale and min of sub-block `s` of a Q4_K or Q5_K header (d, dmin, 12 bytes of six-bit numbers), multiplied out.
fn k_scale_and_min(header: vec4<u32>, s: u32) -> vec2<f32> {
  let shift = 8u * (s & 3u);
  let low = (vec2(header.y, header.z) >> vec2(shift)) & vec2(0xFFu);
  let packed = (header.w >> shift) & 0xFFu;
  let late = vec2(packed & 15u, packed >> 4u) | ((low >> vec2(2u)) & vec2(0x30u));
  return unpack2x16float(header.x) * vec2<f32>(select(low & vec2(63u), late, s >= 4u));
}

// Eight bits, 7 of them given: the last makes the number of set ones even.
fn with_parity(bits: u32) -> u32 {
  return bits | ((countOneBits(bits) & 1u) << 7u);
}

// The digits of a code book's point as bytes: eight of two bits, four of four bits.
fn eight_digits(point: u32) -> vec2<u32> {
  let halves = vec2(point, point >> 8u);
  let pairs = (halves & vec2(15u)) | ((halves & vec2(0xF0u)) << vec2(12u));
  return (pairs | (pairs << vec2(6u))) & vec2(0x03030303u);
}

fn four_digits(point: u32) -> u32 {
  return (point & 15u) | ((point & 0xF0u) << 4u) | ((point & 0xF00u) << 8u) | ((point & 0xF000u) << 12u);
}

// The levels of the IQ2 types: 8, 25, 43.
fn iq2_levels(digits: vec2<u32>) -> vec2<u32> {
  return 17u * digits + ((digits >> vec2(1u)) & vec2(0x01010101u)) + vec2(0x08080808u);
}

// Bytes, none of them zero, with a minus where their bit of `signs` is set.
fn negate_bytes(bytes: vec2<u32>, signs: u32) -> vec2<u32> {
  let minus = (vec2(signs & 15u, (signs >> 4u) & 15u) * 0x204081u) & vec2(0x01010101u);
  return (bytes ^ (255u * minus)) + minus;
}

// Eight values of the IQ1 types: a level and a shift of an eighth, in eighths.
fn iq1_eighths(point: u32, down: u32) -> vec2<u32> {
  // 128 more than wanted, so that no byte borrows from the next.
  return ((eight_digits(point) << vec2(3u)) + vec2((121u - 2u * down) * 0x01010101u)) ^ vec2(0x80808080u);
}

// d · (2s + 1)
fn odd_scale(d: f32, s: u32) -> f32 {
  return d * f32(2u * s + 1u);
}
