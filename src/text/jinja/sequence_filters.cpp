// Filters of lists and dicts, and of values of any kind.
#include "text/jinja/attributes.h"
#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/sequences.h"
#include "text/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace trine::jinja {
namespace {

struct Keyed {
  Value key, item;
};
void sort_keyed(Budget& budget, std::vector<Keyed>& keyed, bool reverse) {
  budget.charge(keyed.size());
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  sort_values(budget, keyed, [](const Keyed& each) -> const Value& { return each.key; });
  if (reverse) std::reverse(keyed.begin(), keyed.end());
}
std::vector<Value> items_of(std::vector<Keyed> keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (Keyed& each : keyed) items.push_back(std::move(each.item));
  return items;
}

Value defaulted(const BuiltinCall& call) {
  if (!call.value.is(Kind::undefined) && !(call.flag(1) && !truth(call.value))) return call.value;
  return call.bound[0].is(Kind::missing) ? call.budget().text({}) : call.bound[0];
}
Value counted_items(const BuiltinCall& call) {
  if (call.value.is(Kind::loop)) return Value::integer(call.value.changing<Loop>().count());
  if (call.value.is(Kind::text)) call.budget().charge_bytes(call.value.text().size());
  return Value::integer(length(call.value));
}
Value first_item(const BuiltinCall& call) {
  Cursor cursor(call.budget(), call.value);
  Value item;
  return cursor.next(item) ? item : call.budget().undefined("No first item, sequence was empty.");
}
[[noreturn]] void raise_not_reversible(const Value& value) {
  raise_type(fmt::format("'{}' object is not reversible", type_name(value)));
}
Value last_item(const BuiltinCall& call) {
  const Value& value = call.value;
  if (!is_iterable(value) || value.is(Kind::iterator)) raise_not_reversible(value);
  const std::int64_t size = length(value);
  if (size == 0) return call.budget().undefined("No last item, sequence was empty.");
  if (const auto item = item_of(call.budget(), value, Value::integer(size - 1));
      item && !value.is(Kind::dict))
    return *item;
  return to_vector(call.budget(), value).back();
}
Value as_list(const BuiltinCall& call) {
  return call.budget().list(to_vector(call.budget(), call.value));
}
Value backwards_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  if (call.value.is(Kind::text)) {
    budget.charge_bytes(call.value.text().size());
    return budget.text(reversed(call.value.text()), call.value.is_markup());
  }
  if (!is_iterable(call.value)) raise("FilterArgumentError", "argument must be iterable");
  auto items = to_vector(budget, call.value);
  std::reverse(items.begin(), items.end());
  // Only what cannot be walked backwards becomes a list.
  if (call.value.is(Kind::iterator)) return budget.list(std::move(items));
  const std::string_view type = call.value.is(Kind::list)    ? "list_reverseiterator"
                                : call.value.is(Kind::dict)  ? "dict_reversekeyiterator"
                                : call.value.is(Kind::range) ? "range_iterator"
                                                             : "reversed";
  const Value list = budget.list(std::move(items));
  return budget.iterator(type, list,
                         [cursor = Cursor(budget, list)](Value& item) mutable { return cursor.next(item); });
}

Value sorted_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const bool reverse = call.flag(0), case_sensitive = call.flag(1);
  std::vector<AttributePath> paths;
  if (call.bound[2].is(Kind::text)) {
    for (const std::string_view part : split(call.bound[2].text(), ",", -1))
      paths.emplace_back(call.interpreter, budget.text(std::string(part)));
  } else {
    paths.emplace_back(call.interpreter, call.bound[2]);
  }
  std::vector<Keyed> keyed;
  Cursor cursor(budget, call.value);
  Value item;
  while (cursor.next(item)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      Value key = path.of(item);
      keys.push_back(case_sensitive ? key : without_case(budget, key));
    }
    keyed.push_back({budget.list(std::move(keys)), item});
  }
  sort_keyed(budget, keyed, reverse);
  return budget.list(items_of(std::move(keyed)));
}

Value unique_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const bool case_sensitive = call.flag(0);
  const Value value = call.value;
  // As a generator: nothing of `value` is touched before the first item is asked for.
  struct State {
    AttributePath path;
    std::optional<Cursor> cursor;
    Dict seen;
  };
  const auto state =
      std::make_shared<State>(State{AttributePath(call.interpreter, call.bound[1]), std::nullopt, {}});
  return budget.iterator("generator", value, [state, value, case_sensitive, &budget](Value& item) {
    if (!state->cursor) state->cursor.emplace(budget, value);
    while (state->cursor->next(item)) {
      Value key = state->path.of(item);
      if (!case_sensitive) key = without_case(budget, key);
      require_hashable(budget, key);
      if (state->seen.find(key) != nullptr) continue;
      state->seen.set(std::move(key), Value());
      return true;
    }
    return false;
  });
}

