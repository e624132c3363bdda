// Any bytes are a template that renders or an error; what renders does so again, alike.
#include "base/check.h"
#include "text/jinja/template.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

const nlohmann::ordered_json& variables() {
  static const auto parsed = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 世界"},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"type": "number"}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "a": 1, "b": 2.5, "n": null, "xs": [3, 1, 2], "d": {"k": [1, "v"]}
  })");
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = trine::jinja::Template::parse({reinterpret_cast<const char*>(data), size});
  if (!parsed) return 0;
  trine::jinja::RenderOptions options;
  options.limits = {.steps = 100'000, .output_bytes = 1u << 20};
  const auto first = parsed->render(variables(), options);
  const auto second = parsed->render(variables(), options);
  trine::check(first.has_value() == second.has_value(), "rendering twice goes the same way");
  trine::check(first ? *first == *second : first.error().what == second.error().what, "and gives the same");
  return 0;
}
