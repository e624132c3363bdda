#include "text/jinja/template.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace trine::jinja {
namespace {

using Json = nlohmann::ordered_json;

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// 9 July 2024, 13:05:07, a Tuesday: huggingface.py's NOW.
RenderOptions options() {
  RenderOptions options;
  options.now.tm_year = 124;
  options.now.tm_mon = 6;
  options.now.tm_mday = 9;
  options.now.tm_hour = 13;
  options.now.tm_min = 5;
  options.now.tm_sec = 7;
  options.now.tm_wday = 2;
  options.now.tm_yday = 190;
  return options;
}

Result<std::string> render(std::string_view source, const Json& variables = Json::object(),
                           const RenderOptions& how = options()) {
  auto parsed = Template::parse(source);
  if (!parsed) return fail(parsed.error());
  return parsed->render(variables, how);
}
std::string text_of(std::string_view source, const Json& variables = Json::object()) {
  const auto result = render(source, variables);
  return result ? *result : "error: " + to_string(result.error());
}

// As Python names it: "TemplateError: …" of raise_exception().
std::string python_error(const Error& error) {
  return error.code == ErrorCode::validation_failed ? "TemplateError: " + error.what : error.what;
}
bool is_missing_feature(const Error& error) {
  return error.code == ErrorCode::unsupported && error.what.find("not supported") != std::string::npos;
}

TEST(JinjaGolden, EqualsJinja2AsHuggingFaceSetsItUp) {
  const Json golden = Json::parse(slurp(TRINE_SOURCE_DIR "/tests/text/jinja/golden.json"));
  ASSERT_GE(golden["cases"].size(), 800u);
  int n_errors = 0, n_missing = 0;
  for (const Json& sample : golden["cases"]) {
    const std::string source = sample["source"];
    const auto result = render(source, golden["variables"][sample["variables"].get<std::size_t>()]);
    if (sample.contains("expected")) {
      EXPECT_EQ(result ? *result : to_string(result.error()), sample["expected"]) << source;
      continue;
    }
    ++n_errors;
    const std::string expected = sample["error"];
    ASSERT_FALSE(result) << source << "\nexpected " << expected << "\ngot " << *result;
    if (is_missing_feature(result.error())) {
      ++n_missing;
    } else if (expected.starts_with("SyntaxError")) {
      // Python's own, about the code that Jinja made of the template.
      EXPECT_EQ(result.error().code, ErrorCode::unsupported) << source;
    } else {
      EXPECT_EQ(python_error(result.error()), expected) << source;
    }
  }
  EXPECT_GE(n_errors, 200);
  EXPECT_LE(n_missing, 10);
}

TEST(JinjaGolden, EqualsJinja2OnTemplatesOfModels) {
  const std::filesystem::path folder = std::filesystem::path(TRINE_SHARED_DIR) / "templates";
  if (!std::filesystem::exists(folder / "goldens.json")) GTEST_SKIP() << "no " << folder / "goldens.json";
  const Json goldens = Json::parse(slurp(folder / "goldens.json"));
  ASSERT_GE(goldens["cases"].size(), 100u);
  for (const Json& sample : goldens["cases"]) {
    const auto result = render(slurp(folder / sample["template"].get<std::string>()), sample["context"]);
    const std::string where = sample["template"].get<std::string>() + " " + sample["name"].get<std::string>();
    if (sample.contains("expected")) {
      EXPECT_EQ(result ? *result : to_string(result.error()), sample["expected"]) << where;
    } else {
      ASSERT_FALSE(result) << where;
      EXPECT_EQ(python_error(result.error()), sample["error"]) << where;
    }
  }
}

TEST(Jinja, ARefusalHasTheTemplatesOwnWordsAndItsLine) {
  const auto result = render("a\n{% if true %}\n{{ raise_exception('Roles must alternate!') }}{% endif %}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::validation_failed);
  EXPECT_EQ(result.error().what, "Roles must alternate!");
  EXPECT_EQ(result.error().where, "line 3");
}

TEST(Jinja, AFailureNamesThePythonErrorTheLineAndTheTemplate) {
  const auto parsed = Template::parse("\n{{ messages[0].role }}", "chat");
  ASSERT_TRUE(parsed);
  const auto result = parsed->render({{"messages", Json::array()}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::other);
  EXPECT_EQ(result.error().what, "UndefinedError: list object has no element 0");
  EXPECT_EQ(result.error().where, "line 2 of chat");
}

TEST(Jinja, ASyntaxErrorIsFoundWhenTheTemplateIsParsed) {
  const auto parsed = Template::parse("{{ a }}\n{{ a b }}");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::unsupported);
  EXPECT_EQ(parsed.error().what, "TemplateSyntaxError: expected token 'end of print statement', got 'b'");
  EXPECT_EQ(parsed.error().where, "line 2");
}

TEST(Jinja, WhatIsNotThereIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"{% include 'x' %}", "the tag 'include' is not supported"},
      {"{{ [1] | random }}", "the filter 'random' is not supported"},
      {"{{ 'x'.encode() }}", "the method str.encode() is not supported"},
      {"{{ 9223372036854775807 + 1 }}", "whole numbers past 64 bits are not supported"},
      {"{{ [1] | map('upper') }}", "printing a generator is not supported"},
      {"{{ ü }}", "the character 'ü' outside a string is not supported"},
  };
  for (const auto& [source, what] : cases) {
    const auto result = render(source);
    ASSERT_FALSE(result) << source;
    EXPECT_EQ(result.error().code, ErrorCode::unsupported) << source;
    EXPECT_EQ(result.error().what, what) << source;
  }
}

