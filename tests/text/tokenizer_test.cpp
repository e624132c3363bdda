#include "text/tokenizer.h"

#include "text/text_fixture.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <random>
#include <thread>

namespace trine::text {
namespace {

std::string random_bytes(std::mt19937& random, std::size_t length) {
  std::string bytes(length, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(Tokenizer, AnyBytesComeBack) {
  std::mt19937 random(11);
  for (int i = 0; i < 3000; ++i) {
    const std::string bytes = random_bytes(random, random() % 60);
    for (const bool parse_special : {false, true})
      EXPECT_EQ(demo_tokenizer().decode(demo_tokenizer().encode(bytes, parse_special), false), bytes);
  }
  const std::string large = random_bytes(random, 300000);
  EXPECT_EQ(demo_tokenizer().decode(demo_tokenizer().encode(large, false), false), large);
}

TEST(Tokenizer, IllFormedBytesAreSymbols) {
  auto tokenizer = Tokenizer::from_gguf(small_vocabulary({{"Ãa", 1}, {"ĠÃ", 1}}, {"Ã a", "Ġ Ã"}));
  ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
  // The pattern takes one symbol right before letters into their word, and a space into the word of symbols.
  EXPECT_EQ(tokenizer->encode("\xC3"
                              "a",
                              false),
            Ids{256});
  EXPECT_EQ(tokenizer->encode(" \xC3"
                              "a",
                              false),
            (Ids{257, tokenizer->find("a")}));
}

TEST(Tokenizer, LongTextsStayLinear) {
  // Quadratic time would take minutes here; the bench measures the real figures.
  const auto begin = std::chrono::steady_clock::now();
  constexpr std::size_t size = 1 << 20;
  for (const std::string& text :
       {std::string(size, 'a'), std::string(size, ' '), std::string(size, '\n'), std::string(size, '='),
        std::string(size, '\xFF'), std::string(size, '<'), std::string(size, ' ') + "x"})
    EXPECT_EQ(demo_tokenizer().decode(demo_tokenizer().encode(text, true), false), text);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

// Byte-pair merging word for word as Sennrich et al. describe it, on strings.
std::vector<std::string> merge_naively(const std::string& word, const std::vector<std::string>& merges) {
  std::vector<std::string> parts;
  for (const char letter : word) parts.emplace_back(1, letter);
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t rank = 0; rank < merges.size() && !changed; ++rank)
      for (std::size_t i = 0; i + 1 < parts.size() && !changed; ++i)
        if (parts[i] + " " + parts[i + 1] == merges[rank]) {
          parts[i] += parts[i + 1];
          parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          changed = true;
        }
  }
  return parts;
}

TEST(Tokenizer, MergesWordsOfAnyLengthInRankOrder) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> known = {"a", "b", "c"};
    std::vector<std::string> merges;
    std::vector<ExtraToken> extra;
    for (int i = 0; i < 12; ++i) {
      const std::string left = known[random() % known.size()], right = known[random() % known.size()];
      if (std::find(known.begin(), known.end(), left + right) != known.end()) continue;
      merges.push_back(left + " " + right);
      known.push_back(left + right);
      extra.push_back({left + right, 1});
    }
    auto tokenizer = Tokenizer::from_gguf(small_vocabulary(extra, merges));
    ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
    for (const std::size_t length : {1, 2, 3, 10, 47, 48, 49, 50, 200}) {
      std::string word;
      while (word.size() < length) word += static_cast<char>('a' + random() % 3);
      Ids expected;
      for (const std::string& part : merge_naively(word, merges)) expected.push_back(tokenizer->find(part));
      EXPECT_EQ(tokenizer->encode(word, false), expected) << word;
    }
  }
}

TEST(Tokenizer, PiecesAndSpellings) {
  const Tokenizer& tokenizer = demo_tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 8192);
  const TokenId id = tokenizer.find("Ġreturn");
  ASSERT_GE(id, 0);
  EXPECT_EQ(tokenizer.piece(id), " return");
  EXPECT_EQ(tokenizer.raw_piece(id), "Ġreturn");
  EXPECT_EQ(tokenizer.find(" return"), -1);
  EXPECT_EQ(tokenizer.find(""), -1);
  EXPECT_FALSE(tokenizer.is_special(id));
  for (const TokenId outside :
       {-1, 8192, std::numeric_limits<TokenId>::max(), std::numeric_limits<TokenId>::min()}) {
    EXPECT_EQ(tokenizer.piece(outside), "");
    EXPECT_EQ(tokenizer.raw_piece(outside), "");
    EXPECT_FALSE(tokenizer.is_special(outside));
    EXPECT_FALSE(tokenizer.is_end_of_generation(outside));
  }
  EXPECT_EQ(tokenizer.piece(8181), "<|im_end|>");
  EXPECT_TRUE(tokenizer.is_special(8181));
  EXPECT_EQ(tokenizer.decode(Ids{8180, id, 8181, 9999}, true), " return");
  EXPECT_EQ(tokenizer.decode(Ids{8180, id, 8181, 9999}, false), "<|im_start|> return<|im_end|>");
}

