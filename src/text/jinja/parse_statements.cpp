#include "text/jinja/parser.h"
#include "text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace trine::jinja {
namespace {

std::unique_ptr<Stmt> new_statement(Stmt::Kind kind, int line) {
  return std::make_unique<Stmt>(Stmt{.kind = kind, .line = line});
}

// 'a' or 'b'
std::string alternatives(const std::vector<std::string_view>& words) {
  std::string out;
  for (const std::string_view word : words) out += (out.empty() ? "" : " or ") + quoted_text(word);
  return out;
}

}  // namespace

const Token& Parser::advance() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}
bool Parser::skip_symbol(std::string_view symbol) {
  const bool found = current().is_symbol(symbol);
  if (found) advance();
  return found;
}
bool Parser::skip_name(std::string_view name) {
  const bool found = current().is_name(name);
  if (found) advance();
  return found;
}
void Parser::unexpected(std::string_view expected) {
  if (current().is(Token::Type::end))
    raise_syntax(fmt::format("unexpected end of template, expected {}.", quoted_text(expected)),
                 current().line);
  raise_syntax(
      fmt::format("expected token {}, got {}", quoted_text(expected), quoted_text(current().described())),
      current().line);
}
void Parser::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) unexpected(symbol);
}
void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected(name);
}
void Parser::expect(Token::Type type, std::string_view described) {
  if (!current().is(type)) unexpected(described);
  advance();
}
std::string Parser::any_name() {
  if (!current().is(Token::Type::name)) unexpected("name");
  return advance().text;
}

Body Parser::parse() {
  return statements({});
}

Body Parser::statements(const Words& ends) {
  const Nested nested(*this);
  Body body;
  std::unique_ptr<Stmt> output;
  const auto printed = [&](ExprPtr node) {
    if (!output) output = new_statement(Stmt::Kind::output, node->line);
    output->exprs.push_back(std::move(node));
  };
  const auto flush = [&] {
    if (output) body.push_back(std::move(output));
  };
  if (!ends.empty()) ends_.push_back(ends);
  while (!current().is(Token::Type::end)) {
    if (current().is(Token::Type::data)) {
      ExprPtr node = make(Expr::Kind::constant, current().line);
      Budget unlimited(SIZE_MAX, SIZE_MAX, 1);
      node->constant = unlimited.text(advance().text);
      printed(std::move(node));
    } else if (current().is(Token::Type::variable_begin)) {
      advance();
      printed(tuple(false, true, false));
      expect(Token::Type::variable_end, "end of print statement");
    } else {
      flush();
      advance();
      if (std::any_of(ends.begin(), ends.end(),
                      [&](std::string_view end) { return current().is_name(end); })) {
        ends_.pop_back();
        return body;
      }
      if (auto made = statement()) body.push_back(std::move(made));
      expect(Token::Type::block_end, "end of statement block");
    }
  }
  flush();
  if (!ends.empty()) ends_.pop_back();
  return body;
}

Body Parser::block(const Words& ends, bool drop_end) {
  skip_symbol(":");
  expect(Token::Type::block_end, "end of statement block");
  Body body = statements(ends);
  if (current().is(Token::Type::end)) {
    ends_.push_back(ends);
    unknown_tag(nullptr, current().line);
  }
  if (drop_end) advance();
  return body;
}

void Parser::unknown_tag(const std::string* name, int line) {
  std::string message =
      name == nullptr ? "Unexpected end of template." : fmt::format("Encountered unknown tag '{}'.", *name);
  if (!ends_.empty()) {
    const std::string looking = alternatives(ends_.back());
    const bool expected = name != nullptr && std::any_of(ends_.begin(), ends_.end(), [&](const Words& words) {
                            return std::find(words.begin(), words.end(), *name) != words.end();
                          });
    message += expected
                   ? fmt::format(
                         " You probably made a nesting mistake. Jinja is expecting this tag, but currently "
                         "looking for {}.",
                         looking)
                   : fmt::format(" Jinja was looking for the following tags: {}.", looking);
  }
  if (!open_tags_.empty())
    message += fmt::format(" The innermost block that needs to be closed is '{}'.", open_tags_.back());
  raise_syntax(message, line);
}

std::unique_ptr<Stmt> Parser::statement() {
  if (!current().is(Token::Type::name)) raise_syntax("tag name expected", current().line);
  const std::string tag = current().text;
  const int line = current().line;
  static const std::set<std::string_view> absent = {"block",  "extends", "include",
                                                    "import", "from",    "autoescape"};
  if (absent.contains(tag)) raise_unsupported(fmt::format("the tag '{}' is not supported", tag), line);
  using Parse = std::unique_ptr<Stmt> (Parser::*)();
  static const std::vector<std::pair<std::string_view, Parse>> tags = {
      {"set", &Parser::set_statement},       {"for", &Parser::for_statement},
      {"if", &Parser::if_statement},         {"with", &Parser::with_statement},
      {"macro", &Parser::macro_statement},   {"call", &Parser::call_statement},
      {"filter", &Parser::filter_statement}, {"generation", &Parser::generation_statement},
      {"print", &Parser::print_statement},
  };
  if (tag == "break" || tag == "continue") {
    advance();
    if (loops_ == 0)
      raise_syntax(tag == "break" ? "'break' outside loop" : "'continue' not properly in loop", line);
    return new_statement(tag == "break" ? Stmt::Kind::leave_loop : Stmt::Kind::next_round, line);
  }
  for (const auto& [name, parse] : tags) {
    if (name != tag) continue;
    open_tags_.push_back(tag);
    auto made = (this->*parse)();
    open_tags_.pop_back();
    return made;
  }
  unknown_tag(&tag, line);
}

