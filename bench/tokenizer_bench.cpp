// Encoding speed in bytes of text per second on one core, and the time to load a vocabulary.
// The demo vocabulary (8,192 tokens) is in models/; the one of Qwen2 (151,936) is measured where it is at
// hand.
#include "gguf/file.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

using trine::gguf::File;
using trine::text::Tokenizer;

constexpr std::size_t megabyte = 1 << 20;

std::string fill(std::string_view pattern) {
  std::string text;
  while (text.size() < megabyte) text += pattern;
  return text;
}

// This project's own sources and documents: C++, CMake, Python and English.
std::string code_and_english() {
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"src", "tests", "fuzz", "bench", "docs"}) {
    const auto root = std::filesystem::path(TRINE_SOURCE_DIR) / folder;
    if (!std::filesystem::exists(root)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      for (const char* extension : {".h", ".cpp", ".py", ".md", ".txt"})
        if (entry.path().extension() == extension) paths.push_back(entry.path());
  }
  std::string text;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return fill(text.empty() ? "no sources at hand\n" : text);
}

std::string random_like_digits() {
  std::string text;
  std::uint32_t state = 1;
  while (text.size() < megabyte) {
    state = state * 1664525u + 1013904223u;
    text += std::to_string(state);
    text += state >> 31 ? ' ' : ',';
  }
  return text;
}

const char* const mixed_scripts =
    "Съешь же ещё этих мягких французских булок. "
    "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。"
    "いろはにほへと ちりぬるを "
    "키스의 고유조건은 입술끼리 "
    "نص حكيم له سر قاطع "
    "ऋषियों को सताने वाले "
    "Ξεσκεπάζω την ψυχοφθόρα "
    "naïve café 🙂👍\n";

void encode(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  std::size_t tokens = 0;
  for (auto _ : state) tokens = tokenizer.encode(text, true).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
  state.counters["bytes_per_token"] = static_cast<double>(text.size()) / static_cast<double>(tokens);
}

void load(benchmark::State& state, const File& file) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_gguf(file.metadata()));
}

void add_failure(const std::string& name, const trine::Error& error) {
  const auto fail = [text = to_string(error)](benchmark::State& state) { state.SkipWithError(text.c_str()); };
  benchmark::RegisterBenchmark(name.c_str(), fail);
}

void add_vocabulary(const std::string& name, const std::string& path) {
  auto opened = File::open(path);
  if (!opened) return add_failure(name, opened.error());
  const auto file = std::make_shared<const File>(*std::move(opened));
  auto made = Tokenizer::from_gguf(file->metadata());
  if (!made) return add_failure(name, made.error());
  const auto tokenizer = std::make_shared<const Tokenizer>(*std::move(made));
  const std::map<std::string, std::string> texts = {
      {"code_and_english", code_and_english()},  {"one_letter", std::string(megabyte, 'a')},
      {"one_space", std::string(megabyte, ' ')}, {"digits", random_like_digits()},
      {"mixed_scripts", fill(mixed_scripts)},
  };
  const auto add = [](const std::string& label, auto body) {
    benchmark::RegisterBenchmark(label.c_str(), body)->Unit(benchmark::kMillisecond);
  };
  for (const auto& [kind, text] : texts)
    add(name + "/encode/" + kind,
        [tokenizer, text](benchmark::State& state) { encode(state, *tokenizer, text); });
  add(name + "/load", [file](benchmark::State& state) { load(state, *file); });
}

const bool registered = [] {
  add_vocabulary("demo", TRINE_SOURCE_DIR "/models/demo-coder-Q4_K_M.gguf");
  add_vocabulary("qwen2", TRINE_SOURCE_DIR "/../shared/vocab/ggml-vocab-qwen2.gguf");
  return true;
}();

}  // namespace