TEST(Tokenizer, EndOfGenerationAndBeginning) {
  const Tokenizer& tokenizer = demo_tokenizer();
  const auto ends = tokenizer.end_of_generation();
  EXPECT_EQ(Ids(ends.begin(), ends.end()), (Ids{8179, 8181, 8185}))
      << "<|endoftext|>, <|im_end|>, <|fim_pad|>";
  EXPECT_TRUE(tokenizer.is_end_of_generation(8181));
  EXPECT_FALSE(tokenizer.is_end_of_generation(8180));
  EXPECT_EQ(tokenizer.bos(), 8179);
  EXPECT_FALSE(tokenizer.add_bos());

  gguf::Metadata metadata = small_vocabulary({{"<s>", 3}, {"<e>", 3}, {"<eot>", 3}}, {});
  auto plain = Tokenizer::from_gguf(metadata);
  ASSERT_TRUE(plain) << to_string(plain.error());
  EXPECT_EQ(plain->bos(), -1);
  EXPECT_TRUE(plain->end_of_generation().empty());
  metadata.add("tokenizer.ggml.bos_token_id", gguf::make_value(std::uint32_t{256}));
  metadata.add("tokenizer.ggml.eos_token_id", gguf::make_value(std::uint32_t{257}));
  metadata.add("tokenizer.ggml.eot_token_id", gguf::make_value(std::uint32_t{258}));
  metadata.add("tokenizer.ggml.add_bos_token", gguf::make_value(true));
  auto named = Tokenizer::from_gguf(metadata);
  ASSERT_TRUE(named) << to_string(named.error());
  EXPECT_TRUE(named->add_bos());
  EXPECT_EQ(named->bos(), 256);
  EXPECT_EQ(named->end_of_generation().size(), 2u);
  EXPECT_TRUE(named->is_end_of_generation(257));
  EXPECT_TRUE(named->is_end_of_generation(258));
}

TEST(Tokenizer, SpecialTokensLeftmostThenLongest) {
  auto tokenizer = Tokenizer::from_gguf(
      small_vocabulary({{"<a>", 3}, {"<a><b>", 3}, {"<u>", 4}, {"<u>!", 3}, {"b><u", 3}, {"üü", 4}}, {}));
  ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
  const TokenId b = tokenizer->find("b"), close = tokenizer->find(">"), bang = tokenizer->find("!");
  EXPECT_EQ(tokenizer->encode("<a><b><a>", true), (Ids{257, 256}));
  EXPECT_EQ(tokenizer->encode("<u>!", true), Ids{259});
  EXPECT_EQ(tokenizer->encode("<u>!", false), (Ids{258, bang}))
      << "user-defined tokens always, control tokens not";
  EXPECT_EQ(tokenizer->encode("b><u>", true), (Ids{260, close})) << "the leftmost wins";
  EXPECT_EQ(tokenizer->encode("b><u>", false), (Ids{b, close, 258}));
  EXPECT_EQ(tokenizer->piece(261), "üü")
      << "special tokens give their spelling, not the bytes of its letters";
}

