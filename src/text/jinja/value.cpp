#include "text/jinja/value.h"

#include "text/jinja/operators.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>

namespace trine::jinja {
namespace {

constexpr std::size_t few_entries = 8;

template <typename Items>
int deepest(const Items& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth;
}

}  // namespace

void raise(std::string kind, std::string message) {
  throw Raised{.kind = std::move(kind), .message = std::move(message)};
}
void raise_type(std::string message) {
  raise("TypeError", std::move(message));
}
void raise_value(std::string message) {
  raise("ValueError", std::move(message));
}
void raise_unsupported(std::string what, int line) {
  throw Raised{.code = ErrorCode::unsupported, .message = std::move(what), .line = line};
}

Value Value::missing() {
  Value value;
  value.kind_ = Kind::missing;
  return value;
}
Value Value::boolean(bool value) {
  Value result;
  result.kind_ = Kind::boolean;
  result.whole_ = value ? 1 : 0;
  return result;
}
Value Value::integer(std::int64_t value) {
  Value result;
  result.kind_ = Kind::integer;
  result.whole_ = value;
  return result;
}
Value Value::real(double value) {
  Value result;
  result.kind_ = Kind::real;
  result.real_ = value;
  return result;
}
std::string_view Value::text() const {
  return as<Text>().bytes;
}
bool Value::is_markup() const {
  return is(Kind::text) && as<Text>().markup;
}
const std::vector<Value>& Value::items() const {
  return as<List>().items;
}
const Dict& Value::dict() const {
  return as<Dict>();
}

std::optional<std::size_t> Dict::position(const Value& key, std::size_t hash) const {
  if (index.empty()) {
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (same_key(entries[i].first, key)) return i;
    return std::nullopt;
  }
  for (auto [at, end] = index.equal_range(hash); at != end; ++at)
    if (same_key(entries[at->second].first, key)) return at->second;
  return std::nullopt;
}
const Value* Dict::find(const Value& key) const {
  const auto at = position(key, index.empty() ? 0 : hash_key(key));
  return at ? &entries[*at].second : nullptr;
}
const Value* Dict::find(std::string_view key) const {
  if (index.empty()) {
    for (const auto& [name, value] : entries)
      if (name.is(Kind::text) && name.text() == key) return &value;
    return nullptr;
  }
  for (auto [at, end] = index.equal_range(std::hash<std::string_view>()(key)); at != end; ++at) {
    const auto& [name, value] = entries[at->second];
    if (name.is(Kind::text) && name.text() == key) return &value;
  }
  return nullptr;
}
void Dict::set(Value key, Value value) {
  const std::size_t hash = index.empty() && entries.size() < few_entries ? 0 : hash_key(key);
  if (const auto at = position(key, hash)) {
    entries[*at].second = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (!index.empty()) {
    index.emplace(hash, entries.size() - 1);
  } else if (entries.size() > few_entries) {
    for (std::size_t i = 0; i < entries.size(); ++i) index.emplace(hash_key(entries[i].first), i);
  }
}

std::int64_t Range::size() const {
  // Differences of 64-bit bounds need one bit more.
  const auto distance = [](std::int64_t from, std::int64_t to) {
    return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
  };
  std::uint64_t count = 0;
  if (step > 0 && start < stop) count = (distance(start, stop) - 1) / static_cast<std::uint64_t>(step) + 1;
  if (step < 0 && start > stop)
    count = (distance(stop, start) - 1) / (0 - static_cast<std::uint64_t>(step)) + 1;
  return static_cast<std::int64_t>(std::min<std::uint64_t>(count, INT64_MAX));
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes)
    if (key == name) return &value;
  return nullptr;
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::text:
      return value.is_markup() ? "Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return value.as<List>().is_group ? "_GroupTuple" : "tuple";
    case Kind::dict:
      return "dict";
    case Kind::dict_view: {
      const auto part = value.as<DictView>().part;
      return part == DictView::Part::keys     ? "dict_keys"
             : part == DictView::Part::values ? "dict_values"
                                              : "dict_items";
    }
    case Kind::range:
      return "range";
    case Kind::iterator:
      return value.as<Iterator>().type_name;
    case Kind::name_space:
      return "Namespace";
    case Kind::macro:
      return "Macro";
    case Kind::method:
      return "builtin_function_or_method";
    case Kind::function:
      return "function";
    case Kind::loop:
      return "LoopContext";
    case Kind::cycler:
      return "Cycler";
    case Kind::joiner:
      return "Joiner";
  }
  return "object";
}

