// The methods of dict, list and tuple that leave them as they are. The others are there too, to be refused by
// name.
#include "text/jinja/arguments.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

#include <fmt/format.h>

#include <algorithm>

namespace trine::jinja {
namespace {

Value dict_get(Interpreter& interpreter, const Value& self, std::string_view name,
               const Arguments& arguments) {
  const auto bound = bind({name, 0, {{"key", true}, {"default", false}}, "dict"}, arguments);
  require_hashable(interpreter.budget(), bound[0]);
  const Value* found = self.dict().find(bound[0]);
  if (found != nullptr) return *found;
  return bound[1].is(Kind::missing) ? Value() : bound[1];
}
Value dict_part(Interpreter& interpreter, const Value& self, std::string_view name,
                const Arguments& arguments) {
  bind({name, 0, {}}, arguments);
  const auto part = name == "keys"     ? DictView::Part::keys
                    : name == "values" ? DictView::Part::values
                                       : DictView::Part::items;
  return interpreter.budget().dict_view(self, part);
}
Value same_dict(Interpreter&, const Value& self, std::string_view name, const Arguments& arguments) {
  bind({name, 0, {}, "dict"}, arguments);
  return self;  // nothing changes a dict, so a copy is the dict
}

Value count_item(Interpreter& interpreter, const Value& self, std::string_view name,
                 const Arguments& arguments) {
  const auto bound = bind({name, 0, {{"value", true}}, type_name(self)}, arguments);
  std::int64_t count = 0;
  for (const Value& item : self.items()) count += equal(interpreter.budget(), item, bound[0]) ? 1 : 0;
  return Value::integer(count);
}
Value index_item(Interpreter& interpreter, const Value& self, std::string_view name,
                 const Arguments& arguments) {
  const auto bound =
      bind({name, 0, {{"value", true}, {"start", false}, {"stop", false}}, type_name(self)}, arguments);
  const auto size = static_cast<std::int64_t>(self.items().size());
  const auto place = [&](const Value& value, std::int64_t otherwise) {
    const std::int64_t at = whole_argument(value, otherwise);
    return at < 0 ? std::max<std::int64_t>(at + size, 0) : std::min(at, size);
  };
  for (std::int64_t i = place(bound[1], 0); i < place(bound[2], size); ++i)
    if (equal(interpreter.budget(), self.items()[static_cast<std::size_t>(i)], bound[0]))
      return Value::integer(i);
  if (self.is(Kind::tuple)) raise_value("tuple.index(x): x not in tuple");
  raise_value(fmt::format("{} is not in list", repr(interpreter.budget(), bound[0])));
}
Value same_list(Interpreter&, const Value& self, std::string_view name, const Arguments& arguments) {
  bind({name, 0, {}, "list"}, arguments);
  return self;
}
Value refused(Interpreter&, const Value& self, std::string_view name, const Arguments&) {
  raise_unsupported(fmt::format("the method {}.{}() is not supported", type_name(self), name));
}

constexpr NamedMethod dict_methods[] = {
    {"clear", refused},      {"copy", same_dict}, {"fromkeys", refused}, {"get", dict_get},
    {"items", dict_part},    {"keys", dict_part}, {"pop", refused},      {"popitem", refused},
    {"setdefault", refused}, {"update", refused}, {"values", dict_part},
};
constexpr NamedMethod list_methods[] = {
    {"append", refused}, {"clear", refused},    {"copy", same_list}, {"count", count_item},
    {"extend", refused}, {"index", index_item}, {"insert", refused}, {"pop", refused},
    {"remove", refused}, {"reverse", refused},  {"sort", refused},
};
constexpr NamedMethod tuple_methods[] = {{"count", count_item}, {"index", index_item}};

template <std::size_t N>
std::optional<NamedMethod> find_in(const NamedMethod (&methods)[N], std::string_view name) {
  for (const NamedMethod& method : methods)
    if (method.name == name) return method;
  return std::nullopt;
}

}  // namespace

std::optional<NamedMethod> find_container_method(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::dict:
      return find_in(dict_methods, name);
    case Kind::list:
      return find_in(list_methods, name);
    case Kind::tuple:
      return find_in(tuple_methods, name);
    default:
      return std::nullopt;
  }
}

}  // namespace trine::jinja
