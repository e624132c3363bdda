#include "text/jinja/builtins.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

#include <unordered_map>

namespace trine::jinja {
namespace {

using Table = std::unordered_map<std::string_view, Builtin>;

// Filters of Jinja that are not there: a template that names one is told so.
Value absent(const BuiltinCall&) {
  return {};
}

Table make_filters() {
  Table table;
  for (auto make : {text_filters, number_filters, sequence_filters, choosing_filters})
    for (Builtin& filter : make()) table.emplace(filter.name, std::move(filter));
  for (const std::string_view name :
       {"filesizeformat", "pprint", "random", "striptags", "urlencode", "urlize", "wordwrap", "xmlattr"})
    table.emplace(name, Builtin{.name = name, .call = absent, .takes_anything = true});
  return table;
}
const Table& filters() {
  static const Table table = make_filters();
  return table;
}
const Table& test_table() {
  static const Table table = [] {
    Table made;
    for (Builtin& test : tests()) made.emplace(test.name, std::move(test));
    return made;
  }();
  return table;
}

const Builtin* find_builtin(const Table& table, std::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

Value global_range(Interpreter& interpreter, const Arguments& arguments) {
  if (!arguments.named.empty()) raise_type("range() takes no keyword arguments");
  const auto& given = arguments.positional;
  if (given.empty()) raise_type("range expected at least 1 argument, got 0");
  if (given.size() > 3) raise_type(fmt::format("range expected at most 3 arguments, got {}", given.size()));
  const auto whole = [&](std::size_t i) { return whole_argument(given[i], 0); };
  const std::int64_t start = given.size() > 1 ? whole(0) : 0, stop = whole(given.size() > 1 ? 1 : 0);
  const std::int64_t step = given.size() > 2 ? whole(2) : 1;
  if (step == 0) raise_value("range() arg 3 must not be zero");
  const Value range = interpreter.budget().range(start, stop, step);
  constexpr std::int64_t max_range = 100000;  // of Jinja's sandbox
  if (range.as<Range>().size() > max_range)
    raise("OverflowError", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  return range;
}

// dict(pairs or a dict, name=value, …)
std::shared_ptr<Dict> dict_from(Interpreter& interpreter, const Arguments& arguments) {
  Budget& budget = interpreter.budget();
  if (arguments.positional.size() > 1)
    raise_type(fmt::format("dict expected at most 1 argument, got {}", arguments.positional.size()));
  auto dict = std::make_shared<Dict>();
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::dict)) {
      budget.charge(source.dict().entries.size());
      *dict = source.dict();
      dict->depth = 0;
    } else {
      Cursor cursor(budget, source);
      Value item;
      for (std::size_t i = 0; cursor.next(item); ++i) {
        if (!is_iterable(item))
          raise_type(fmt::format("cannot convert dictionary update sequence element #{} to a sequence", i));
        const auto pair = to_vector(budget, item);
        if (pair.size() != 2)
          raise_value(fmt::format("dictionary update sequence element #{} has length {}; 2 is required", i,
                                  pair.size()));
        require_hashable(budget, pair[0]);
        dict->set(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict->set(budget.text(name), value);
  return dict;
}
Value global_dict(Interpreter& interpreter, const Arguments& arguments) {
  return interpreter.budget().dict(dict_from(interpreter, arguments));
}
Value global_namespace(Interpreter& interpreter, const Arguments& arguments) {
  const auto dict = dict_from(interpreter, arguments);
  Arguments attributes;
  for (const auto& [key, value] : dict->entries) {
    if (!key.is(Kind::text)) raise_unsupported("a namespace of other than names is not supported");
    attributes.named.emplace_back(key.text(), value);
  }
  return interpreter.new_namespace(attributes);
}

Value global_cycler(Interpreter& interpreter, const Arguments& arguments) {
  if (!arguments.named.empty())
    raise_type(fmt::format("Cycler.__init__() got an unexpected keyword argument {}",
                           quoted_text(arguments.named[0].first)));
  if (arguments.positional.empty()) raise("RuntimeError", "at least one item has to be provided");
  auto cycler = std::make_shared<Cycler>();
  cycler->items = arguments.positional;
  cycler->depth = interpreter.budget().tuple(arguments.positional).depth();
  return Value::object<Cycler>(Kind::cycler, std::move(cycler));
}
Value global_joiner(Interpreter& interpreter, const Arguments& arguments) {
  const auto bound = bind({"Joiner.__init__", 1, {{"sep", false}}}, arguments);
  auto joiner = std::make_shared<Joiner>();
  joiner->separator = bound[0].is(Kind::missing) ? interpreter.budget().text(", ") : bound[0];
  joiner->depth = interpreter.budget().nested(joiner->separator.depth());
  return Value::object<Joiner>(Kind::joiner, std::move(joiner));
}

Value global_raise(Interpreter& interpreter, const Arguments& arguments) {
  const auto bound = bind({"raise_exception", 0, {{"message", true}}}, arguments);
  throw Raised{.code = ErrorCode::validation_failed,
               .kind = "TemplateError",
               .message = to_text(interpreter.budget(), bound[0])};
}

Value global_now(Interpreter& interpreter, const Arguments& arguments) {
  const auto bound = bind({"strftime_now", 0, {{"format", true}}}, arguments);
  if (!bound[0].is(Kind::text))
    raise_type(fmt::format("strftime() argument 1 must be str, not {}", type_name(bound[0])));
  // Python has its own idea of these three: the time has no zone, and its microseconds are not known.
  std::string format;
  const std::string_view given = bound[0].text();
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] == '\0') raise_value("embedded null character");
    if (given[i] != '%' || i + 1 == given.size()) {
      format += given[i];
      continue;
    }
    const char what = given[++i];
    if (what == 'f')
      format += "000000";
    else if (what != 'z' && what != 'Z')
      format.append({'%', what});
  }
  if (format.empty()) return interpreter.budget().text({});
  interpreter.budget().check_text(format.size());
  std::string text(std::max<std::size_t>(1024, 256 * std::min<std::size_t>(format.size(), 4096)), '\0');
  interpreter.budget().charge_bytes(text.size());
  text.resize(std::strftime(text.data(), text.size(), format.c_str(), &interpreter.now()));
  return interpreter.budget().text(std::move(text));
}
Value global_lipsum(Interpreter&, const Arguments&) {
  raise_unsupported("the function lipsum() is not supported");
}

}  // namespace

Budget& BuiltinCall::budget() const {
  return interpreter.budget();
}
bool BuiltinCall::flag(std::size_t parameter) const {
  return !bound[parameter].is(Kind::missing) && truth(bound[parameter]);
}

const Builtin* find_filter(std::string_view name) {
  const Builtin* found = find_builtin(filters(), name);
  if (found != nullptr && found->call == absent)
    raise_unsupported(fmt::format("the filter '{}' is not supported", name));
  return found;
}
const Builtin* find_test(std::string_view name) {
  return find_builtin(test_table(), name);
}

Value call_builtin(Interpreter& interpreter, const Builtin& builtin, const Value& value,
                   const Arguments& arguments) {
  const Budget::Deeper deeper(interpreter.budget());
  return builtin.call({interpreter, value, arguments,
                       builtin.takes_anything ? std::vector<Value>() : bind(builtin.signature, arguments)});
}

Value global_named(std::string_view name) {
  using Globals = std::unordered_map<std::string_view, Value>;
  static const Globals globals = [] {
    Globals made;
    const auto add = [&](std::string_view function_name, decltype(Function::call) call) {
      auto function = std::make_shared<Function>();
      function->name = function_name;
      function->call = call;
      made.emplace(function_name, Value::object<Function>(Kind::function, std::move(function)));
    };
    add("range", global_range);
    add("dict", global_dict);
    add("namespace", global_namespace);
    add("cycler", global_cycler);
    add("joiner", global_joiner);
    add("raise_exception", global_raise);
    add("strftime_now", global_now);
    add("lipsum", global_lipsum);
    return made;
  }();
  const auto found = globals.find(name);
  return found == globals.end() ? Value::missing() : found->second;
}

}  // namespace trine::jinja