template <Compare Better>
Value extreme(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const bool case_sensitive = call.flag(0);
  Cursor cursor(budget, call.value);
  Value best, item;
  if (!cursor.next(best)) return budget.undefined("No aggregated item, sequence was empty.");
  const AttributePath path(call.interpreter, call.bound[1]);
  const auto key_of = [&](const Value& each) {
    const Value key = path.of(each);
    return case_sensitive ? key : without_case(budget, key);
  };
  Value best_key = key_of(best);
  while (cursor.next(item)) {
    Value key = key_of(item);
    if (!compare(budget, Better, key, best_key)) continue;
    best_key = std::move(key);
    best = item;
  }
  return best;
}

Value summed(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const AttributePath path(call.interpreter, call.bound[0]);
  Value sum = call.bound[1].is(Kind::missing) ? Value::integer(0) : call.bound[1];
  Cursor cursor(budget, call.value);
  if (sum.is(Kind::text)) raise_type("sum() can't sum strings [use ''.join(seq) instead]");
  Value item;
  while (cursor.next(item)) sum = binary(budget, Binary::add, sum, path.of(item));
  return sum;
}

Value batched(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const Value value = call.value, size = call.bound[0], fill = call.bound[1];
  const auto cursor = std::make_shared<std::optional<Cursor>>();
  const auto ahead = std::make_shared<std::optional<Value>>();
  return budget.iterator(
      "generator", budget.list({value, size, fill}),
      [cursor, ahead, value, size, fill, &budget](Value& batch) {
        if (!*cursor) cursor->emplace(budget, value);
        std::vector<Value> items;
        if (*ahead) items.push_back(*std::exchange(*ahead, std::nullopt));
        Value item;
        while ((*cursor)->next(item)) {
          if (equal(budget, Value::integer(static_cast<std::int64_t>(items.size())), size)) {
            *ahead = item;
            batch = budget.list(std::move(items));
            return true;
          }
          items.push_back(item);
        }
        if (items.empty()) return false;
        const auto count = Value::integer(static_cast<std::int64_t>(items.size()));
        if (given(fill) && less(budget, count, size)) {
          const std::int64_t missing = whole_argument(binary(budget, Binary::subtract, size, count), 0);
          budget.charge(static_cast<std::size_t>(missing));
          items.insert(items.end(), static_cast<std::size_t>(missing), fill);
        }
        batch = budget.list(std::move(items));
        return true;
      });
}

std::vector<Value> slices_of(Budget& budget, const Value& value, const Value& wanted, const Value& fill) {
  const auto items = to_vector(budget, value);
  const std::int64_t count = whole_argument(wanted, 0), size = static_cast<std::int64_t>(items.size());
  if (count == 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  std::vector<Value> slices;
  budget.charge(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
  const std::int64_t each = size / std::max<std::int64_t>(count, 1),
                     longer = size % std::max<std::int64_t>(count, 1);
  for (std::int64_t i = 0, at = 0; i < count; ++i) {
    const std::int64_t length = each + (i < longer ? 1 : 0);
    std::vector<Value> slice(items.begin() + at, items.begin() + at + length);
    if (given(fill) && i >= longer) slice.push_back(fill);
    slices.push_back(budget.list(std::move(slice)));
    at += length;
  }
  return slices;
}
Value sliced(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const Value value = call.value, count = call.bound[0], fill = call.bound[1];
  struct State {
    bool begun = false;
    std::vector<Value> slices;
    std::size_t at = 0;
  };
  const auto state = std::make_shared<State>();
  return budget.iterator("generator", budget.list({value, fill}),
                         [state, value, count, fill, &budget](Value& slice) {
                           if (!std::exchange(state->begun, true))
                             state->slices = slices_of(budget, value, count, fill);
                           if (state->at >= state->slices.size()) return false;
                           slice = state->slices[state->at++];
                           return true;
                         });
}

Value grouped_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const bool case_sensitive = call.flag(2);
  const AttributePath path(call.interpreter, call.bound[0], call.bound[1]);
  std::vector<Keyed> keyed;
  Cursor cursor(budget, call.value);
  Value item;
  while (cursor.next(item)) {
    const Value key = path.of(item);
    keyed.push_back({case_sensitive ? key : without_case(budget, key), item});
  }
  sort_keyed(budget, keyed, false);
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> items;
    std::size_t end = begin;
    for (; end < keyed.size() && equal(budget, keyed[end].key, keyed[begin].key); ++end)
      items.push_back(keyed[end].item);
    if (end == begin) items.push_back(keyed[end++].item);  // a NaN is not itself
    auto group = std::make_shared<List>();
    const Value key = case_sensitive ? keyed[begin].key : path.of(items[0]);
    const Value list = budget.list(std::move(items));
    group->depth = budget.nested(std::max(key.depth(), list.depth()));
    group->items = {key, list};
    group->is_group = true;
    groups.push_back(Value::object<List>(Kind::tuple, std::move(group)));
    begin = end;
  }
  return budget.list(std::move(groups));
}

