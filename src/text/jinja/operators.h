#pragma once

#include "text/jinja/value.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

// Python's operators and protocols on values. Everything that can fail raises what Python raises, in its
// words.
namespace trine::jinja {

enum class Binary : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
enum class Compare : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };

bool truth(const Value& value);
Value binary(Budget& budget, Binary operation, const Value& left, const Value& right);
Value negate(Budget& budget, const Value& value);
Value positive(Budget& budget, const Value& value);
bool compare(Budget& budget, Compare operation, const Value& left, const Value& right);
bool equal(Budget& budget, const Value& left, const Value& right);
inline bool less(Budget& budget, const Value& left, const Value& right) {
  return compare(budget, Compare::less, left, right);
}
bool contains(Budget& budget, const Value& container, const Value& item);

// len(); nothing where Python has no len().
std::optional<std::int64_t> length_of(const Value& value);
std::int64_t length(const Value& value);

// value[key] where Python finds one: neither a TypeError nor a LookupError.
std::optional<Value> item_of(Budget& budget, const Value& value, const Value& key);
// value[start:stop:step]; None stands for what is left out.
Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop, const Value& step);

// Before a value is a key: raises what Python raises for what is not hashable.
void require_hashable(Budget& budget, const Value& key);
std::size_t hash_key(const Value& key);
bool same_key(const Value& left, const Value& right);

// Raises what using an undefined value raises.
[[noreturn]] void raise_undefined(const Value& undefined);

// iter() and next().
class Cursor {
 public:
  Cursor(Budget& budget, Value value);  // raises for what cannot be iterated
  bool next(Value& item);

 private:
  Budget* budget_;
  Value value_;
  std::size_t at_ = 0;
};
bool is_iterable(const Value& value);
std::vector<Value> to_vector(Budget& budget, const Value& value);

// Python's sorted(): stable, by "<" alone, and in its order of comparing, which a TypeError shows.
template <typename T, typename Key>
void sort_values(Budget& budget, std::vector<T>& items, Key key) {
  const auto before = [&](const T& a, const T& b) { return less(budget, key(a), key(b)); };
  constexpr std::size_t run = 64;
  for (std::size_t low = 0; low < items.size(); low += run) {
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(low);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(run, items.size() - low));
    auto sorted = begin + 1;
    if (sorted != end && before(*sorted, *begin)) {
      while (sorted != end && before(*sorted, *(sorted - 1))) ++sorted;
      std::reverse(begin, sorted);
    } else {
      while (sorted != end && !before(*sorted, *(sorted - 1))) ++sorted;
    }
    for (; sorted != end; ++sorted) {
      auto left = begin, right = sorted;
      while (left < right) {
        const auto middle = left + (right - left) / 2;
        before(*sorted, *middle) ? right = middle : left = middle + 1;
      }
      std::rotate(left, sorted, sorted + 1);
    }
  }
  std::vector<T> merged;
  for (std::size_t width = run; width < items.size(); width *= 2) {
    merged.clear();
    for (std::size_t low = 0; low < items.size(); low += 2 * width) {
      std::size_t left = low, right = std::min(low + width, items.size());
      const std::size_t middle = right, end = std::min(low + 2 * width, items.size());
      while (left < middle || right < end) {
        const bool take_right = left == middle || (right < end && before(items[right], items[left]));
        merged.push_back(items[take_right ? right++ : left++]);
      }
    }
    items.swap(merged);
  }
}

}  // namespace trine::jinja
