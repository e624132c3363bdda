#include "contract/checks/checks.h"

#include <utility>

namespace trine::contract {
namespace {

struct Absent {
  const char* name;
  const char* description;
};

constexpr Absent server_checks[] = {
    {"sse.order", "one event per token, sent before the next token is computed"},
    {"sse.end", "finish_reason comes once, then [DONE], then nothing"},
    {"sse.utf8", "an event never splits a character"},
    {"serve.batch-independence", "a request's answer does not depend on who shares its batch"},
    {"serve.device-loss", "a lost device is a clean error for requests in flight, and the engine comes back"},
    {"serve.limits", "a request past the limits is refused with its reason, and others go on"},
};

}  // namespace

void CheckRegistry::add(Check check) {
  std::string name = check.name;
  checks_.insert_or_assign(std::move(name), std::move(check));
}

void CheckRegistry::add_absent(std::string name, std::string description, std::string reason) {
  add({std::move(name), std::move(description), [reason = std::move(reason)](const CheckContext&) {
         CheckResult result;
         result.verdict = Verdict::not_run;
         result.reason = reason;
         return result;
       }});
}

const Check* CheckRegistry::find(std::string_view name) const {
  const auto at = checks_.find(name);
  return at == checks_.end() ? nullptr : &at->second;
}

CheckRegistry builtin_checks() {
  CheckRegistry registry;
  for (const Absent& check : server_checks)
    registry.add_absent(check.name, check.description, "no server in this build");
  register_sampling_checks(registry);
  register_router_checks(registry);
  register_dispatch_checks(registry);
  register_swiglu_checks(registry);
  register_tensor_checks(registry);
  register_gate_checks(registry);
  return registry;
}

}  // namespace trine::contract
