#pragma once

#include "base/error.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trine::jinja {

// What a template evaluation throws, as Python would: `kind` is the Python class ("TypeError"), `message` its
// words. It never leaves Template::parse() and Template::render(), which turn it into an Error.
struct Raised {
  ErrorCode code = ErrorCode::other;
  std::string kind = {};
  std::string message = {};
  int line = 0;  // 0: where evaluation stands
};
[[noreturn]] void raise(std::string kind, std::string message);
[[noreturn]] void raise_type(std::string message);
[[noreturn]] void raise_value(std::string message);
[[noreturn]] void raise_unsupported(std::string what, int line = 0);

enum class Kind : std::uint8_t {
  missing,  // no value of the language: a name that nothing was assigned to, an argument not given
  undefined,
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,
  dict_view,  // keys(), values() or items()
  range,
  iterator,  // a generator or another thing that can be walked once
  name_space,
  macro,
  method,    // of a value
  function,  // a global
  loop,
  cycler,
  joiner,
};

struct Object {
  virtual ~Object() = default;
  int depth = 0;  // of the values inside one another: destructors recurse that deep
};

struct Text;
struct List;
struct Dict;

class Value {
 public:
  Value() = default;  // None
  static Value missing();
  static Value boolean(bool value);
  static Value integer(std::int64_t value);
  static Value real(double value);
  template <typename T>
  static Value object(Kind kind, std::shared_ptr<const T> object) {
    Value value;
    value.kind_ = kind;
    value.object_ = std::move(object);
    return value;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return is(Kind::boolean) || is(Kind::integer) || is(Kind::real); }
  bool is_whole() const { return is(Kind::boolean) || is(Kind::integer); }
  bool is_items() const { return is(Kind::list) || is(Kind::tuple); }

  bool as_boolean() const { return whole_ != 0; }
  std::int64_t as_integer() const { return whole_; }  // also of a boolean
  double as_real() const { return is(Kind::real) ? real_ : static_cast<double>(whole_); }
  std::string_view text() const;
  bool is_markup() const;
  const std::vector<Value>& items() const;  // of a list or tuple
  const Dict& dict() const;
  template <typename T>
  const T& as() const {
    return static_cast<const T&>(*object_);
  }
  // Of the kinds that change: a namespace, a loop, a cycler, a joiner, an iterator.
  template <typename T>
  T& changing() const {
    return const_cast<T&>(static_cast<const T&>(*object_));
  }
  const Object* identity() const { return object_.get(); }
  template <typename T>
  std::shared_ptr<const T> shared() const {
    return std::static_pointer_cast<const T>(object_);
  }
  int depth() const { return object_ ? object_->depth : 0; }

 private:
  Kind kind_ = Kind::none;
  union {
    std::int64_t whole_ = 0;
    double real_;
  };
  std::shared_ptr<const Object> object_;
};

struct Text : Object {
  std::string bytes;
  bool markup = false;  // what `safe` and `escape` return
};
struct List : Object {
  std::vector<Value> items;
  bool is_group = false;  // a tuple of groupby: .grouper and .list
};
// Keys keep the order they came in. Found by a walk when few, by hash when many.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_multimap<std::size_t, std::size_t> index;

  const Value* find(const Value& key) const;  // `key` is hashable
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);  // only while it is being made

 private:
  std::optional<std::size_t> position(const Value& key, std::size_t hash) const;
};
struct DictView : Object {
  enum class Part : std::uint8_t { keys, values, items };
  Value dict;
  Part part = Part::keys;
};
struct Range : Object {
  std::int64_t start = 0, stop = 0, step = 1;
  std::int64_t size() const;
};
struct Iterator : Object {
  std::string_view type_name;        // Python's: "generator"
  std::function<bool(Value&)> next;  // false: exhausted
};
struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
};
struct Undefined : Object {
  std::string_view kind = "UndefinedError";  // what using it raises
  std::string message;
};
struct Cycler : Object {
  std::vector<Value> items;
  std::size_t position = 0;
};
struct Joiner : Object {
  Value separator;
  bool used = false;
};

// What a call passes.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
class Interpreter;
// A method of a value, as `name.upper` finds it.
struct Method : Object {
  Value self;
  std::string_view name;
  Value (*call)(Interpreter& interpreter, const Value& self, std::string_view name,
                const Arguments& arguments);
};
struct Function : Object {
  std::string_view name;
  Value (*call)(Interpreter& interpreter, const Arguments& arguments);
};

// Python's name of the value's type: "NoneType", "str".
std::string_view type_name(const Value& value);
// As it stands in Jinja's messages: "None", "str object", "jinja2.utils.Namespace object".
std::string object_type(const Value& value);

// Counts what an evaluation costs, and makes the values whose size is somebody's choice.
class Budget {
 public:
  Budget(std::size_t steps, std::size_t text_bytes, int depth)
      : steps_(steps), text_bytes_(text_bytes), max_depth_(depth) {}

  void charge(std::size_t steps) {
    if (steps > steps_) too_many_steps();
    steps_ -= steps;
  }
  void charge_bytes(std::size_t bytes) { charge(bytes / 64 + 1); }
  void check_text(std::size_t bytes) const {
    if (bytes > text_bytes_) too_much_text();
  }

  Value text(std::string bytes, bool markup = false);
  Value list(std::vector<Value> items) { return sequence(Kind::list, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::tuple, std::move(items)); }
  Value dict(std::shared_ptr<Dict> dict);
  Value dict_view(const Value& dict, DictView::Part part);
  Value range(std::int64_t start, std::int64_t stop, std::int64_t step);
  // `source` is what `next` reads from.
  Value iterator(std::string_view type_name, const Value& source, std::function<bool(Value&)> next);
  Value method(const Value& self, std::string_view name, decltype(Method::call) call);
  Value undefined(std::string message, std::string_view kind = "UndefinedError");
  // `value.name` or `value[name]` that is not there.
  Value no_attribute(const Value& value, std::string_view name);

  // Held while something recurses over nested values, nodes or calls.
  class Deeper {
   public:
    explicit Deeper(Budget& budget) : budget_(budget) {
      if (++budget.depth_ > budget.max_depth_) {
        --budget.depth_;
        budget.too_deep();
      }
      budget.charge_or_leave();
    }
    ~Deeper() { --budget_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Budget& budget_;
  };
  int nested(int depth) const;  // depth + 1

 private:
  [[noreturn]] void too_many_steps() const;
  [[noreturn]] void too_much_text() const;
  [[noreturn]] void too_deep() const;
  void charge_or_leave() {
    if (steps_ == 0) {
      --depth_;
      too_many_steps();
    }
    --steps_;
  }
  Value sequence(Kind kind, std::vector<Value> items);

  std::size_t steps_;
  std::size_t text_bytes_;
  int max_depth_;
  int depth_ = 0;
};

}  // namespace trine::jinja