// A search for them takes as long as the longest at every byte of a text.
TEST(Tokenizer, SpecialTokensOfAnyLengthAreRefused) {
  const auto of_length = [](std::size_t length) {
    return Tokenizer::from_gguf(small_vocabulary({{std::string(length, 'a'), 3}}, {}));
  };
  const auto longest = of_length(256);
  ASSERT_TRUE(longest) << to_string(longest.error());
  EXPECT_EQ(longest->encode(std::string(256, 'a'), true), Ids{256});
  const auto longer = of_length(257);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::unsupported);
  EXPECT_NE(to_string(longer.error()).find("tokenizer.ggml.tokens[256]"), std::string::npos);
}

TEST(Tokenizer, SharedBetweenThreads) {
  const auto cases = golden("samples.json")["cases"];
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < cases.size(); ++i) {
        const auto& sample = cases[(i + t * 17) % cases.size()];
        wrong[t] +=
            demo_tokenizer().encode(sample["text"].get<std::string>(), true) != sample["special"].get<Ids>();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Tokenizer, ReadsTheTinyModels) {
  const Tokenizer tokenizer = load_tokenizer(TRINE_SOURCE_DIR "/models/tiny/tiny-Q4_0.gguf");
  EXPECT_EQ(tokenizer.vocab_size(), 509);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("hello, wörld", false), false), "hello, wörld");
}

// Each refusal: what replaces which key, and what the error must say.
gguf::Metadata small_with(const std::string& key, gguf::Value value) {
  gguf::Metadata changed;
  changed.add(key, std::move(value));
  const gguf::Metadata base = small_vocabulary({{"ab", 1}, {"<s>", 3}}, {"a b"});
  for (const auto& [name, kept] : base.entries()) changed.add(name, kept);
  return changed;
}

void expect_refusal(const gguf::Metadata& metadata, ErrorCode code, const std::string& says) {
  const auto tokenizer = Tokenizer::from_gguf(metadata);
  ASSERT_FALSE(tokenizer) << "should have said " << says;
  EXPECT_EQ(tokenizer.error().code, code) << to_string(tokenizer.error());
  EXPECT_NE(to_string(tokenizer.error()).find(says), std::string::npos) << to_string(tokenizer.error());
}

TEST(TokenizerRefuses, OtherTokenizersByName) {
  for (const std::string name : {"llama", "bert", "t5", "rwkv", "plamo2", ""}) {
    expect_refusal(small_with("tokenizer.ggml.model", gguf::make_value(name)), ErrorCode::unsupported,
                   "'" + name + "'");
    expect_refusal(small_with("tokenizer.ggml.model", gguf::make_value(name)), ErrorCode::unsupported,
                   "'gpt2'");
  }
  for (const std::string name : {"llama-bpe", "gpt-2", "deepseek-llm", "default"}) {
    expect_refusal(small_with("tokenizer.ggml.pre", gguf::make_value(name)), ErrorCode::unsupported,
                   "'" + name + "'");
    expect_refusal(small_with("tokenizer.ggml.pre", gguf::make_value(name)), ErrorCode::unsupported,
                   "'qwen2'");
  }
}

TEST(TokenizerRefuses, MissingKeys) {
  for (const std::string missing : {"model", "pre", "tokens", "merges"}) {
    gguf::Metadata metadata;
    const gguf::Metadata base = small_vocabulary({}, {});
    for (const auto& [name, value] : base.entries())
      if (name != "tokenizer.ggml." + missing) metadata.add(name, value);
    expect_refusal(metadata, ErrorCode::model_load, "tokenizer.ggml." + missing);
  }
}

