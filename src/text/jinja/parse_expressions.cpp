#include "text/jinja/parser.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace trine::jinja {
namespace {

constexpr int max_parse_depth = 150;

// How tightly a binary operator binds; 0: no such operator stands here.
enum Level { disjunctions = 1, conjunctions, negations, comparisons, sums, concats, products, powers };

struct Operator {
  int level = 0;
  Binary binary = Binary::add;
};
Operator operator_of(const Token& token) {
  if (token.is_name("or")) return {disjunctions};
  if (token.is_name("and")) return {conjunctions};
  if (!token.is(Token::Type::symbol)) return {};
  if (token.text == "+") return {sums, Binary::add};
  if (token.text == "-") return {sums, Binary::subtract};
  if (token.text == "~") return {concats};
  if (token.text == "*") return {products, Binary::multiply};
  if (token.text == "/") return {products, Binary::divide};
  if (token.text == "//") return {products, Binary::floor_divide};
  if (token.text == "%") return {products, Binary::modulo};
  if (token.text == "**") return {powers, Binary::power};
  return {};
}
std::optional<Compare> compare_of(const Token& token) {
  if (token.is_name("in")) return Compare::in;
  if (!token.is(Token::Type::symbol)) return std::nullopt;
  if (token.text == "==") return Compare::equal;
  if (token.text == "!=") return Compare::not_equal;
  if (token.text == "<") return Compare::less;
  if (token.text == "<=") return Compare::less_equal;
  if (token.text == ">") return Compare::greater;
  if (token.text == ">=") return Compare::greater_equal;
  return std::nullopt;
}

std::string_view node_name(Expr::Kind kind) {
  switch (kind) {
    case Expr::Kind::constant:
      return "const";
    case Expr::Kind::name:
      return "name";
    case Expr::Kind::tuple:
      return "tuple";
    case Expr::Kind::list:
      return "list";
    case Expr::Kind::dict:
      return "dict";
    case Expr::Kind::attribute:
      return "getattr";
    case Expr::Kind::item:
    case Expr::Kind::slice:
      return "getitem";
    case Expr::Kind::call:
      return "call";
    case Expr::Kind::filter:
      return "filter";
    case Expr::Kind::test:
      return "test";
    default:
      return "expression";
  }
}

bool can_assign(const Expr& node) {
  if (node.kind == Expr::Kind::name)
    return node.name != "true" && node.name != "false" && node.name != "none" && node.name != "True" &&
           node.name != "False" && node.name != "None";
  if (node.kind == Expr::Kind::attribute_to_set) return true;
  return node.kind == Expr::Kind::tuple && std::all_of(node.items.begin(), node.items.end(),
                                                       [](const ExprPtr& item) { return can_assign(*item); });
}

}  // namespace

void check_depth(Expr& node) {
  node.depth = 1;
  const auto under = [&](const ExprPtr& child) {
    if (child) node.depth = std::max(node.depth, child->depth + 1);
  };
  for (const ExprPtr& item : node.items) under(item);
  for (const auto& [name, value] : node.named) under(value);
  under(node.more_positional);
  under(node.more_named);
  if (node.depth > max_tree_depth) raise_unsupported("the template nests too deeply", node.line);
}

Parser::Nested::Nested(Parser& parser) : parser_(parser) {
  if (parser.depth_ >= max_parse_depth)
    raise_unsupported("the template nests too deeply", parser.current().line);
  ++parser.depth_;
}

ExprPtr Parser::make(Expr::Kind kind, int line, std::vector<ExprPtr> items) {
  auto node = std::make_unique<Expr>(Expr{.kind = kind, .line = line, .items = std::move(items)});
  check_depth(*node);
  return node;
}

namespace {
template <typename... Nodes>
std::vector<ExprPtr> nodes_of(Nodes... nodes) {
  std::vector<ExprPtr> items;
  (items.push_back(std::move(nodes)), ...);
  return items;
}
}  // namespace