std::unique_ptr<Stmt> Parser::set_statement() {
  auto made = new_statement(Stmt::Kind::assignment, advance().line);
  made->targets.push_back(target(true));
  if (skip_symbol("=")) {
    made->exprs.push_back(tuple(false, true, false));
    return made;
  }
  made->kind = Stmt::Kind::capture;
  if (current().is_symbol("|")) made->filter = filter(nullptr, false);
  made->body = block({"endset"}, true);
  return made;
}

std::unique_ptr<Stmt> Parser::for_statement() {
  auto made = new_statement(Stmt::Kind::loop, advance().line);
  made->targets.push_back(target(false));
  expect_name("in");
  made->exprs.push_back(tuple(false, false, false));
  if (skip_name("if")) made->test = expression();
  made->recursive = skip_name("recursive");
  ++loops_;
  made->body = block({"endfor", "else"}, false);
  --loops_;
  if (advance().text == "else") made->else_body = block({"endfor"}, true);
  return made;
}

std::unique_ptr<Stmt> Parser::if_statement() {
  auto made = new_statement(Stmt::Kind::branches, advance().line);
  while (true) {
    Branch branch;
    branch.test = tuple(false, false, false);
    branch.body = block({"elif", "else", "endif"}, false);
    made->branches.push_back(std::move(branch));
    const std::string end = advance().text;
    if (end == "elif") continue;
    if (end == "else") made->else_body = block({"endif"}, true);
    return made;
  }
}

std::unique_ptr<Stmt> Parser::with_statement() {
  auto made = new_statement(Stmt::Kind::with, advance().line);
  while (!current().is(Token::Type::block_end)) {
    if (!made->targets.empty()) expect_symbol(",");
    made->targets.push_back(target(false));
    expect_symbol("=");
    made->exprs.push_back(expression());
  }
  made->body = block({"endwith"}, true);
  return made;
}

std::string Parser::target_name() {
  const int line = current().line;
  std::string name = any_name();
  for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"})
    if (name == constant) raise_syntax("can't assign to 'name'", line);
  return name;
}

void Parser::signature(MacroNode& macro) {
  std::set<std::string> names;
  expect_symbol("(");
  while (!current().is_symbol(")")) {
    if (!macro.parameters.empty()) expect_symbol(",");
    MacroParameter parameter{.name = target_name(), .otherwise = nullptr};
    if (skip_symbol("="))
      parameter.otherwise = expression();
    else if (!macro.parameters.empty() && macro.parameters.back().otherwise)
      raise_syntax("non-default argument follows default argument", current().line);
    if (!names.insert(parameter.name).second)
      raise_syntax(fmt::format("duplicate argument '{}' in function definition", parameter.name),
                   current().line);
    macro.parameters.push_back(std::move(parameter));
  }
  expect_symbol(")");
}

std::unique_ptr<Stmt> Parser::macro_statement() {
  auto made = new_statement(Stmt::Kind::macro, advance().line);
  made->macro = std::make_unique<MacroNode>();
  made->macro->name = target_name();
  signature(*made->macro);
  const int loops = std::exchange(loops_, 0);
  made->macro->body = block({"endmacro"}, true);
  loops_ = loops;
  return made;
}

std::unique_ptr<Stmt> Parser::call_statement() {
  auto made = new_statement(Stmt::Kind::call_block, advance().line);
  made->macro = std::make_unique<MacroNode>();
  made->macro->name = "None";
  if (current().is_symbol("(")) signature(*made->macro);
  made->exprs.push_back(expression());
  if (made->exprs[0]->kind != Expr::Kind::call) raise_syntax("expected call", made->line);
  const int loops = std::exchange(loops_, 0);
  made->macro->body = block({"endcall"}, true);
  loops_ = loops;
  return made;
}

std::unique_ptr<Stmt> Parser::generation_statement() {
  auto made = new_statement(Stmt::Kind::generation, advance().line);
  made->macro = std::make_unique<MacroNode>();
  const int loops = std::exchange(loops_, 0);
  made->macro->body = block({"endgeneration"}, true);
  loops_ = loops;
  return made;
}

std::unique_ptr<Stmt> Parser::filter_statement() {
  auto made = new_statement(Stmt::Kind::filter_block, advance().line);
  made->filter = filter(nullptr, true);
  made->body = block({"endfilter"}, true);
  return made;
}

std::unique_ptr<Stmt> Parser::print_statement() {
  auto made = new_statement(Stmt::Kind::output, advance().line);
  while (!current().is(Token::Type::block_end)) {
    if (!made->exprs.empty()) expect_symbol(",");
    made->exprs.push_back(expression());
  }
  return made;
}

}  // namespace trine::jinja
