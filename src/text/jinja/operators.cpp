#include "text/jinja/operators.h"

#include "text/jinja/text.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace trine::jinja {
namespace {

// Tuples as keys are hashed and compared in full, without a budget.
constexpr std::size_t max_key_nodes = 1000;

bool equal_entries(Budget& budget, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = right.find(key);
    if (other == nullptr || !equal(budget, value, *other)) return false;
  }
  return true;
}
bool equal_items(Budget& budget, const std::vector<Value>& left, const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i)
    if (!equal(budget, left[i], right[i])) return false;
  return true;
}

// -1, 0 or 1; 2 where a NaN makes every comparison false.
int order_numbers(const Value& left, const Value& right) {
  if (left.is_whole() && right.is_whole())
    return left.as_integer() < right.as_integer() ? -1 : left.as_integer() > right.as_integer();
  if (std::isnan(left.as_real()) || std::isnan(right.as_real())) return 2;
  // 64 bits of mantissa hold every whole number.
  static_assert(std::numeric_limits<long double>::digits >= 64);
  const auto exact = [](const Value& value) {
    return value.is(Kind::real) ? static_cast<long double>(value.as_real())
                                : static_cast<long double>(value.as_integer());
  };
  return exact(left) < exact(right) ? -1 : exact(left) > exact(right);
}
bool holds(Compare operation, int order) {
  switch (operation) {
    case Compare::less:
      return order == -1;
    case Compare::less_equal:
      return order == -1 || order == 0;
    case Compare::greater:
      return order == 1;
    default:
      return order == 1 || order == 0;
  }
}
std::string_view symbol_of(Compare operation) {
  switch (operation) {
    case Compare::less:
      return "<";
    case Compare::less_equal:
      return "<=";
    case Compare::greater:
      return ">";
    default:
      return ">=";
  }
}

bool ordered(Budget& budget, Compare operation, const Value& left, const Value& right) {
  const Budget::Deeper deeper(budget);
  if (left.is(Kind::undefined)) raise_undefined(left);
  if (right.is(Kind::undefined)) raise_undefined(right);
  if (left.is_number() && right.is_number()) return holds(operation, order_numbers(left, right));
  if (left.is(Kind::text) && right.is(Kind::text)) {
    budget.charge_bytes(std::min(left.text().size(), right.text().size()));
    const int order = left.text().compare(right.text());  // the order of bytes is that of code points
    return holds(operation, order < 0 ? -1 : order > 0);
  }
  if (left.is_items() && left.kind() == right.kind()) {
    const auto &a = left.items(), &b = right.items();
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      if (!equal(budget, a[i], b[i])) return ordered(budget, operation, a[i], b[i]);
    return holds(operation, a.size() < b.size() ? -1 : a.size() > b.size());
  }
  if (left.is(Kind::dict_view) && right.is(Kind::dict_view)) raise_unsupported("sets are not supported");
  raise_type(fmt::format("'{}' not supported between instances of '{}' and '{}'", symbol_of(operation),
                         type_name(left), type_name(right)));
}

void count_key_nodes(Budget& budget, const Value& key, std::size_t& nodes) {
  if (key.is(Kind::list) || key.is(Kind::dict) || key.is(Kind::dict_view))
    raise_type(fmt::format("unhashable type: '{}'", type_name(key)));
  if (++nodes > max_key_nodes) raise_unsupported("a tuple this large as a key is not supported");
  budget.charge_bytes(key.is(Kind::text) ? key.text().size() : 0);
  if (key.is(Kind::tuple))
    for (const Value& item : key.items()) count_key_nodes(budget, item, nodes);
}

struct Bounds {
  std::int64_t start, step, count;
};
// As PySlice_AdjustIndices.
Bounds slice_bounds(const Value& start, const Value& stop, const Value& step, std::int64_t size) {
  const auto index = [](const Value& value, std::int64_t otherwise) {
    if (value.is(Kind::none)) return otherwise;
    if (!value.is_whole()) raise_type("slice indices must be integers or None or have an __index__ method");
    return value.as_integer();
  };
  const std::int64_t by = index(step, 1);
  if (by == 0) raise_value("slice step cannot be zero");
  const auto clamp = [&](std::int64_t at) {
    if (at < 0) at = std::max<std::int64_t>(at + size, by < 0 ? -1 : 0);
    return std::min(at, by < 0 ? size - 1 : size);
  };
  const std::int64_t from = start.is(Kind::none) ? (by < 0 ? size - 1 : 0) : clamp(index(start, 0));
  const std::int64_t to = stop.is(Kind::none) ? (by < 0 ? -1 : size) : clamp(index(stop, 0));
  std::int64_t count = 0;
  if (by < 0 && to < from) count = (from - to - 1) / -std::max(by, -INT64_MAX) + 1;
  if (by > 0 && from < to) count = (to - from - 1) / by + 1;
  return {from, by, count};
}

}  // namespace

