#include "text/jinja/template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/jinja/resolver.h"

#include <fmt/format.h>

namespace trine::jinja {

struct Template::Program {
  std::string name;
  Tree tree;
  std::set<std::string> variables;
};

namespace {

Error error_of(const Raised& problem, const std::string& name) {
  const bool own_words = problem.kind.empty() || problem.code == ErrorCode::validation_failed;
  Error error{.code = problem.code,
              .what = own_words ? problem.message : fmt::format("{}: {}", problem.kind, problem.message)};
  if (problem.line > 0)
    error.where = name.empty() ? fmt::format("line {}", problem.line)
                               : fmt::format("line {} of {}", problem.line, name);
  else
    error.where = name;
  return error;
}

}  // namespace

Template::Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

Result<Template> Template::parse(std::string_view source, std::string name) {
  const std::size_t limit = Limits{}.source_bytes;
  if (source.size() > limit)
    return fail(Error{.code = ErrorCode::unsupported,
                      .what = "the template is too long",
                      .where = name,
                      .expected = fmt::format("at most {} bytes", limit),
                      .actual = fmt::format("{} bytes", source.size())});
  auto program = std::make_shared<Program>();
  program->name = std::move(name);
  try {
    program->tree.body = Parser(source).parse();
    program->variables = resolve(program->tree);
  } catch (const Raised& problem) {
    return fail(error_of(problem, program->name));
  }
  return Template(std::move(program));
}

Result<std::string> Template::render(const nlohmann::ordered_json& variables,
                                     const RenderOptions& options) const {
  try {
    return Interpreter(variables, options).render(program_->tree);
  } catch (const Raised& problem) {
    return fail(error_of(problem, program_->name));
  }
}

bool Template::reads(std::string_view variable) const {
  return program_->variables.contains(std::string(variable));
}

}  // namespace trine::jinja