Value sorted_dict(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const bool case_sensitive = call.flag(0), reverse = call.flag(2);
  std::string_view by = "key";
  if (!call.bound[1].is(Kind::missing)) by = call.bound[1].is(Kind::text) ? call.bound[1].text() : "";
  if (by != "key" && by != "value")
    raise("FilterArgumentError", "You can only sort by either \"key\" or \"value\"");
  if (call.value.is(Kind::undefined)) raise_undefined(call.value);
  if (!call.value.is(Kind::dict))
    raise("AttributeError", fmt::format("'{}' object has no attribute 'items'", type_name(call.value)));
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : call.value.dict().entries) {
    const Value& sorted_by = by == "key" ? key : value;
    keyed.push_back(
        {case_sensitive ? sorted_by : without_case(budget, sorted_by), budget.tuple({key, value})});
  }
  sort_keyed(budget, keyed, reverse);
  return budget.list(items_of(std::move(keyed)));
}

Value dict_items(const BuiltinCall& call) {
  Budget& budget = call.budget();
  const Value value = call.value;
  const auto at = std::make_shared<std::size_t>(0);
  return budget.iterator("generator", value, [at, value, &budget](Value& item) {
    if (value.is(Kind::undefined)) return false;
    if (!value.is(Kind::dict)) raise_type("Can only get item pairs from a mapping.");
    const auto& entries = value.dict().entries;
    if (*at >= entries.size()) return false;
    const auto& [key, entry] = entries[(*at)++];
    item = budget.tuple({key, entry});
    return true;
  });
}

Value attribute_alone(const BuiltinCall& call) {
  const Value& name = call.bound[0];
  if (!name.is(Kind::text))
    raise_type(fmt::format("attribute name must be string, not '{}'", type_name(name)));
  if (call.value.is(Kind::undefined)) raise_undefined(call.value);
  if (!find_attribute(call.interpreter, call.value, name.text()) && !name.text().starts_with("__"))
    return call.budget().no_attribute(call.value, name.text());
  return attribute_of(call.interpreter, call.value, name.text());
}

}  // namespace

AttributePath::AttributePath(Interpreter& interpreter, const Value& attribute, Value otherwise)
    : interpreter_(interpreter), otherwise_(std::move(otherwise)) {
  if (!given(attribute)) return;
  if (!attribute.is(Kind::text)) {
    parts_.push_back(attribute);
    return;
  }
  for (const std::string_view part : split(attribute.text(), ".", -1)) {
    const bool digits = !part.empty() && part.size() < 19 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    parts_.push_back(digits ? Value::integer(std::stoll(std::string(part)))
                            : interpreter.budget().text(std::string(part)));
  }
}
Value AttributePath::of(Value item) const {
  for (const Value& part : parts_) {
    item = subscript(interpreter_, item, part);
    if (given(otherwise_) && item.is(Kind::undefined)) item = otherwise_;
  }
  return item;
}

Value without_case(Budget& budget, const Value& value) {
  if (!value.is(Kind::text)) return value;
  budget.charge_bytes(value.text().size());
  return budget.text(lower(value.text()), value.is_markup());
}

std::vector<Builtin> sequence_filters() {
  const Signature aggregate{"do_min", 2, {{"case_sensitive", false}, {"attribute", false}}};
  const Signature fallback{"do_default", 1, {{"default_value", false}, {"boolean", false}}};
  return {
      {"attr", attribute_alone, {"do_attr", 2, {{"name", true}}}},
      {"batch", batched, {"do_batch", 1, {{"linecount", true}, {"fill_with", false}}}},
      {"count", counted_items, {"len", 1, {}}},
      {"d", defaulted, fallback},
      {"default", defaulted, fallback},
      {"dictsort",
       sorted_dict,
       {"do_dictsort", 1, {{"case_sensitive", false}, {"by", false}, {"reverse", false}}}},
      {"first", first_item, {"sync_do_first", 2, {}}},
      {"groupby",
       grouped_items,
       {"sync_do_groupby", 2, {{"attribute", true}, {"default", false}, {"case_sensitive", false}}}},
      {"items", dict_items, {"do_items", 1, {}}},
      {"last", last_item, {"do_last", 2, {}}},
      {"length", counted_items, {"len", 1, {}}},
      {"list", as_list, {"sync_do_list", 1, {}}},
      {"max", extreme<Compare::greater>, {"do_max", 2, aggregate.parameters}},
      {"min", extreme<Compare::less>, aggregate},
      {"reverse", backwards_items, {"do_reverse", 1, {}}},
      {"slice", sliced, {"sync_do_slice", 1, {{"slices", true}, {"fill_with", false}}}},
      {"sort",
       sorted_items,
       {"do_sort", 2, {{"reverse", false}, {"case_sensitive", false}, {"attribute", false}}}},
      {"sum", summed, {"sync_do_sum", 2, {{"attribute", false}, {"start", false}}}},
      {"unique", unique_items, {"sync_do_unique", 2, {{"case_sensitive", false}, {"attribute", false}}}},
  };
}

}  // namespace trine::jinja
