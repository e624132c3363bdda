#include "contract/judge/bounds.h"

#include "contract/spec/stated.h"

#include <vector>

namespace trine::contract {

const LegBounds& leg_bounds() {
  static const LegBounds bounds = [] {
    const std::vector<Bound> exact = stated_bounds("gate.exact-parity"),
                             fast = stated_bounds("gate.fast-parity"),
                             decode = stated_bounds("gate.decode-vs-prefill");
    return LegBounds{
        .stage_cosine = limit_of(exact, "stage cosine"),
        .stage_relative_l2 = limit_of(exact, "stage relative L2"),
        .exact_cosine = limit_of(exact, "logits cosine"),
        .exact_kl = limit_of(exact, "logits KL"),
        .fast_cosine = limit_of(fast, "logits cosine"),
        .fast_kl = limit_of(fast, "logits KL"),
        .decode_cosine = limit_of(decode, "logits cosine"),
        .most_excused_positions = limit_of(exact, "share of positions that miss any bound and are excused")};
  }();
  return bounds;
}

}  // namespace trine::contract