TEST(TokenizerRefuses, ValuesOfAnotherKind) {
  const gguf::Value number = gguf::make_value(std::uint32_t{1});
  for (const std::string key : {"model", "pre", "tokens", "token_type", "merges", "add_bos_token"})
    expect_refusal(small_with("tokenizer.ggml." + key, number), ErrorCode::model_load,
                   "tokenizer.ggml." + key);
  expect_refusal(small_with("tokenizer.ggml.eos_token_id", gguf::make_value(std::string("x"))),
                 ErrorCode::model_load, "tokenizer.ggml.eos_token_id");
  expect_refusal(small_with("tokenizer.ggml.token_type", gguf::make_value(std::vector<float>(258, 1.0f))),
                 ErrorCode::model_load, "float32");
}

TEST(TokenizerRefuses, ImpossibleTokens) {
  const auto refuse = [](const std::vector<ExtraToken>& extra, const std::string& says) {
    expect_refusal(small_vocabulary(extra, {}), ErrorCode::model_load, says);
  };
  refuse({{"x!", 1}, {"x!", 1}}, "ids 256 and 257 are both 'x!'");
  refuse({{"x!", 7}}, "token_type[256]");
  refuse({{"x!", -1}}, "token_type[256]");
  expect_refusal(small_with("tokenizer.ggml.token_type", gguf::make_value(std::vector<std::int32_t>(257, 1))),
                 ErrorCode::model_load, "257");
  std::vector<std::int32_t> types(258, 1);
  types[3] = 3;
  // A control token is spelled as it is, which for most byte symbols is not the byte they stand for.
  types[255] = 3;
  expect_refusal(small_with("tokenizer.ggml.token_type", gguf::make_value(types)), ErrorCode::model_load,
                 "byte symbol");
}

TEST(TokenizerRefuses, AVocabularyWithoutEveryByte) {
  const gguf::Metadata base = small_vocabulary({}, {});
  std::vector<std::string> tokens = **base.get_strings("tokenizer.ggml.tokens");
  gguf::Metadata metadata;
  ASSERT_EQ(tokens[255], "Ń");  // 0xAD, the last of the alphabet
  tokens[255] = "something else";
  metadata.add("tokenizer.ggml.tokens", gguf::make_value(tokens));
  for (const auto& [name, value] : base.entries()) metadata.add(name, value);
  expect_refusal(metadata, ErrorCode::model_load, "0xAD");

  gguf::Metadata empty;
  empty.add("tokenizer.ggml.tokens", gguf::make_value(std::vector<std::string>{}));
  empty.add("tokenizer.ggml.token_type", gguf::make_value(std::vector<std::int32_t>{}));
  for (const auto& [name, value] : base.entries()) empty.add(name, value);
  expect_refusal(empty, ErrorCode::model_load, "byte symbol");
}

TEST(TokenizerRefuses, ImpossibleMerges) {
  for (const std::string merge : {"", "ab", " ab", "ab ", " ", "a b c", "a  b"})
    expect_refusal(small_vocabulary({{"ab", 1}}, {"a b", merge}), ErrorCode::model_load, "merges[1]");
  expect_refusal(small_vocabulary({{"ab", 1}, {"bc", 1}}, {"a b", "b c", "a b"}), ErrorCode::model_load,
                 "merges[2]");
}

TEST(TokenizerRefuses, ATokenInFrontThatIsNotNamed) {
  expect_refusal(small_with("tokenizer.ggml.add_bos_token", gguf::make_value(true)), ErrorCode::model_load,
                 "tokenizer.ggml.bos_token_id");
  gguf::Metadata metadata = small_with("tokenizer.ggml.add_bos_token", gguf::make_value(true));
  metadata.add("tokenizer.ggml.bos_token_id", gguf::make_value(std::uint32_t{4294967295}));
  expect_refusal(metadata, ErrorCode::model_load, "tokenizer.ggml.bos_token_id");
}

}  // namespace
}  // namespace trine::text
