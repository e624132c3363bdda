// Which argument is the model, which the text, and where '-' may stand.
#include "cli/prompt.h"
#include "cli/prompt_run.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

namespace trine::test {
namespace {

using WordList = std::vector<std::string>;

// ---- In this process ----

TEST(Arguments, AreToldApart) {
  struct Case {
    WordList words;
    std::string model_path;  // --model
    std::optional<std::string> argument;
    std::string model;
    bool stdin_too = false;
  };
  const std::string absent = "/nowhere/model.gguf";
  const TemporaryFile no_suffix(file_bytes(tiny));
  const TemporaryFile spaces(file_bytes(tiny), " a model.gguf");
  const TemporaryFile text("text");
  const TemporaryFile piece("piece", ".gguf.part2of3");
  const TemporaryFolder folder;
  const Case cases[] = {{{}, "", {}, ""},
                        {{"hi"}, "", "hi", ""},
                        {{tiny, "hi"}, "", "hi", tiny},
                        {{tiny}, "", {}, tiny},
                        {{absent, "hi"}, "", "hi", absent},
                        {{absent}, "", {}, absent},
                        {{no_suffix.path(), "hi"}, "", "hi", no_suffix.path()},
                        {{spaces.path()}, "", {}, spaces.path()},
                        {{"What is in model.gguf"}, "", "What is in model.gguf", ""},
                        {{"What is in model.gguf.gz"}, "", "What is in model.gguf.gz", ""},
                        {{text.path()}, "", text.path(), ""},
                        {{folder.path()}, "", folder.path(), ""},
                        {{piece.path()}, "", {}, piece.path()},
                        // What is there and first of several is meant as the model, whatever it is.
                        {{piece.path(), "hi"}, "", "hi", piece.path()},
                        {{text.path(), "hi"}, "", "hi", text.path()},
                        {{text.path(), "-"}, "", "-", text.path()},
                        {{folder.path(), "hi"}, "", "hi", folder.path()},
                        {{folder.path(), "-", "hi"}, "", "hi", folder.path(), true},
                        // With --model an argument is the text, whatever it names.
                        {{tiny}, demo, tiny, demo},
                        {{piece.path()}, demo, piece.path(), demo},
                        {{text.path(), "-"}, demo, text.path(), demo, true},
                        // '-' may stand anywhere.
                        {{"-"}, "", "-", ""},
                        {{"-", "hi"}, "", "hi", "", true},
                        {{"hi", "-"}, "", "hi", "", true},
                        {{"-", text.path()}, "", text.path(), "", true},
                        {{tiny, "-"}, "", "-", tiny},
                        {{"-", tiny}, "", "-", tiny},
                        {{tiny, "-", "hi"}, "", "hi", tiny, true},
                        {{tiny, "hi", "-"}, "", "hi", tiny, true},
                        {{"-", tiny, "hi"}, "", "hi", tiny, true},
                        {{"-", "hi"}, demo, "hi", demo, true}};
  for (const Case& one : cases) {
    std::string words = one.model_path;
    for (const std::string& word : one.words) words += " " + word;
    SCOPED_TRACE(words);
    cli::TextSource source;
    source.words = one.words;
    std::string path = one.model_path;
    const auto settled = cli::settle_model(source, path);
    ASSERT_TRUE(settled) << to_string(settled.error());
    EXPECT_EQ(source.argument, one.argument);
    EXPECT_EQ(path, one.model);
    EXPECT_EQ(source.stdin_too, one.stdin_too);
    EXPECT_EQ(source.model.has_value(), one.model != one.model_path);
  }
  for (const auto& [words, path, what] : {std::tuple{WordList{"a", "b"}, std::string(), "argument 'b'"},
                                          {WordList{"a", tiny}, "", "unexpected argument"},
                                          {WordList{tiny, "b", "c"}, "", "argument 'c'"},
                                          {WordList{"a", "b", "-"}, "", "argument 'b'"},
                                          {WordList{text.path(), "b"}, demo, "argument 'b'"},
                                          {WordList{tiny, "b"}, demo, "given twice"}}) {
    cli::TextSource source;
    source.words = words;
    std::string model = path;
    const auto settled = cli::settle_model(source, model);
    ASSERT_FALSE(settled) << what;
    EXPECT_EQ(settled.error().code, ErrorCode::usage);
    EXPECT_NE(settled.error().what.find(what), std::string::npos) << settled.error().what;
  }
}

// A text's name may have .gguf in it.
TEST(Arguments, ALoneFileIsTheTextWhereOneIsWanted) {
  const TemporaryFile log("text", ".gguf.log");
  const std::pair<WordList, std::string> cases[] = {{{log.path()}, ""}, {{log.path(), "x.txt"}, log.path()}};
  for (const auto& [words, model] : cases) {
    cli::TextSource source;
    source.words = words;
    std::string path;
    ASSERT_TRUE(cli::settle_model(source, path, cli::ArgumentIs::file_name));
    EXPECT_EQ(path, model);
    EXPECT_EQ(source.argument, words.back());
  }
}

// ---- Through the program ----

// A model that cannot be opened is said to be that, and the words beside it are no mistake.
TEST(Arguments, WhatIsThereIsOpenedAsTheModel) {
  const TemporaryFolder folder;
  const std::string piece = folder.write("m.gguf.part2of3", "neither the first piece nor text");
  const std::string packed = folder.write("m.gguf.gz", "\x1f\x8b and so on");
  const std::string readme = folder.write("README.md", "# Read me");
  struct Case {
    WordList arguments;
    int status;
    std::string part;
  };
  const Case cases[] = {{{"run", piece, "hi"}, 4, "join the pieces: cat "},
                        {{"run", piece}, 4, "join the pieces: cat "},
                        {{"run", packed, "hi"}, 4, "not a GGUF file"},
                        {{"run", readme, "hi"}, 4, "not a GGUF file"},
                        {{"run", readme, "-", "hi"}, 4, "not a GGUF file"},
                        {{"run", folder.path(), "hi"}, 3, "a directory"},
                        {{"tokenize", piece, "hi"}, 4, "join the pieces: cat "},
                        {{"tokenize", readme, "hi"}, 4, "not a GGUF file"},
                        {{"detokenize", piece, "42"}, 4, "join the pieces: cat "},
                        {{"perplexity", readme, readme}, 4, "not a GGUF file"}};
  for (const Case& one : cases) {
#ifndef TRINE_HAS_CPU
    if (one.arguments[0] == "run" || one.arguments[0] == "perplexity") continue;
#endif
    SCOPED_TRACE(one.arguments[0] + " " + one.arguments[1]);
    const Outcome outcome = run_trine(one.arguments, "text");
    EXPECT_EQ(outcome.status, one.status);
    EXPECT_NE(outcome.err.find(one.part), std::string::npos) << outcome.err;
  }
}

// An empty stdin is no fault while there is no model to read it for.
TEST(Arguments, AModelThatIsNotThereIsSaidFirst) {
  for (const WordList& arguments : {WordList{"run", "/nowhere/hi.gguf"},
                                    {"run", "-m", "/nowhere/hi.gguf"},
                                    {"tokenize", "/nowhere/hi.gguf"}}) {
    Spawn spawn;
    spawn.arguments = arguments;
    if (arguments[0] == "tokenize") spawn.before_exec = [] { ::close(STDIN_FILENO); };
    const Outcome outcome = run_trine(spawn);
    EXPECT_EQ(outcome.status, 3);
    EXPECT_TRUE(outcome.err.starts_with("trine: error: file not found\n  where:    /nowhere/hi.gguf\n"))
        << outcome.err;
  }
}

TEST(Arguments, OneTextWhereOneIsTaken) {
  for (const WordList& arguments : {WordList{"tokenize", "-", "hi"},
                                    {"tokenize", tiny, "-", "-f", "x"},
                                    {"tokenize", "-m", tiny, "hi", "-"}}) {
    const Outcome outcome = run_trine(arguments, "text");
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find("the text is given twice"), std::string::npos) << outcome.err;
  }
  EXPECT_NE(run_trine({"perplexity", "-", "x.txt"}).err.find("one text is scored"), std::string::npos);
}

TEST(Arguments, TheHelpOfRunHasTheThree) {
  EXPECT_NE(run_trine({"run", "--help"}).out.find("[options] [MODEL] [STDIN] [PROMPT]\n"), std::string::npos);
  EXPECT_NE(run_trine({"tokenize", "--help"}).out.find("[options] [MODEL] [TEXT]\n"), std::string::npos);
}

#ifdef TRINE_HAS_CPU

TEST(Arguments, StdinAFileAndTheTextInEveryForm) {
  const TemporaryFile file("int x;\n");
  const std::string all = chat("s\n\nint x;\n\nExplain this.");
  const std::pair<WordList, std::string> cases[] = {
      {{demo, "-", "Explain this."}, chat("s\n\nExplain this.")},
      {{"-m", demo, "-", "Explain this."}, chat("s\n\nExplain this.")},
      {{"-", "Explain this."}, chat("s\n\nExplain this.")},
      {{demo, "-"}, chat("s")},
      {{demo, "-", "-f", file.path()}, chat("s\n\nint x;")},
      {{demo, "-f", file.path(), "-", "Explain this."}, all},
      {{demo, "-", "Explain this.", "-f", file.path()}, all},
      {{"-m", demo, "-f", file.path(), "-", "Explain this."}, all},
      {{"-f", file.path(), "-", "Explain this."}, all},
      {{"-f", file.path(), "Explain this.", "-"}, all}};
  for (const auto& [words, prompt] : cases) {
    WordList arguments{"run", "-v", "-n", "1"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    EXPECT_EQ(prompt_in(run_trine(arguments, "s\n")), prompt);
  }
}

// What a hint says to type works.
TEST(Arguments, HintsQuoteAPath) {
  const TemporaryFolder folder;
  const std::string path = folder.write("my m.gguf", file_bytes(tiny));
  const std::string run = run_trine({"run", path}).err;
  EXPECT_NE(run.find("trine run '" + path + "' \"What is a mutex?\"\n"), std::string::npos) << run;
  const std::string perplexity = run_trine({"perplexity", path}).err;
  EXPECT_NE(perplexity.find("trine perplexity '" + path + "' text.txt\n"), std::string::npos) << perplexity;
}

TEST(Arguments, TheModelFirst) {
  const Outcome run = run_trine({"run", demo, "-v", "-n", "1", "hi"});
  EXPECT_EQ(prompt_in(run), chat("hi"));
  EXPECT_EQ(run.err.find("no model given"), std::string::npos) << run.err;
  EXPECT_EQ(prompt_in(run_trine({"run", demo, "-v", "-n", "1"}, "piped\n")), chat("piped"));
  const Outcome alone = run_trine({"run", demo});
  EXPECT_EQ(alone.status, 2);
  EXPECT_NE(alone.err.find("trine run " + demo + " \"What is a mutex?\""), std::string::npos) << alone.err;
  EXPECT_EQ(run_trine({"run", "/nowhere/model.gguf", "hi"}).status, 3);
  const Outcome words = run_trine({"run", "explain", "this", "code"});
  EXPECT_EQ(words.status, 2);
  EXPECT_NE(words.err.find("between quotes"), std::string::npos) << words.err;

  EXPECT_EQ(run_trine({"tokenize", demo, "hi"}).out, run_trine({"tokenize", "-m", demo, "hi"}).out);
  EXPECT_EQ(run_trine({"tokenize", demo}, "hi").out, run_trine({"tokenize", "-m", demo, "hi"}).out);
  EXPECT_EQ(run_trine({"detokenize", demo, "42"}).out, run_trine({"detokenize", "-m", demo, "42"}).out);
  EXPECT_EQ(run_trine({"detokenize", "-m", demo, demo, "42"}).status, 2);
  const TemporaryFile text("one two three four five");
  EXPECT_EQ(run_trine({"perplexity", tiny, text.path()}).out,
            run_trine({"perplexity", "-m", tiny, text.path()}).out);
  EXPECT_EQ(run_trine({"perplexity", tiny, "-"}, "one two three four five").out,
            run_trine({"perplexity", "-m", tiny, text.path()}).out);
  EXPECT_NE(run_trine({"perplexity", tiny}).err.find("trine perplexity " + tiny + " text.txt"),
            std::string::npos);
  EXPECT_EQ(run_trine({"bench", tiny, "--decode", "1", "--depth", "0", "--prefill", "0", "-r", "1"}).status,
            0);
  EXPECT_EQ(run_trine({"bench", tiny, "-m", tiny}).status, 2);
}

#endif

}  // namespace
}  // namespace trine::test