ExprPtr Parser::expression(bool with_conditional) {
  const Nested nested(*this);
  return with_conditional ? conditional() : operation(disjunctions);
}

ExprPtr Parser::conditional() {
  int line = current().line;
  ExprPtr node = operation(disjunctions);
  while (skip_name("if")) {
    ExprPtr test = operation(disjunctions), otherwise;
    if (skip_name("else")) {
      const Nested nested(*this);
      otherwise = conditional();
    }
    node =
        make(Expr::Kind::conditional, line, nodes_of(std::move(test), std::move(node), std::move(otherwise)));
    line = current().line;
  }
  return node;
}

ExprPtr Parser::operation(int level) {
  if (level == negations) {
    if (!current().is_name("not")) return comparison();
    const Nested nested(*this);
    const int line = advance().line;
    return make(Expr::Kind::negation, line, nodes_of(operation(negations)));
  }
  const auto tighter = [&] { return level == powers ? unary(true) : operation(level + 1); };
  int line = current().line;
  ExprPtr node = tighter();
  while (operator_of(current()).level == level) {
    const Operator found = operator_of(current());
    advance();
    ExprPtr right = tighter();
    if (level == concats && node->kind == Expr::Kind::concat && node->attribute == "open") {
      node->depth = std::max(node->depth, right->depth + 1);
      if (node->depth > max_tree_depth) raise_unsupported("the template nests too deeply", node->line);
      node->items.push_back(std::move(right));
      continue;
    }
    const auto kind = level == disjunctions   ? Expr::Kind::disjunction
                      : level == conjunctions ? Expr::Kind::conjunction
                      : level == concats      ? Expr::Kind::concat
                                              : Expr::Kind::binary;
    node = make(kind, line, nodes_of(std::move(node), std::move(right)));
    node->binary = found.binary;
    if (level == concats) node->attribute = "open";
    line = current().line;
  }
  if (node->kind == Expr::Kind::concat) node->attribute.clear();
  return node;
}

ExprPtr Parser::comparison() {
  const int line = current().line;
  ExprPtr node = operation(sums);
  std::vector<Compare> compares;
  std::vector<ExprPtr> items;
  while (true) {
    auto compare = compare_of(current());
    if (current().is_name("not") && following().is_name("in")) {
      advance();
      compare = Compare::not_in;
    }
    if (!compare) break;
    advance();
    compares.push_back(*compare);
    items.push_back(operation(sums));
  }
  if (compares.empty()) return node;
  items.insert(items.begin(), std::move(node));
  node = make(Expr::Kind::comparison, line, std::move(items));
  node->compares = std::move(compares);
  return node;
}

