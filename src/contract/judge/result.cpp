#include "contract/judge/result.h"

namespace trine::contract {

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "pass";
    case Verdict::fail:
      return "fail";
    case Verdict::refused:
      return "refused";
    case Verdict::not_run:
      return "not-run";
  }
  return "not-run";
}

Verdict combine(Verdict a, Verdict b) {
  for (const Verdict worse : {Verdict::fail, Verdict::refused, Verdict::not_run})
    if (a == worse || b == worse) return worse;
  return Verdict::pass;
}

}  // namespace trine::contract
