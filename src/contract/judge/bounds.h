#pragma once

namespace trine::contract {

// What the legs must hold (docs/contract.md), read from contracts/backend-parity-v1.yaml.
struct LegBounds {
  double stage_cosine = 0;
  double stage_relative_l2 = 0;
  double exact_cosine = 0;  // of logits, as all that follow
  double exact_kl = 0;
  double fast_cosine = 0;
  double fast_kl = 0;
  double decode_cosine = 0;
  // Of all positions, those that may miss a bound behind an excused swap.
  double most_excused_positions = 0;
};
const LegBounds& leg_bounds();

// No contract states what follows.

// Even an excused position: another expert changes an answer and does not replace it. An honest CPU's worst,
// with the eight experts of the demo, are 0.936 and 1.1.
inline constexpr double least_excused_cosine = 0.9;
inline constexpr double most_excused_kl = 3;
// Of the sum that a draw is made from, what another arithmetic may be off by
// (src/wgpu/kernels/sample.wgsl).
inline constexpr double choice_share = 2e-5;

}  // namespace trine::contract
