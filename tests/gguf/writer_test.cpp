#include "gguf/writer.h"
#include "gguf/file.h"
#include "gguf_builder.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <atomic>
#include <filesystem>
#include <limits>
#include <thread>

namespace trine::gguf {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WriterTest : public testing::Test {
 protected:
  std::size_t files() const { return folder_.files(); }

  const test::TemporaryFolder folder_;
  const std::string path_ = folder_.path("model.gguf");
};

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 31 + seed) % 251);
  return bytes;
}

bool same_array(const Array& a, const Array& b) {
  if (a.element_type != b.element_type || a.values.index() != b.values.index()) return false;
  if (const auto* nested = std::get_if<std::vector<Array>>(&a.values)) {
    const auto& other = std::get<std::vector<Array>>(b.values);
    return std::equal(nested->begin(), nested->end(), other.begin(), other.end(), same_array);
  }
  return std::visit(
      [&](const auto& values) {
        using Values = std::decay_t<decltype(values)>;
        if constexpr (std::is_same_v<Values, std::vector<Array>>)
          return false;
        else
          return values == std::get<Values>(b.values);
      },
      a.values);
}

bool same(const Value& a, const Value& b) {
  if (a.type != b.type || a.data.index() != b.data.index()) return false;
  if (const auto* array = std::get_if<Array>(&a.data)) return same_array(*array, std::get<Array>(b.data));
  return std::visit(
      [&](const auto& value) {
        using Stored = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Stored, Array>)
          return false;
        else
          return value == std::get<Stored>(b.data);
      },
      a.data);
}

std::vector<Metadata::Entry> every_value_type() {
  using U = std::vector<std::uint64_t>;
  using I = std::vector<std::int64_t>;
  using D = std::vector<double>;
  const auto array = [](ValueType type, decltype(Array::values) values) {
    return Value{ValueType::array, Array{type, std::move(values)}};
  };
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  return {
      {"uint8", {ValueType::uint8, std::uint64_t{255}}},
      {"int8", {ValueType::int8, std::int64_t{-128}}},
      {"uint16", {ValueType::uint16, std::uint64_t{65535}}},
      {"int16", {ValueType::int16, std::int64_t{-32768}}},
      {"uint32", make_value(std::uint32_t{4000000000u})},
      {"int32", make_value(std::int32_t{-7})},
      {"float32", make_value(0.1f)},
      {"bool", make_value(true)},
      {"string", make_value("caf\xc3\xa9")},
      {"empty string", make_value("")},
      {"uint64", make_value(~std::uint64_t{0})},
      {"int64", {ValueType::int64, low}},
      {"float64", {ValueType::float64, 0.1}},
      {"uint8s", array(ValueType::uint8, U{0, 255})},
      {"int8s", array(ValueType::int8, I{-128, 127})},
      {"uint16s", array(ValueType::uint16, U{0, 65535})},
      {"int16s", array(ValueType::int16, I{-32768, 32767})},
      {"uint32s", array(ValueType::uint32, U{0, 4294967295u})},
      {"int32s", make_value(std::vector<std::int32_t>{-1, 2})},
      {"float32s", make_value(std::vector<float>{0.1f, -2})},
      {"bools", array(ValueType::boolean, U{1, 0, 1})},
      {"strings", make_value(std::vector<std::string>{"a", "", std::string("\0b", 2)})},
      {"uint64s", array(ValueType::uint64, U{~std::uint64_t{0}})},
      {"int64s", array(ValueType::int64, I{low})},
      {"float64s", array(ValueType::float64, D{0.1})},
      {"no strings", make_value(std::vector<std::string>{})},
      {"arrays",
       array(ValueType::array, std::vector<Array>{{ValueType::uint8, U{1}}, {ValueType::float32, D{}}})},
  };
}

