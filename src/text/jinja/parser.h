#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

#include <optional>
#include <string_view>
#include <vector>

namespace trine::jinja {

// jinja2.parser: the same grammar, the same messages. Names are resolved afterwards (resolver.h).
class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}
  Body parse();

 private:
  using Words = std::vector<std::string_view>;

  // Statements
  Body statements(const Words& ends);            // up to one of these tags, whose name is then current
  Body block(const Words& ends, bool drop_end);  // from the end of the opening tag on
  std::unique_ptr<Stmt> statement();
  std::unique_ptr<Stmt> set_statement();
  std::unique_ptr<Stmt> for_statement();
  std::unique_ptr<Stmt> if_statement();
  std::unique_ptr<Stmt> with_statement();
  std::unique_ptr<Stmt> macro_statement();
  std::unique_ptr<Stmt> call_statement();
  std::unique_ptr<Stmt> filter_statement();
  std::unique_ptr<Stmt> generation_statement();
  std::unique_ptr<Stmt> print_statement();
  void signature(MacroNode& macro);
  [[noreturn]] void unknown_tag(const std::string* name, int line);

  // Expressions
  ExprPtr expression(bool with_conditional = true);
  ExprPtr conditional();
  ExprPtr operation(int level);  // of binary operators that bind as tightly as this level or more
  ExprPtr comparison();
  ExprPtr unary(bool with_filter);
  ExprPtr primary(bool with_namespace = false);
  ExprPtr tuple(bool simplified, bool with_conditional, bool parenthesised, bool with_namespace = false);
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filters_and_tests(ExprPtr node);
  ExprPtr subscripted(ExprPtr node);
  ExprPtr call(ExprPtr callee);
  void arguments(Expr& call);
  ExprPtr filter(ExprPtr node, bool begun);
  ExprPtr test(ExprPtr node);
  ExprPtr target(bool with_namespace);
  std::string target_name();

  // Tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& advance();
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  void expect_name(std::string_view name);
  void expect(Token::Type type, std::string_view described);
  std::string any_name();
  [[noreturn]] void unexpected(std::string_view expected);

  ExprPtr make(Expr::Kind kind, int line, std::vector<ExprPtr> items = {});
  // One level down, in what is nested.
  class Nested {
   public:
    explicit Nested(Parser& parser);
    ~Nested() { --parser_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Parser& parser_;
  };

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;  // around the statement, inside its macro
  std::vector<std::string> open_tags_;
  std::vector<Words> ends_;
};

// Deeper trees are refused.
constexpr int max_tree_depth = 250;
// Refuses a node whose tree has become too deep.
void check_depth(Expr& node);

}  // namespace trine::jinja
