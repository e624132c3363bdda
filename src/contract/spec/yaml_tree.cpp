#include "contract/spec/yaml_tree.h"

#include "text/utf8.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>
#include <algorithm>
#include <sstream>

namespace trine::contract {
namespace {

int line_of(const YAML::Mark& mark) {
  return mark.line + 1;
}

// yaml-cpp's own nodes lose the line of a key and merge keys given twice, so the tree is made from its
// events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  std::vector<YamlProblem> problems;

  bool too_large() const { return too_large_; }
  std::optional<YamlNode> take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, "", anchor, {}); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    report("yaml", "aliases are not part of the contract format", line_of(mark));
    scalar(mark, "", 0, {});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    scalar(mark, tag, anchor, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::mapping, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    bool expects_key = false;  // of a mapping
  };

  void report(std::string rule, std::string message, int line) {
    problems.push_back({std::move(rule), std::move(message), line});
  }

  void check_plain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) report("yaml", "anchors are not part of the contract format", line_of(mark));
    // yaml-cpp gives plain scalars the tag "?" and quoted ones "!".
    if (!tag.empty() && tag != "?" && tag != "!")
      report("yaml", fmt::format("tags such as {} are not part of the contract format", tag), line_of(mark));
  }

  void scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, std::string value) {
    check_plain(mark, tag, anchor);
    // Contracts are shown on terminals.
    const auto is_control = [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7F; };
    if (std::any_of(value.begin(), value.end(), is_control))
      report("yaml", "control characters are not part of the contract format", line_of(mark));
    YamlNode node;
    node.line = line_of(mark);
    node.text = std::move(value);
    add(std::move(node));
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_plain(mark, tag, anchor);
    if (stack_.size() >= max_yaml_depth) limit(fmt::format("more than {} levels", max_yaml_depth), mark);
    Open opened;
    opened.node.kind = kind;
    opened.node.line = line_of(mark);
    opened.expects_key = kind == YamlNode::Kind::mapping;
    stack_.push_back(std::move(opened));
  }

  void close() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (++nodes_ > max_yaml_nodes) limit(fmt::format("more than {} values", max_yaml_nodes), {});
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (!parent.expects_key) {
      parent.node.items.push_back(std::move(node));
    } else if (node.kind == YamlNode::Kind::scalar) {
      add_key(parent.node, node);
    } else {
      report("yaml", fmt::format("a key is text, not {}", kind_name(node.kind)), node.line);
      parent.node.keys.emplace_back("", node.line);
    }
    if (parent.node.kind == YamlNode::Kind::mapping) parent.expects_key = !parent.expects_key;
  }

  void add_key(YamlNode& mapping, const YamlNode& key) {
    if (mapping.keys.size() >= max_yaml_keys)
      limit(fmt::format("more than {} keys in one mapping", max_yaml_keys), {});
    const auto same = std::find_if(mapping.keys.begin(), mapping.keys.end(),
                                   [&](const auto& earlier) { return earlier.first == key.text; });
    if (same != mapping.keys.end())
      report("duplicate-key",
             fmt::format("key '{}' is given again (first on line {})", key.text, same->second), key.line);
    mapping.keys.emplace_back(key.text, key.line);
  }

  // Ends the parse from within its callbacks; parse_yaml() catches it.
  void limit(std::string what, const YAML::Mark& mark) {
    too_large_ = true;
    const int line = mark.is_null() ? 0 : line_of(mark);
    report("limits", "the file has " + what + ", which no contract needs", line);
    throw YAML::ParserException(mark, "limit");
  }

  std::vector<Open> stack_;
  std::optional<YamlNode> root_;
  std::size_t nodes_ = 0;
  bool too_large_ = false;
};

}  // namespace

std::string_view kind_name(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::scalar:
      return "text";
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::mapping:
      return "a mapping";
  }
  return "text";
}

YamlDocument parse_yaml(std::string_view text) {
  YamlDocument document;
  if (text.size() > max_yaml_bytes) {
    document.problems.push_back(
        {"limits",
         fmt::format("the file has {} bytes; a contract has at most {}", text.size(), max_yaml_bytes), 0});
    return document;
  }
  // Contracts are shown, and a byte that is no text would be shown as it is.
  if (const std::size_t bad = text::find_ill_formed(text, 0); bad < text.size()) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
    document.problems.push_back(
        {"yaml", fmt::format("byte 0x{:02x} is no UTF-8", static_cast<unsigned char>(text[bad])),
         static_cast<int>(line)});
    return document;
  }
  TreeBuilder builder;
  bool whole = false;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    whole = parser.HandleNextDocument(builder);
    if (whole) {
      TreeBuilder rest;
      if (parser.HandleNextDocument(rest))
        builder.problems.push_back({"yaml", "a contract file holds one document", 0});
    }
  } catch (const YAML::Exception& problem) {
    // A second document that does not parse leaves the first one whole, and is still an error.
    if (!builder.too_large()) builder.problems.push_back({"yaml", problem.msg, line_of(problem.mark)});
    whole = false;
  }
  document.problems = std::move(builder.problems);
  if (whole) document.root = builder.take_root();
  if (!document.root && document.problems.empty())
    document.problems.push_back({"yaml", "the file is empty", 0});
  return document;
}

}  // namespace trine::contract