TEST_F(WriterTest, RoundTripsEveryValueTypeAndTensorBytes) {
  const auto entries = every_value_type();
  Writer writer(path_, 64);
  for (const auto& [key, value] : entries) ASSERT_TRUE(writer.add_metadata(key, value)) << key;
  const auto first = writer.add_tensor("blk.0.q", {256, 2, 3}, TensorType::Q4_K);
  const auto second = writer.add_tensor("norm", {5}, TensorType::F32);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(writer.tensor_bytes(*first), 6u * 144);
  EXPECT_EQ(writer.tensor_bytes(*second), 20u);
  ASSERT_TRUE(writer.begin());
  const auto q = pattern(6 * 144, 1);
  const auto norm = pattern(20, 2);
  ASSERT_TRUE(writer.write(*second, 0, norm));
  ASSERT_TRUE(writer.write(*first, 100, std::span(q).subspan(100)));
  ASSERT_TRUE(writer.write(*first, 0, std::span(q).first(100)));
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ(fs::file_size(path_), writer.total_bytes());
  EXPECT_EQ(writer.total_bytes() % 64, 0u);
  EXPECT_EQ(files(), 1u);

  const auto file = File::open(path_);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->alignment(), 64u);
  EXPECT_EQ(file->total_bytes(), writer.total_bytes());
  ASSERT_EQ(file->metadata().entries().size(), entries.size() + 1);  // and general.alignment
  for (const auto& [key, value] : entries) {
    const Value* read = file->metadata().find(key);
    ASSERT_NE(read, nullptr) << key;
    EXPECT_TRUE(same(*read, value)) << key;
  }
  const auto equal = [](std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  };
  EXPECT_TRUE(equal(file->find_tensor("blk.0.q")->data, q));
  EXPECT_TRUE(equal(file->find_tensor("norm")->data, norm));
}

// Byte for byte what the format says, laid out by hand.
TEST_F(WriterTest, WritesTheBytesOfTheFormat) {
  Writer writer(path_);
  ASSERT_TRUE(writer.add_metadata("general.architecture", make_value("test")));
  ASSERT_TRUE(writer.add_metadata("answer", make_value(std::uint32_t{42})));
  ASSERT_TRUE(writer.add_metadata("words", make_value(std::vector<std::string>{"a", "bc"})));
  ASSERT_TRUE(writer.add_tensor("x", {3}, TensorType::F32));
  ASSERT_TRUE(writer.add_tensor("y", {32, 2}, TensorType::Q8_0));
  ASSERT_TRUE(writer.begin());
  std::vector<std::byte> counter(68);
  for (std::size_t i = 0; i < counter.size(); ++i) counter[i] = static_cast<std::byte>(i);
  ASSERT_TRUE(writer.write(0, 0, std::span(counter).first(12)));
  ASSERT_TRUE(writer.write(1, 0, counter));
  ASSERT_TRUE(writer.finish());

  test::GgufBuilder by_hand;
  by_hand.string("general.architecture", "test").u32("answer", 42).strings("words", {"a", "bc"});
  by_hand.tensor("x", {3}, 0, 12).tensor("y", {32, 2}, 8, 68);
  EXPECT_EQ(read_file(path_).value(), by_hand.build());
}

TEST_F(WriterTest, ThreadsWriteAtTheSameTime) {
  constexpr std::size_t rows = 512;
  Writer writer(path_);
  const auto tensor = writer.add_tensor("t", {64, rows}, TensorType::F32);
  ASSERT_TRUE(tensor);
  ASSERT_TRUE(writer.begin());
  const auto bytes = pattern(rows * 256, 3);
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t row = t; row < rows; row += 4)
        if (!writer.write(*tensor, row * 256, std::span(bytes).subspan(row * 256, 256))) ++failures;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  ASSERT_TRUE(writer.finish());
  const auto file = File::open(path_);
  ASSERT_TRUE(file.has_value());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), file->find_tensor("t")->data.begin()));
}

TEST_F(WriterTest, AnUnfinishedFileLeavesNothingBehind) {
  {
    Writer writer(path_);
    ASSERT_TRUE(writer.add_tensor("t", {8}, TensorType::F32));
    ASSERT_TRUE(writer.begin());
    EXPECT_EQ(files(), 1u);
  }
  EXPECT_EQ(files(), 0u);
}

TEST_F(WriterTest, FinishRefusesAHoleAndKeepsTheOldFile) {
  Writer old(path_);
  ASSERT_TRUE(old.begin());
  ASSERT_TRUE(old.finish());
  const std::string before = read_file(path_).value();

  Writer writer(path_);
  ASSERT_TRUE(writer.add_tensor("t", {8}, TensorType::F32));
  ASSERT_TRUE(writer.begin());
  const auto bytes = pattern(32, 0);
  ASSERT_TRUE(writer.write(0, 0, std::span(bytes).first(16)));
  ASSERT_TRUE(writer.write(0, 8, std::span(bytes).first(16)));  // overlaps: 24 of 32 bytes are there
  const auto finished = writer.finish();
  ASSERT_FALSE(finished.has_value());
  EXPECT_EQ(finished.error().code, ErrorCode::validation_failed);
  EXPECT_THAT(to_string(finished.error()), HasSubstr("tensor 't'"));
  EXPECT_THAT(to_string(finished.error()), HasSubstr("expected 32 bytes, got 24 bytes"));
  EXPECT_EQ(read_file(path_).value(), before);
}