std::string object_type(const Value& value) {
  const std::string_view name = type_name(value);
  switch (value.kind()) {
    case Kind::none:
      return "None";
    case Kind::text:
      return value.is_markup() ? "markupsafe.Markup object" : "str object";
    case Kind::tuple:
      return value.as<List>().is_group ? "jinja2.filters._GroupTuple object" : "tuple object";
    case Kind::name_space:
    case Kind::cycler:
    case Kind::joiner:
      return fmt::format("jinja2.utils.{} object", name);
    case Kind::macro:
    case Kind::loop:
      return fmt::format("jinja2.runtime.{} object", name);
    default:
      return fmt::format("{} object", name);
  }
}

int Budget::nested(int depth) const {
  if (depth >= max_depth_) too_deep();
  return depth + 1;
}
Value Budget::text(std::string bytes, bool markup) {
  check_text(bytes.size());
  charge_bytes(bytes.size());
  auto text = std::make_shared<Text>();
  text->bytes = std::move(bytes);
  text->markup = markup;
  return Value::object<Text>(Kind::text, std::move(text));
}
Value Budget::sequence(Kind kind, std::vector<Value> items) {
  charge(items.size() + 1);
  auto list = std::make_shared<List>();
  list->depth = nested(deepest(items));
  list->items = std::move(items);
  return Value::object<List>(kind, std::move(list));
}
Value Budget::dict(std::shared_ptr<Dict> dict) {
  charge(dict->entries.size() + 1);
  int depth = 0;
  for (const auto& [key, value] : dict->entries) depth = std::max({depth, key.depth(), value.depth()});
  dict->depth = nested(depth);
  return Value::object<Dict>(Kind::dict, std::move(dict));
}
Value Budget::dict_view(const Value& dict, DictView::Part part) {
  auto view = std::make_shared<DictView>();
  view->depth = nested(dict.depth());
  view->dict = dict;
  view->part = part;
  return Value::object<DictView>(Kind::dict_view, std::move(view));
}
Value Budget::range(std::int64_t start, std::int64_t stop, std::int64_t step) {
  auto range = std::make_shared<Range>();
  range->start = start;
  range->stop = stop;
  range->step = step;
  return Value::object<Range>(Kind::range, std::move(range));
}
Value Budget::iterator(std::string_view type_name, const Value& source, std::function<bool(Value&)> next) {
  auto iterator = std::make_shared<Iterator>();
  iterator->depth = nested(source.depth());
  iterator->type_name = type_name;
  iterator->next = std::move(next);
  return Value::object<Iterator>(Kind::iterator, std::move(iterator));
}
Value Budget::method(const Value& self, std::string_view name, decltype(Method::call) call) {
  auto method = std::make_shared<Method>();
  method->depth = nested(self.depth());
  method->self = self;
  method->name = name;
  method->call = call;
  return Value::object<Method>(Kind::method, std::move(method));
}
Value Budget::undefined(std::string message, std::string_view kind) {
  auto undefined = std::make_shared<Undefined>();
  undefined->kind = kind;
  undefined->message = std::move(message);
  return Value::object<Undefined>(Kind::undefined, std::move(undefined));
}
Value Budget::no_attribute(const Value& value, std::string_view name) {
  return undefined(fmt::format("'{}' has no attribute {}", object_type(value), quoted_text(name)));
}

void Budget::too_many_steps() const {
  raise_unsupported("the template takes too many steps");
}
void Budget::too_much_text() const {
  raise_unsupported(fmt::format("the template makes a text of more than {} bytes", text_bytes_));
}
void Budget::too_deep() const {
  raise_unsupported(fmt::format("the template nests deeper than {} levels", max_depth_));
}

}  // namespace trine::jinja