void raise_undefined(const Value& undefined) {
  const auto& what = undefined.as<Undefined>();
  raise(std::string(what.kind), what.message);
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_integer() != 0;
    case Kind::real:
      return value.as_real() != 0;
    case Kind::text:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
      return !value.items().empty();
    case Kind::dict:
      return !value.dict().entries.empty();
    case Kind::dict_view:
      return !value.as<DictView>().dict.dict().entries.empty();
    case Kind::range:
      return value.as<Range>().size() != 0;
    default:
      return true;
  }
}

bool equal(Budget& budget, const Value& left, const Value& right) {
  const Budget::Deeper deeper(budget);
  if (left.is_number() && right.is_number()) return order_numbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::text:
      if (left.text().size() != right.text().size()) return false;
      budget.charge_bytes(left.text().size());
      return left.text() == right.text();
    case Kind::list:
    case Kind::tuple:
      return left.identity() == right.identity() || equal_items(budget, left.items(), right.items());
    case Kind::dict:
      return left.identity() == right.identity() || equal_entries(budget, left.dict(), right.dict());
    case Kind::dict_view:
      if (left.as<DictView>().part != DictView::Part::values) raise_unsupported("sets are not supported");
      return left.identity() == right.identity();
    case Kind::range: {
      const auto &a = left.as<Range>(), &b = right.as<Range>();
      return a.size() == b.size() &&
             (a.size() == 0 || (a.start == b.start && (a.size() == 1 || a.step == b.step)));
    }
    case Kind::none:
    case Kind::missing:
    case Kind::undefined:
      return true;
    default:
      return left.identity() == right.identity();
  }
}

bool compare(Budget& budget, Compare operation, const Value& left, const Value& right) {
  switch (operation) {
    case Compare::equal:
      return equal(budget, left, right);
    case Compare::not_equal:
      return !equal(budget, left, right);
    case Compare::in:
      return contains(budget, right, left);
    case Compare::not_in:
      return !contains(budget, right, left);
    default:
      return ordered(budget, operation, left, right);
  }
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::text:
      if (!item.is(Kind::text))
        raise_type(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      budget.charge_bytes(container.text().size());
      return find_text(container.text(), item.text()) != std::string_view::npos;
    case Kind::dict:
      require_hashable(budget, item);
      return container.dict().find(item) != nullptr;
    case Kind::dict_view:
      if (container.as<DictView>().part == DictView::Part::keys)
        return contains(budget, container.as<DictView>().dict, item);
      break;
    case Kind::range:
      if (item.is_whole()) {
        const auto& range = container.as<Range>();
        const std::int64_t at = item.as_integer();
        const bool inside =
            range.step > 0 ? at >= range.start && at < range.stop : at <= range.start && at > range.stop;
        return inside && (static_cast<__int128_t>(at) - range.start) % range.step == 0;
      }
      break;
    default:
      if (!is_iterable(container))
        raise_type(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
  Cursor cursor(budget, container);
  Value candidate;
  while (cursor.next(candidate))
    if (equal(budget, candidate, item)) return true;
  return false;
}

std::optional<std::int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::text:
      return static_cast<std::int64_t>(count_characters(value.text()));
    case Kind::list:
    case Kind::tuple:
      return static_cast<std::int64_t>(value.items().size());
    case Kind::dict:
      return static_cast<std::int64_t>(value.dict().entries.size());
    case Kind::dict_view:
      return length_of(value.as<DictView>().dict);
    case Kind::range:
      return value.as<Range>().size();
    default:
      return std::nullopt;
  }
}
std::int64_t length(const Value& value) {
  const auto length = length_of(value);
  if (!length) raise_type(fmt::format("object of type '{}' has no len()", type_name(value)));
  return *length;
}