TEST_F(WriterTest, RefusesAWritePastTheTensor) {
  Writer writer(path_);
  ASSERT_TRUE(writer.add_tensor("t", {8}, TensorType::F32));
  ASSERT_TRUE(writer.begin());
  const auto bytes = pattern(32, 0);
  EXPECT_EQ(writer.write(0, 1, bytes).error().code, ErrorCode::validation_failed);
  EXPECT_EQ(writer.write(0, ~std::uint64_t{0}, bytes).error().code, ErrorCode::validation_failed);
}

TEST_F(WriterTest, RefusesWhatNoReaderWouldTake) {
  Writer writer(path_);
  const auto refused = [](const auto& result, const char* part) {
    ASSERT_FALSE(result.has_value()) << part;
    EXPECT_EQ(result.error().code, ErrorCode::validation_failed);
    EXPECT_THAT(to_string(result.error()), HasSubstr(part));
  };
  ASSERT_TRUE(writer.add_metadata("key", make_value("x")));
  refused(writer.add_metadata("key", make_value("y")), "appears twice");
  refused(writer.add_metadata("", make_value("y")), "impossible metadata key");
  refused(writer.add_metadata("v", Value{ValueType::uint8, std::uint64_t{256}}), "does not fit its type");
  refused(writer.add_metadata("v", Value{ValueType::int8, std::int64_t{-129}}), "does not fit its type");
  refused(writer.add_metadata("v", Value{ValueType::float32, 1e300}), "does not fit its type");
  refused(writer.add_metadata("v", Value{ValueType::string, std::uint64_t{1}}), "does not fit its type");
  refused(writer.add_metadata("v", Value{ValueType::array, std::string("x")}), "does not fit its type");
  refused(writer.add_metadata("v", Value{ValueType::array, Array{ValueType::string, std::vector<double>{1}}}),
          "does not fit its type");
  refused(writer.add_metadata("general.alignment", make_value(std::uint32_t{64})), "general.alignment");
  ASSERT_TRUE(writer.add_metadata("general.alignment", make_value(std::uint32_t{32})));

  ASSERT_TRUE(writer.add_tensor("t", {8}, TensorType::F32));
  refused(writer.add_tensor("t", {8}, TensorType::F32), "same name");
  refused(writer.add_tensor("", {8}, TensorType::F32), "impossible tensor name");
  refused(writer.add_tensor(std::string(64, 'n'), {8}, TensorType::F32), "64 bytes");
  refused(writer.add_tensor("u", {}, TensorType::F32), "impossible dimensions");
  refused(writer.add_tensor("u", {8, 0}, TensorType::F32), "impossible dimensions");
  refused(writer.add_tensor("u", {1, 1, 1, 1, 1}, TensorType::F32), "impossible dimensions");
  refused(writer.add_tensor("u", {100}, TensorType::Q4_K), "a multiple of 256 for Q4_K");
  refused(writer.add_tensor("u", {std::uint64_t{1} << 62}, TensorType::F32), "overflows");
  refused(writer.add_tensor("u", {std::uint64_t{1} << 60}, TensorType::F32), "overflows");
  refused(writer.add_tensor("u", {8}, static_cast<TensorType>(5)), "type id 5");

  // What was refused left no trace.
  ASSERT_TRUE(writer.begin());
  ASSERT_TRUE(writer.write(0, 0, pattern(32, 0)));
  ASSERT_TRUE(writer.finish());
  const auto file = File::open(path_);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->metadata().entries().size(), 2u);
  EXPECT_EQ(file->tensors().size(), 1u);
}

TEST_F(WriterTest, SaysWhereItCannotWrite) {
  Writer writer(folder_.path("no-such-directory/model.gguf"));
  const auto begun = writer.begin();
  ASSERT_FALSE(begun.has_value());
  EXPECT_EQ(begun.error().code, ErrorCode::file_not_found);
  EXPECT_THAT(to_string(begun.error()), HasSubstr("no-such-directory"));
}

}  // namespace
}  // namespace trine::gguf
