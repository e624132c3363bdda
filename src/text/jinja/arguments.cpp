#include "text/jinja/arguments.h"

#include "text/jinja/operators.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

namespace trine::jinja {
namespace {

// 'a', 'b', and 'c'
std::string listed(const std::vector<std::string_view>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool last = i + 1 == names.size();
    if (i > 0) out += names.size() == 2 ? " and " : last ? ", and " : ", ";
    out += fmt::format("'{}'", names[i]);
  }
  return out;
}

[[noreturn]] void raise_too_many(const Signature& signature, std::size_t n_given) {
  std::size_t least = static_cast<std::size_t>(signature.hidden), most = least;
  for (const Parameter& parameter : signature.parameters) {
    ++most;
    if (parameter.required) ++least;
  }
  const std::string takes =
      least == most ? fmt::format("{}", most) : fmt::format("from {} to {}", least, most);
  n_given += static_cast<std::size_t>(signature.hidden);
  raise_type(fmt::format("{}() takes {} positional argument{} but {} {} given", signature.function, takes,
                         most == 1 && least == most ? "" : "s", n_given, n_given == 1 ? "was" : "were"));
}

// As CPython's argument clinic words it.
void check_native(const Signature& signature, const Arguments& arguments) {
  const auto& [function, hidden, parameters, type, by_name] = signature;
  if (!arguments.named.empty() && !by_name)
    raise_type(fmt::format("{}.{}() takes no keyword arguments", type, function));
  const std::size_t count = arguments.positional.size();
  std::size_t least = 0;
  for (const Parameter& parameter : parameters) least += parameter.required ? 1 : 0;
  if (parameters.empty() && count > 0)
    raise_type(fmt::format("{}.{}() takes no arguments ({} given)", type, function, count));
  if (parameters.size() == 1 && least == 1 && count != 1)
    raise_type(fmt::format("{}.{}() takes exactly one argument ({} given)", type, function, count));
  if (by_name) return;
  if (count < least)
    raise_type(fmt::format("{} expected at least {} argument{}, got {}", function, least,
                           least == 1 ? "" : "s", count));
  if (count > parameters.size())
    raise_type(fmt::format("{} expected at most {} argument{}, got {}", function, parameters.size(),
                           parameters.size() == 1 ? "" : "s", count));
}

}  // namespace

std::vector<Value> bind(const Signature& signature, const Arguments& arguments) {
  if (!signature.type.empty()) check_native(signature, arguments);
  const auto& parameters = signature.parameters;
  std::vector<Value> bound(parameters.size(), Value::missing());
  for (std::size_t i = 0; i < std::min(parameters.size(), arguments.positional.size()); ++i)
    bound[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    std::size_t at = 0;
    while (at < parameters.size() && parameters[at].name != name) ++at;
    if (at == parameters.size())
      raise_type(
          fmt::format("{}() got an unexpected keyword argument {}", signature.function, quoted_text(name)));
    if (!bound[at].is(Kind::missing))
      raise_type(
          fmt::format("{}() got multiple values for argument {}", signature.function, quoted_text(name)));
    bound[at] = value;
  }
  if (arguments.positional.size() > parameters.size()) raise_too_many(signature, arguments.positional.size());
  std::vector<std::string_view> absent;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].required && bound[i].is(Kind::missing)) absent.push_back(parameters[i].name);
  if (!absent.empty())
    raise_type(fmt::format("{}() missing {} required positional argument{}: {}", signature.function,
                           absent.size(), absent.size() == 1 ? "" : "s", listed(absent)));
  return bound;
}

std::int64_t whole_argument(const Value& value, std::int64_t otherwise) {
  if (value.is(Kind::missing)) return otherwise;
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (!value.is_whole())
    raise_type(fmt::format("'{}' object cannot be interpreted as an integer", type_name(value)));
  return value.as_integer();
}
bool given(const Value& value) {
  return !value.is(Kind::missing) && !value.is(Kind::none);
}

}  // namespace trine::jinja
