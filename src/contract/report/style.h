#pragma once

#include "contract/report/html.h"

namespace trine::contract {

// The report's style sheet. The colours of the heat map are 17 steps of even lightness (OKLab) from yellow
// through green to blue, so that they keep their order for every kind of colour vision and in grey; the dark
// theme turns them round, so that what is far off stands out from the background in both. Text on them and
// elsewhere has a contrast of at least 4.5:1.
inline constexpr Markup report_style = R"css(:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f4f5f7; --ink: #1a1c20; --muted: #565b66; --line: #d5d8de;
  --pass: #0a6b34; --fail: #b3211b; --refused: #8a4b00; --not-run: #565b66;
  --on-low: #000000; --on-high: #ffffff; --out: #d3281f;
  --h0: #fbf8d9; --h1: #ddefc6; --h2: #c0e5bf; --h3: #a2d9bd; --h4: #83cdbb; --h5: #6bbfbe;
  --h6: #50b0bf; --h7: #3da0be; --h8: #358fba; --h9: #2d7eb6; --h10: #2b6eae; --h11: #2b5da4;
  --h12: #2a4d9a; --h13: #283e8a; --h14: #243277; --h15: #202664; --h16: #1b1a52;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #14161a; --panel: #1d2026; --ink: #e8eaee; --muted: #a9afba; --line: #363b44;
    --pass: #62d190; --fail: #ff8f85; --refused: #f0b65e; --not-run: #a9afba;
    --on-low: #ffffff; --on-high: #000000; --out: #ff5c4f;
    --h0: #1d205b; --h1: #222b6c; --h2: #26367e; --h3: #294291; --h4: #2b519d; --h5: #2b61a6;
    --h6: #2b71b0; --h7: #2e81b6; --h8: #3591bb; --h9: #3da1be; --h10: #50b0bf; --h11: #69bebe;
    --h12: #80cbbc; --h13: #9cd7bd; --h14: #b9e2bf; --h15: #d5edc1; --h16: #f2f5d3;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem;
  background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1, h2, h3, p, ul, dl { margin: 0 0 .75rem; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin-top: 1.5rem; }
a { color: inherit; }
.muted { color: var(--muted); font-size: .9rem; }
.pass { color: var(--pass); } .fail { color: var(--fail); }
.refused { color: var(--refused); } .not-run { color: var(--not-run); }
.badge {
  display: inline-block; padding: .05rem .6rem; border: 1.5px solid currentColor; border-radius: 1rem;
  font-size: .85rem; white-space: nowrap;
}
.verdict {
  display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: 1rem 0;
  padding: 1rem; background: var(--panel);
  border: 1px solid var(--line); border-left: .4rem solid currentColor;
}
.verdict .badge { font-size: 1.15rem; }
.verdict p { flex: 1 1 20rem; margin: 0; font-size: 1.1rem; color: var(--ink); }
.divergence { padding: .75rem 1rem; border-left: .4rem solid var(--fail); background: var(--panel); }
.reason { color: var(--muted); }

.box { overflow-x: auto; overflow-wrap: normal; margin: 1rem 0 1.5rem; }
.box:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; }
.legs { width: 100%; }
.legs th:first-child { white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
.box caption { position: sticky; left: 0; }
th, td {
  padding: .3rem 1.5rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
thead th { vertical-align: bottom; color: var(--muted); font-weight: 600; }
tbody th { font-weight: 400; }
.box tbody th:first-child { min-width: 8.5rem; }
.num { text-align: right; font-variant-numeric: tabular-nums; }
.box .num, td .pass, td .fail { white-space: nowrap; }
.group th { background: var(--panel); padding-left: .5rem; }
.facts { width: 100%; margin-bottom: 1.5rem; }
.facts th { width: 14rem; color: var(--muted); }
dt { font-weight: 600; }
dd { margin: 0 0 .6rem; }

.box .map {
  min-width: calc(9.5rem + var(--n) * 10px); width: calc(9.5rem + var(--n) * 34px); max-width: 100%;
}
.map { table-layout: fixed; }
.map th, .map td {
  padding: 0; border: 1px solid var(--ground); height: 20px; font-size: 11px; line-height: 19px;
}
.map caption { font-size: .9rem; }
.box .map th:first-child {
  position: sticky; left: 0; z-index: 1; min-width: 0; width: 7rem;
  background: var(--ground); font-size: 12px;
}
.map thead th { overflow: visible; text-align: center; font-weight: 400; }
.map thead th:first-child { text-align: left; }
.map thead th span { white-space: nowrap; }
.map thead .end { width: 1.25rem; height: 5.5rem; }
.map .end span { writing-mode: vertical-rl; transform: rotate(180deg); }
.map td { text-align: center; vertical-align: middle; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.map td, .legend i {
  -webkit-print-color-adjust: exact; print-color-adjust: exact;
  font-weight: 700; font-style: normal;
}
.map td:hover { outline: 2px solid var(--ink); }
.out { box-shadow: inset 0 0 0 1px var(--out); }
.first { box-shadow: inset 0 0 0 2px var(--out), 0 0 0 2px var(--ink); }
.nan {
  color: var(--ink);
  background: repeating-linear-gradient(45deg, var(--line) 0 2px, var(--ground) 2px 5px);
}
.none { color: var(--muted); background: var(--panel); }
.h0 { background: var(--h0); color: var(--on-low); }
.h1 { background: var(--h1); color: var(--on-low); }
.h2 { background: var(--h2); color: var(--on-low); }
.h3 { background: var(--h3); color: var(--on-low); }
.h4 { background: var(--h4); color: var(--on-low); }
.h5 { background: var(--h5); color: var(--on-low); }
.h6 { background: var(--h6); color: var(--on-low); }
.h7 { background: var(--h7); color: #000000; }
.h8 { background: var(--h8); color: #000000; }
.h9 { background: var(--h9); color: #000000; }
.h10 { background: var(--h10); color: var(--on-high); }
.h11 { background: var(--h11); color: var(--on-high); }
.h12 { background: var(--h12); color: var(--on-high); }
.h13 { background: var(--h13); color: var(--on-high); }
.h14 { background: var(--h14); color: var(--on-high); }
.h15 { background: var(--h15); color: var(--on-high); }
.h16 { background: var(--h16); color: var(--on-high); }

.legend { max-width: 34rem; font-size: .85rem; }
.legend p { margin: 0; color: var(--muted); }
.bound, .ticks { position: relative; height: 1.4rem; }
.mark, .tick { position: absolute; white-space: nowrap; }
.mark { transform: translateX(-100%); padding-right: .35rem; border-right: 2px solid var(--ink); }
.tick { transform: translateX(-50%); color: var(--muted); }
.scale { display: flex; height: 1rem; border: 1px solid var(--line); }
.scale i { flex: 1; }
.signs { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.signs i {
  display: inline-block; width: 1.2rem; margin-right: .35rem; line-height: 1.2rem; text-align: center;
}

@media (max-width: 40rem) {
  th, td { padding-right: .75rem; }
  .facts th { width: 8rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  .box { overflow: visible; }
  .box .map { min-width: 0; width: 100%; }
  tr, .verdict, .legend { break-inside: avoid; }
}
)css"_html;

}  // namespace trine::contract
