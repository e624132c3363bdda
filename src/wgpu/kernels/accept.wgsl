// Notes the token that a slot chose: last_choices [S]; tallies [S][3][V]; rings [S][1 + RING], the number of tokens
// that were noted, and the last ones of them.
//
// Files before it: choice. A kernel declares step, last_choices, tallies and rings. One invocation calls it.
fn accept(slot: u32, how: Rules, token: u32) {
  if (step.is_timed != 0u) {
    return;
  }
  last_choices[slot] = token;
  if (token == NO_TOKEN || (how.flags & HAS_TALLIES) == 0u) {
    return;
  }
  tallies[generated_at(slot, token)] += 1u;
  if (how.window == NO_WINDOW) {
    return;
  }
  tallies[seen_at(slot, token)] += 1u;
  if (how.window == ALL_TOKENS) {
    return;
  }
  let ring = slot * (RING + 1u);
  let noted = rings[ring];
  let at = ring + 1u + noted % how.window;
  if (noted >= how.window) {
    tallies[seen_at(slot, rings[at])] -= 1u;
  }
  rings[at] = token;
  rings[ring] = noted + 1u;
}