ExprPtr Parser::unary(bool with_filter) {
  const int line = current().line;
  ExprPtr node;
  if (current().is_symbol("-") || current().is_symbol("+")) {
    const Nested nested(*this);
    const auto kind = advance().text == "-" ? Expr::Kind::negative : Expr::Kind::positive;
    node = make(kind, line, nodes_of(unary(false)));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr Parser::primary(bool with_namespace) {
  const Token token = current();
  switch (token.type) {
    case Token::Type::name: {
      advance();
      ExprPtr node = make(Expr::Kind::constant, token.line);
      if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
        node->constant = Value::boolean(token.text == "true" || token.text == "True");
      } else if (token.text != "none" && token.text != "None") {
        node->kind = Expr::Kind::name;
        node->name = token.text;
        if (with_namespace && skip_symbol(".")) {
          node->kind = Expr::Kind::attribute_to_set;
          node->attribute = any_name();
        }
      }
      return node;
    }
    case Token::Type::text: {
      std::string text;
      while (current().is(Token::Type::text)) text += advance().text;
      ExprPtr node = make(Expr::Kind::constant, token.line);
      Budget unlimited(SIZE_MAX, SIZE_MAX, 1);
      node->constant = unlimited.text(std::move(text));
      return node;
    }
    case Token::Type::integer:
    case Token::Type::real: {
      ExprPtr node = make(Expr::Kind::constant, token.line);
      node->constant = advance().number;
      return node;
    }
    default:
      break;
  }
  if (token.is_symbol("(")) {
    advance();
    ExprPtr node = tuple(false, true, true);
    expect_symbol(")");
    return node;
  }
  if (token.is_symbol("[")) return list();
  if (token.is_symbol("{")) return dict();
  raise_syntax(fmt::format("unexpected {}", quoted_text(token.described())), token.line);
}

ExprPtr Parser::tuple(bool simplified, bool with_conditional, bool parenthesised, bool with_namespace) {
  int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_symbol(",");
    if (current().is(Token::Type::variable_end) || current().is(Token::Type::block_end) ||
        current().is_symbol(")"))
      break;
    items.push_back(simplified ? primary(with_namespace) : expression(with_conditional));
    if (!current().is_symbol(",")) break;
    is_tuple = true;
    line = current().line;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!parenthesised)
      raise_syntax(fmt::format("Expected an expression, got {}", quoted_text(current().described())),
                   current().line);
  }
  return make(Expr::Kind::tuple, line, std::move(items));
}

ExprPtr Parser::list() {
  const int line = advance().line;
  std::vector<ExprPtr> items;
  while (!current().is_symbol("]")) {
    if (!items.empty()) expect_symbol(",");
    if (current().is_symbol("]")) break;
    items.push_back(expression());
  }
  expect_symbol("]");
  return make(Expr::Kind::list, line, std::move(items));
}
ExprPtr Parser::dict() {
  const int line = advance().line;
  std::vector<ExprPtr> items;
  while (!current().is_symbol("}")) {
    if (!items.empty()) expect_symbol(",");
    if (current().is_symbol("}")) break;
    items.push_back(expression());
    expect_symbol(":");
    items.push_back(expression());
  }
  expect_symbol("}");
  return make(Expr::Kind::dict, line, std::move(items));
}

ExprPtr Parser::postfix(ExprPtr node) {
  while (true) {
    if (current().is_symbol(".") || current().is_symbol("["))
      node = subscripted(std::move(node));
    else if (current().is_symbol("("))
      node = call(std::move(node));
    else
      return node;
  }
}
ExprPtr Parser::filters_and_tests(ExprPtr node) {
  while (true) {
    if (current().is_symbol("|"))
      node = filter(std::move(node), false);
    else if (current().is_name("is"))
      node = test(std::move(node));
    else if (current().is_symbol("("))
      node = call(std::move(node));
    else
      return node;
  }
}

ExprPtr Parser::subscripted(ExprPtr node) {
  const Token token = advance();
  if (token.text == ".") {
    const Token name = advance();
    if (name.is(Token::Type::name)) {
      node = make(Expr::Kind::attribute, token.line, nodes_of(std::move(node)));
      node->name = name.text;
      return node;
    }
    if (!name.is(Token::Type::integer)) raise_syntax("expected name or number", name.line);
    ExprPtr index = make(Expr::Kind::constant, name.line);
    index->constant = name.number;
    return make(Expr::Kind::item, token.line, nodes_of(std::move(node), std::move(index)));
  }
  std::vector<ExprPtr> indices;
  bool sliced = false;
  while (!current().is_symbol("]")) {
    if (!indices.empty()) {
      if (sliced) raise_unsupported("a slice beside another index is not supported", current().line);
      expect_symbol(",");
    }
    const auto part = [&]() -> ExprPtr {
      const bool none = current().is_symbol(":") || current().is_symbol("]") || current().is_symbol(",");
      return none ? nullptr : expression();
    };
    ExprPtr start = current().is_symbol(":") ? nullptr : expression();
    if (!skip_symbol(":")) {
      indices.push_back(std::move(start));
      continue;
    }
    if (!indices.empty()) raise_unsupported("a slice beside another index is not supported", current().line);
    sliced = true;
    ExprPtr stop = part(), step = skip_symbol(":") ? part() : nullptr;
    indices = nodes_of(std::move(start), std::move(stop), std::move(step));
  }
  expect_symbol("]");
  if (sliced) {
    indices.insert(indices.begin(), std::move(node));
    return make(Expr::Kind::slice, token.line, std::move(indices));
  }
  ExprPtr index =
      indices.size() == 1 ? std::move(indices[0]) : make(Expr::Kind::tuple, token.line, std::move(indices));
  return make(Expr::Kind::item, token.line, nodes_of(std::move(node), std::move(index)));
}