// A caller marks places in a message with bytes that no text holds, and finds them again in what is rendered.
TEST(Jinja, BytesThatAreNoTextPassThrough) {
  const Json variables = {{"x", "\xff a\xc3 \xff"}, {"d", {{"k", "\xfe"}}}};
  EXPECT_EQ(
      text_of("{{ x }}|{{ x | trim }}|{{ x ~ x }}|{{ x + 'é' }}|{{ x.strip() }}", variables),
      "\xff a\xc3 \xff|\xff a\xc3 \xff|\xff a\xc3 \xff\xff a\xc3 \xff|\xff a\xc3 \xffé|\xff a\xc3 \xff");
  EXPECT_EQ(text_of("{{ x | length }}{{ x[0] }}{{ x[3] }}{{ x[::-1] }}", variables),
            "6\xff\xc3\xff \xc3"
            "a \xff");
  EXPECT_EQ(text_of("{{ x | replace('a', 'b') }}{{ x.split(' ') | last }}{{ x | upper }}", variables),
            "\xff b\xc3 \xff\xff\xff A\xc3 \xff");
  EXPECT_EQ(text_of("{{ x | tojson }}{{ d }}", variables), "\"\xff a\xc3 \xff\"{'k': '\xfe'}");
  EXPECT_EQ(text_of("\xff{{ '\xfe' }}"), "\xff\xfe");
}

TEST(Jinja, ReadsSaysWhichVariablesATemplateLooksAt) {
  const auto parsed = Template::parse(
      "{% macro m(q) %}{{ q }}{{ deep }}{% endmacro %}{% for x in xs if y %}{{ x }}{% endfor %}");
  ASSERT_TRUE(parsed);
  for (const char* name : {"deep", "xs", "y"}) EXPECT_TRUE(parsed->reads(name)) << name;
  for (const char* name : {"q", "x", "m", "tools"}) EXPECT_FALSE(parsed->reads(name)) << name;
}

TEST(Jinja, OneTemplateRendersInSeveralThreads) {
  const auto parsed = Template::parse("{% for x in xs %}{{ 'a' ~ x ~ {'k': [x]} }}{% endfor %}");
  ASSERT_TRUE(parsed);
  const Json variables = {{"xs", std::vector<int>(200, 7)}};
  const std::string expected = *parsed->render(variables);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) EXPECT_EQ(*parsed->render(variables), expected);
    });
  for (auto& thread : threads) thread.join();
}

std::string repeated(std::string_view text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

// None of these may crash, overflow the stack or take long.
TEST(Jinja, WhatNeverEndsOrGrowsTooLargeIsRefused) {
  const std::string sources[] = {
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{{ 'x' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor "
      "%}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ "
      "{ns.x: 1} }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = ns.x | map('string') %}{% "
      "endfor %}",
      "{{ '%2000000000d' % 1 }}",
      "{{ '%.*f' % (2000000000, 1) }}",
      "{{ 'x' | indent(100000000000) }}",
      "{{ 'x'.rjust(100000000000) }}",
      "{{ [1] | batch(100000000000, 1) | list }}",
      "{{ [1] | slice(100000000000) | list }}",
      "{{ [[1]] | tojson(indent=100000000000) }}",
      "{{ " + repeated("(", 20000) + "1" + repeated(")", 20000) + " }}",
      "{{ " + repeated("not ", 20000) + "1 }}",
      "{{ 1" + repeated(" + 1", 20000) + " }}",
      "{{ 1" + repeated("|abs", 20000) + " }}",
      "{{ x" + repeated(".x", 20000) + " }}",
      repeated("{% if 1 %}", 20000) + repeated("{% endif %}", 20000),
      repeated("{% for x in y %}", 20000),
      "{{ " + repeated("1 if 1 else ", 20000) + "1 }}",
  };
  RenderOptions short_of_steps = options();
  short_of_steps.limits.steps = 2'000'000;
  for (const std::string& source : sources) {
    const auto result = render(source, Json::object(), short_of_steps);
    ASSERT_FALSE(result) << source.substr(0, 200);
    EXPECT_EQ(result.error().code, ErrorCode::unsupported)
        << source.substr(0, 200) << to_string(result.error());
  }
  Json deep = 1;
  for (int i = 0; i < 2000; ++i) deep = Json::array({deep});
  EXPECT_FALSE(render("{{ deep }}", {{"deep", deep}}));
}

TEST(Jinja, LimitsAreTheCallers) {
  RenderOptions strict = options();
  strict.limits.output_bytes = 10;
  EXPECT_FALSE(render("{{ 'x' * 11 }}", Json::object(), strict));
  EXPECT_EQ(*render("{{ 'x' * 10 }}", Json::object(), strict), "xxxxxxxxxx");
  strict = options();
  strict.limits.steps = 50;
  EXPECT_FALSE(render("{% for x in range(100) %}{% endfor %}", Json::object(), strict));
}

}  // namespace
}  // namespace trine::jinja
