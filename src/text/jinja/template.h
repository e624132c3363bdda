#pragma once

#include "base/error.h"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

namespace trine::jinja {

// What one template may cost. Exceeding any of these is an error (ErrorCode::unsupported), never a crash.
struct Limits {
  std::size_t steps = 20'000'000;  // nodes evaluated, items visited, and 1 for every 64 bytes of text made
  std::size_t output_bytes = 64u << 20;  // of the rendered text, and of any one string on the way to it
  std::size_t source_bytes = 1u << 20;   // of the template
  int depth = 500;  // of evaluation: nested nodes and calls; values nest no deeper either
};

struct RenderOptions {
  // What strftime_now() formats: local time, as std::localtime() fills it. {} is 1 January 1900, 00:00:00.
  std::tm now = {};
  Limits limits = {};
};

// A chat template: Jinja as Hugging Face transformers sets it up, which is Python's Jinja2 3.1 with
// ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True), the loop controls (break, continue),
// the `generation` block (rendered as its content), raise_exception(), strftime_now() and a tojson that is
// json.dumps with ensure_ascii=False. Semantics are Python's, error texts included. Text is bytes: lengths,
// indices and slices count code points, and a byte that is no UTF-8 counts as one and passes through
// everything untouched.
//
// Not there, and refused with an error that names it: include, import, extends, block, autoescape, the
// filters random, urlize, urlencode, wordwrap, pprint, striptags, xmlattr, filesizeformat and center, whole
// numbers past 64 bits, printing what Python prints with an address in memory (a generator, a method).
class Template {
 public:
  // `name` stands in errors, and may be empty. The source need not outlive the call.
  // Errors: unsupported, for a syntax error ("TemplateSyntaxError: …" in Jinja's words) or something of Jinja
  // that is not there. `where` is "line 3" or "line 3 of NAME".
  static Result<Template> parse(std::string_view source, std::string name = {});

  // `variables` is an object: the names the template sees. A name that is absent is undefined; null is None;
  // objects keep their order. Strings may hold bytes that are no UTF-8. May be called from several threads at
  // once.
  //
  // Errors, each with the line in `where`:
  //   validation_failed  the template refused by raise_exception(): `what` is its words and nothing else;
  //   other              evaluation failed as it would in Python: `what` is "KIND: words", such as
  //                      "UndefinedError: list object has no element 0" or "TypeError: can only concatenate
  //                      str …";
  //   unsupported        a limit was exceeded, or something of Jinja or Python was reached that is not there.
  Result<std::string> render(const nlohmann::ordered_json& variables,
                             const RenderOptions& options = {}) const;

  // Whether the template reads this name from `variables` anywhere ("tools", "enable_thinking").
  bool reads(std::string_view variable) const;

 private:
  struct Program;
  explicit Template(std::shared_ptr<const Program> program);
  std::shared_ptr<const Program> program_;
};

}  // namespace trine::jinja