ExprPtr Parser::call(ExprPtr callee) {
  ExprPtr node = make(Expr::Kind::call, current().line, nodes_of(std::move(callee)));
  arguments(*node);
  return node;
}

void Parser::arguments(Expr& call) {
  const int line = current().line;
  expect_symbol("(");
  const auto ensure = [&](bool right) {
    if (!right) raise_syntax("invalid syntax for function call expression", line);
  };
  std::set<std::string> names;
  for (bool first = true; !current().is_symbol(")"); first = false) {
    if (!first) {
      expect_symbol(",");
      if (current().is_symbol(")")) break;
    }
    if (skip_symbol("*")) {
      ensure(!call.more_positional && !call.more_named);
      call.more_positional = expression();
    } else if (skip_symbol("**")) {
      ensure(!call.more_named);
      call.more_named = expression();
    } else if (current().is(Token::Type::name) && following().is_symbol("=")) {
      ensure(!call.more_named);
      std::string name = advance().text;
      advance();
      if (!names.insert(name).second) raise_syntax(fmt::format("keyword argument repeated: {}", name), line);
      call.named.emplace_back(std::move(name), expression());
    } else {
      ensure(!call.more_positional && !call.more_named && call.named.empty());
      call.items.push_back(expression());
    }
  }
  expect_symbol(")");
  check_depth(call);
}

ExprPtr Parser::filter(ExprPtr node, bool begun) {
  while (current().is_symbol("|") || begun) {
    if (!begun) advance();
    begun = false;
    const int line = current().line;
    std::string name = any_name();
    while (skip_symbol(".")) name.append(1, '.').append(any_name());
    node = make(Expr::Kind::filter, line, nodes_of(std::move(node)));
    node->name = std::move(name);
    if (current().is_symbol("(")) arguments(*node);
  }
  return node;
}

ExprPtr Parser::test(ExprPtr node) {
  const int line = advance().line;
  const bool negated = skip_name("not");
  std::string name = any_name();
  while (skip_symbol(".")) name.append(1, '.').append(any_name());
  node = make(Expr::Kind::test, line, nodes_of(std::move(node)));
  node->name = std::move(name);
  const Token& next = current();
  const bool begins_value = next.is(Token::Type::name) || next.is(Token::Type::text) ||
                            next.is(Token::Type::integer) || next.is(Token::Type::real) ||
                            next.is_symbol("[") || next.is_symbol("{");
  if (next.is_symbol("(")) {
    arguments(*node);
  } else if (begins_value && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) {
    if (next.is_name("is")) raise_syntax("You cannot chain multiple tests with is", next.line);
    node->items.push_back(postfix(primary()));
    check_depth(*node);
  }
  return negated ? make(Expr::Kind::negation, line, nodes_of(std::move(node))) : std::move(node);
}

ExprPtr Parser::target(bool with_namespace) {
  const Nested nested(*this);
  ExprPtr node = tuple(true, true, false, with_namespace);
  if (!can_assign(*node))
    raise_syntax(fmt::format("can't assign to '{}'", node_name(node->kind)), node->line);
  return node;
}

}  // namespace trine::jinja