std::optional<Value> item_of(Budget& budget, const Value& value, const Value& key) {
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (value.is(Kind::dict)) {
    if (key.is(Kind::list) || key.is(Kind::dict) || key.is(Kind::dict_view)) return std::nullopt;
    if (key.is(Kind::tuple)) {
      try {
        require_hashable(budget, key);
      } catch (const Raised& problem) {
        if (problem.kind == "TypeError") return std::nullopt;
        throw;
      }
    }
    if (key.is(Kind::text)) budget.charge_bytes(key.text().size());
    const Value* found = value.dict().find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!key.is_whole()) return std::nullopt;
  std::int64_t at = key.as_integer();
  if (value.is(Kind::text) || value.is_items() || value.is(Kind::range)) {
    if (value.is(Kind::text)) budget.charge_bytes(value.text().size());
    const std::int64_t size = length(value);
    if (at < 0) at += size;
    if (at < 0 || at >= size) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (value.is(Kind::range)) return Value::integer(value.as<Range>().start + at * value.as<Range>().step);
  if (value.is_items()) return value.items()[static_cast<std::size_t>(at)];
  const std::size_t begin = offset_of(value.text(), static_cast<std::size_t>(at));
  const std::size_t size = character_at(value.text(), begin).length;
  return budget.text(std::string(value.text().substr(begin, size)), value.is_markup());
}

Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.is(Kind::undefined)) raise_undefined(value);
  if (value.is(Kind::dict)) raise_type("unhashable type: 'slice'");
  if (!value.is(Kind::text) && !value.is_items() && !value.is(Kind::range))
    raise_type(fmt::format("'{}' object is not subscriptable", type_name(value)));
  const Bounds bounds = slice_bounds(start, stop, step, length(value));
  const auto from = static_cast<std::size_t>(bounds.start), count = static_cast<std::size_t>(bounds.count);
  if (value.is(Kind::range)) {
    const auto& range = value.as<Range>();
    std::int64_t first = 0, stride = 0, end = 0;
    if (__builtin_mul_overflow(bounds.start, range.step, &first) ||
        __builtin_add_overflow(range.start, first, &first) ||
        __builtin_mul_overflow(bounds.step, range.step, &stride) ||
        __builtin_mul_overflow(bounds.count, stride, &end) || __builtin_add_overflow(first, end, &end))
      raise_unsupported("whole numbers past 64 bits are not supported");
    return budget.range(first, end, stride);
  }
  if (value.is(Kind::text)) {
    const std::string_view text = value.text();
    budget.charge_bytes(text.size());
    std::string part;
    if (count == 0) return budget.text({}, value.is_markup());
    if (bounds.step == 1) {
      const std::size_t begin = offset_of(text, from);
      part = text.substr(begin, offset_of(text.substr(begin), count));
    } else {
      const auto codes = characters(text);
      for (std::int64_t i = 0, at = bounds.start; i < bounds.count;
           ++i, at += i < bounds.count ? bounds.step : 0)
        append_character(part, codes[static_cast<std::size_t>(at)]);
    }
    return budget.text(std::move(part), value.is_markup());
  }
  std::vector<Value> items;
  budget.charge(count);
  for (std::int64_t i = 0, at = bounds.start; i < bounds.count; ++i, at += i < bounds.count ? bounds.step : 0)
    items.push_back(value.items()[static_cast<std::size_t>(at)]);
  return value.is(Kind::list) ? budget.list(std::move(items)) : budget.tuple(std::move(items));
}

void require_hashable(Budget& budget, const Value& key) {
  std::size_t nodes = 0;
  count_key_nodes(budget, key, nodes);
}
std::size_t hash_key(const Value& key) {
  if (key.is(Kind::text)) return std::hash<std::string_view>()(key.text());
  if (key.is_number()) return std::hash<double>()(key.as_real());
  if (!key.is(Kind::tuple)) return static_cast<std::size_t>(key.kind());
  std::size_t hash = 17;
  for (const Value& item : key.items()) hash = hash * 31 + hash_key(item);
  return hash;
}
bool same_key(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return order_numbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  if (left.is(Kind::text)) return left.text() == right.text();
  if (left.is(Kind::none) || left.is(Kind::undefined)) return true;
  if (!left.is(Kind::tuple)) return left.identity() == right.identity();
  const auto &a = left.items(), &b = right.items();
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_key);
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::text:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::dict_view:
    case Kind::range:
    case Kind::iterator:
      return true;
    default:
      return false;
  }
}

Cursor::Cursor(Budget& budget, Value value) : budget_(&budget), value_(std::move(value)) {
  if (value_.is(Kind::loop)) raise_unsupported("walking the loop variable is not supported");
  if (!is_iterable(value_)) raise_type(fmt::format("'{}' object is not iterable", type_name(value_)));
}
bool Cursor::next(Value& item) {
  budget_->charge(1);
  switch (value_.kind()) {
    case Kind::list:
    case Kind::tuple:
      if (at_ >= value_.items().size()) return false;
      item = value_.items()[at_++];
      return true;
    case Kind::dict:
      if (at_ >= value_.dict().entries.size()) return false;
      item = value_.dict().entries[at_++].first;
      return true;
    case Kind::dict_view: {
      const auto& view = value_.as<DictView>();
      const auto& entries = view.dict.dict().entries;
      if (at_ >= entries.size()) return false;
      const auto& [key, value] = entries[at_++];
      item = view.part == DictView::Part::keys     ? key
             : view.part == DictView::Part::values ? value
                                                   : budget_->tuple({key, value});
      return true;
    }
    case Kind::text: {
      if (at_ >= value_.text().size()) return false;
      const std::size_t size = character_at(value_.text(), at_).length;
      item = budget_->text(std::string(value_.text().substr(at_, size)));
      at_ += size;
      return true;
    }
    case Kind::range: {
      const auto& range = value_.as<Range>();
      if (static_cast<std::int64_t>(at_) >= range.size()) return false;
      item = Value::integer(range.start + static_cast<std::int64_t>(at_++) * range.step);
      return true;
    }
    case Kind::iterator: {
      const Budget::Deeper deeper(*budget_);
      return value_.changing<Iterator>().next(item);
    }
    default:
      return false;
  }
}

std::vector<Value> to_vector(Budget& budget, const Value& value) {
  Cursor cursor(budget, value);
  std::vector<Value> items;
  Value item;
  while (cursor.next(item)) items.push_back(std::move(item));
  return items;
}

}  // namespace trine::jinja
