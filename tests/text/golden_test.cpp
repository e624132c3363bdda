// Against Hugging Face tokenizers (make_golden.py) and the vectors that come with the Qwen2 vocabulary.
#include "text/pretokenizer.h"
#include "text/text_fixture.h"

#include <iterator>

namespace trine::text {
namespace {

TEST(TokenizerGolden, EqualsHuggingFaceOnChosenTexts) {
  const auto cases = golden("samples.json")["cases"];
  ASSERT_GE(cases.size(), 60u);
  for (const auto& sample : cases) {
    const std::string text = sample["text"];
    EXPECT_EQ(demo_tokenizer().encode(text, false), sample["plain"].get<Ids>()) << sample["name"];
    EXPECT_EQ(demo_tokenizer().encode(text, true), sample["special"].get<Ids>()) << sample["name"];
    EXPECT_EQ(demo_tokenizer().decode(sample["plain"].get<Ids>(), false), text) << sample["name"];
    EXPECT_EQ(demo_tokenizer().decode(sample["special"].get<Ids>(), false), text) << sample["name"];
  }
}

TEST(TokenizerGolden, EqualsHuggingFaceOnGeneratedTexts) {
  const auto cases = golden("random.json")["cases"];
  ASSERT_GE(cases.size(), 500u);
  for (const auto& sample : cases)
    EXPECT_EQ(demo_tokenizer().encode(sample[0].get<std::string>(), false), sample[2].get<Ids>())
        << sample[0];
}

TEST(TokenizerGolden, SplitsWordsAsHuggingFaceDoes) {
  const Pretokenizer pretokenizer;
  WordSplitter words(pretokenizer);
  const auto cases = golden("random.json")["cases"];
  ASSERT_GE(cases.size(), 500u);
  for (const auto& sample : cases) {
    const std::string text = sample[0];
    std::vector<std::size_t> lengths;
    words.start(text);
    for (auto word = words.next(); !word.empty(); word = words.next()) lengths.push_back(word.size());
    EXPECT_EQ(lengths, sample[1].get<std::vector<std::size_t>>()) << sample[0];
  }
}

TEST(TokenizerGolden, EqualsHuggingFaceWithTheQwen2Vocabulary) {
  if (!std::filesystem::exists(qwen2_vocabulary)) GTEST_SKIP() << "no " << qwen2_vocabulary;
  const Tokenizer tokenizer = load_tokenizer(qwen2_vocabulary);
  const auto cases = golden("samples.json")["cases"];
  ASSERT_GE(cases.size(), 60u);
  for (const auto& sample : cases)
    EXPECT_EQ(tokenizer.encode(sample["text"].get<std::string>(), false), sample["qwen2"].get<Ids>())
        << sample["name"];
}

TEST(TokenizerGolden, EqualsTheVectorsOfTheQwen2Vocabulary) {
  if (!std::filesystem::exists(qwen2_vocabulary)) GTEST_SKIP() << "no " << qwen2_vocabulary;
  const Tokenizer tokenizer = load_tokenizer(qwen2_vocabulary);
  EXPECT_EQ(tokenizer.vocab_size(), 151936);
  const std::string inputs = slurp(qwen2_vocabulary + ".inp");
  std::ifstream outputs(qwen2_vocabulary + ".out");
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::size_t cases = 0;
  std::size_t begin = 0;
  for (std::size_t end = inputs.find(separator); end != std::string::npos;
       end = inputs.find(separator, begin)) {
    const std::string text = inputs.substr(begin, end - begin);
    begin = end + separator.size();
    std::string line;
    ASSERT_TRUE(std::getline(outputs, line)) << "case " << cases;
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<TokenId>(numbers), {}};
    EXPECT_EQ(tokenizer.encode(text, false), expected) << "case " << cases << ": " << text;
    ++cases;
  }
  EXPECT_EQ(cases, 46u);
}

}  // namespace
}  // namespace trine::text
