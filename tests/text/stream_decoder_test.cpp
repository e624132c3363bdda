#include "text/stream_decoder.h"

#include "text/text_fixture.h"

#include <random>

namespace trine::text {
namespace {

std::string decode_in_pieces(const std::string& bytes, std::size_t length) {
  StreamDecoder decoder;
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += length) text += decoder.push(bytes.substr(at, length));
  return text + decoder.finish();
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// Unicode 15.0, section 3.9, tables 3-8 to 3-11.
TEST(StreamDecoder, ReplacesMaximalSubparts) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(decode_in_pieces(from_hex("C0AFE080BFF0818241"), 100), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(decode_in_pieces(from_hex("EDA080EDBFBFEDAF41"), 100), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(decode_in_pieces(from_hex("F4919293FF4180BF42"), 100), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(decode_in_pieces(from_hex("E180E2F09192F1BF41"), 100), r + r + r + r + "A");
}

TEST(StreamDecoder, EqualsPythonHoweverTheBytesArrive) {
  const auto cases = golden("ill_formed.json")["cases"];
  ASSERT_GE(cases.size(), 200u);
  for (const auto& sample : cases) {
    const std::string bytes = from_hex(sample[0]);
    for (const std::size_t length : {1, 2, 3, 5, 100})
      EXPECT_EQ(decode_in_pieces(bytes, length), sample[1].get<std::string>())
          << sample[0] << " by " << length;
  }
}

TEST(StreamDecoder, HoldsACharacterBackUntilItIsWhole) {
  StreamDecoder decoder;
  EXPECT_EQ(decoder.push("a\xF0\x9F"), "a");
  EXPECT_EQ(decoder.push(""), "");
  EXPECT_EQ(decoder.push("\x99"), "");
  EXPECT_EQ(decoder.push("\x82z"), "\U0001F642z");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, FinishReplacesWhatIsLeftOnce) {
  StreamDecoder decoder;
  EXPECT_EQ(decoder.push("\xE2\x82"), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_EQ(decoder.push("\xAC"), "\uFFFD") << "nothing is carried over the end";
}

TEST(StreamDecoder, GivesATokenStreamBackWhole) {
  const std::string text = "Zwölf 漢字 🙂👨‍👩‍👧 Съешь ½";
  StreamDecoder decoder;
  std::string shown;
  for (const TokenId id : demo_tokenizer().encode(text, false))
    shown += decoder.push(demo_tokenizer().piece(id));
  EXPECT_EQ(shown + decoder.finish(), text);
}

TEST(StreamDecoder, EveryStepOfRandomBytesIsValidUtf8) {
  std::mt19937 random(7);
  StreamDecoder decoder;
  for (int i = 0; i < 20000; ++i) {
    std::string piece(random() % 5, '\0');
    for (char& byte : piece) byte = static_cast<char>(random() % 3 ? 0x80 | random() : random());
    // nlohmann's serialiser throws on text that is not valid UTF-8.
    EXPECT_NO_THROW(static_cast<void>(nlohmann::json(decoder.push(piece)).dump()));
  }
}

}  // namespace
}  // namespace trine::text
