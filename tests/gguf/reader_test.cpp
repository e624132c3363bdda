#include "gguf/file.h"
#include "gguf_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trine::gguf {
namespace {

using test::GgufBuilder;
using testing::HasSubstr;

constexpr std::uint32_t id_f32 = 0;
constexpr std::uint32_t id_q4_k = 12;

Result<File> parse(const std::string& bytes) {
  return File::parse(test::as_bytes(bytes), "test.gguf");
}

// Parsing fails with `code`, and the message carries every one of `parts`.
void expect_refused(const std::string& bytes, ErrorCode code, const std::vector<std::string>& parts) {
  const auto file = parse(bytes);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, code) << to_string(file.error());
  EXPECT_THAT(file.error().where, HasSubstr("test.gguf"));
  for (const std::string& part : parts) EXPECT_THAT(to_string(file.error()), HasSubstr(part));
}

GgufBuilder small() {
  GgufBuilder builder;
  builder.string("general.architecture", "test");
  builder.tensor("a", {4, 2}, id_f32, 32);
  builder.tensor("b", {256, 3}, id_q4_k, 432);
  return builder;
}

// ---- what is right ----

TEST(Reader, ReadsTensors) {
  const std::string bytes = small().build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->alignment(), 32u);
  EXPECT_EQ(file->total_bytes(), bytes.size());
  ASSERT_EQ(file->tensors().size(), 2u);

  const TensorInfo* b = file->find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dims, (std::vector<std::uint64_t>{256, 3}));
  EXPECT_EQ(b->type, TensorType::Q4_K);
  EXPECT_EQ(b->elements, 768u);
  EXPECT_EQ(b->bytes, 432u);  // 3 blocks of 144
  EXPECT_EQ(b->offset % 32, 0u);
  ASSERT_EQ(b->data.size(), 432u);
  EXPECT_EQ(reinterpret_cast<const char*>(b->data.data()), bytes.data() + b->offset);
  EXPECT_EQ(b->data[7], std::byte{7});
  EXPECT_EQ(file->find_tensor("c"), nullptr);
}

TEST(Reader, ReadsVersion2) {
  GgufBuilder builder = small();
  builder.version = 2;
  const std::string bytes = builder.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->version(), 2u);
  EXPECT_EQ(file->tensors().size(), 2u);
}

TEST(Reader, ReadsEveryScalarType) {
  GgufBuilder builder;
  builder.entry("u8", 0, GgufBuilder::raw(std::uint8_t{255}));
  builder.entry("i8", 1, GgufBuilder::raw(std::int8_t{-128}));
  builder.entry("u16", 2, GgufBuilder::raw(std::uint16_t{65535}));
  builder.entry("i16", 3, GgufBuilder::raw(std::int16_t{-32768}));
  builder.entry("u32", 4, GgufBuilder::raw(std::uint32_t{4294967295u}));
  builder.entry("i32", 5, GgufBuilder::raw(std::int32_t{-2147483647 - 1}));
  builder.entry("f32", 6, GgufBuilder::raw(1.5f));
  builder.entry("yes", 7, GgufBuilder::raw(std::uint8_t{1}));
  builder.entry("no", 7, GgufBuilder::raw(std::uint8_t{0}));
  builder.entry("string", 8, GgufBuilder::text("caf\xc3\xa9"));
  builder.entry("u64", 10, GgufBuilder::raw(~std::uint64_t{0}));
  builder.entry("i64", 11, GgufBuilder::raw(std::int64_t{-5}));
  builder.entry("f64", 12, GgufBuilder::raw(-0.1));
  const std::string bytes = builder.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());

  const Metadata& metadata = file->metadata();
  EXPECT_EQ(metadata.entries().size(), 13u);
  EXPECT_EQ(metadata.entries()[1].first, "i8");
  EXPECT_EQ(metadata.get_uint("u8").value(), 255u);
  EXPECT_EQ(std::get<std::int64_t>(metadata.find("i8")->data), -128);
  EXPECT_EQ(metadata.get_uint("u16").value(), 65535u);
  EXPECT_EQ(std::get<std::int64_t>(metadata.find("i16")->data), -32768);
  EXPECT_EQ(metadata.get_uint("u32").value(), 4294967295u);
  EXPECT_EQ(std::get<std::int64_t>(metadata.find("i32")->data), -2147483648LL);
  EXPECT_EQ(metadata.get_float("f32").value(), 1.5);
  EXPECT_TRUE(metadata.get_bool("yes").value());
  EXPECT_FALSE(metadata.get_bool("no").value());
  EXPECT_EQ(metadata.get_string("string").value(), "caf\xc3\xa9");
  EXPECT_EQ(metadata.get_uint("u64").value(), ~std::uint64_t{0});
  EXPECT_EQ(metadata.get_float("i64").value(), -5.0);
  EXPECT_EQ(metadata.get_float("f64").value(), -0.1);
  EXPECT_EQ(metadata.find("f64")->type, ValueType::float64);
}

TEST(Reader, ReadsArraysAlsoEmptyAndNested) {
  const auto array = [](std::uint32_t type, std::uint64_t count) {
    return GgufBuilder::raw(type) + GgufBuilder::raw(count);
  };
  GgufBuilder builder;
  builder.strings("words", {"a", "", "ccc"});
  builder.entry("bytes", 9, array(0, 3) + "\x01\x02\xff");
  builder.entry("shorts", 9, array(3, 1) + GgufBuilder::raw(std::int16_t{-2}));
  builder.entry("floats", 9, array(6, 2) + GgufBuilder::raw(0.5f) + GgufBuilder::raw(-1.0f));
  builder.entry("flags", 9, array(7, 2) + std::string("\x01\x00", 2));
  builder.entry("empty", 9, array(5, 0));
  builder.entry("nested", 9, array(9, 2) + array(0, 1) + "\x07" + array(8, 1) + GgufBuilder::text("x"));
  const std::string bytes = builder.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());

  const Metadata& metadata = file->metadata();
  EXPECT_EQ(*metadata.get_strings("words").value(), (std::vector<std::string>{"a", "", "ccc"}));
  EXPECT_EQ(std::get<std::vector<std::uint64_t>>(metadata.get_array("bytes").value()->values),
            (std::vector<std::uint64_t>{1, 2, 255}));
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(metadata.get_array("shorts").value()->values),
            (std::vector<std::int64_t>{-2}));
  EXPECT_EQ(std::get<std::vector<double>>(metadata.get_array("floats").value()->values),
            (std::vector<double>{0.5, -1.0}));
  EXPECT_EQ(std::get<std::vector<std::uint64_t>>(metadata.get_array("flags").value()->values),
            (std::vector<std::uint64_t>{1, 0}));
  EXPECT_EQ(metadata.get_array("empty").value()->size(), 0u);
  EXPECT_EQ(metadata.get_array("empty").value()->element_type, ValueType::int32);
  EXPECT_EQ(kind_of(*metadata.find("empty")), "array of int32");
  const auto& nested = std::get<std::vector<Array>>(metadata.get_array("nested").value()->values);
  ASSERT_EQ(nested.size(), 2u);
  EXPECT_EQ(nested[0].element_type, ValueType::uint8);
  EXPECT_EQ(std::get<std::vector<std::string>>(nested[1].values), (std::vector<std::string>{"x"}));
}

TEST(Reader, HonoursAlignment) {
  GgufBuilder builder = small();
  builder.u32("general.alignment", 128);
  builder.alignment = 128;
  const std::string bytes = builder.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->alignment(), 128u);
  EXPECT_EQ(file->find_tensor("b")->offset - file->find_tensor("a")->offset, 128u);
}

TEST(Reader, AcceptsTensorsInAnyOrderInTheData) {
  GgufBuilder builder;
  builder.tensor("late", {8}, id_f32, 32, 32);
  builder.tensor("early", {8}, id_f32, 32, 0);
  const std::string bytes = builder.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_GT(file->find_tensor("late")->offset, file->find_tensor("early")->offset);
}

TEST(Reader, ReadsAFileWithoutTensorsAndWithoutPadding) {
  const std::string bytes = GgufBuilder().string("general.name", "vocabulary only").build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_TRUE(file->tensors().empty());
}

TEST(Metadata, SaysWhatIsMissingOrOfTheWrongKind) {
  Metadata metadata;
  EXPECT_TRUE(metadata.add("name", make_value("x")));
  EXPECT_FALSE(metadata.add("name", make_value("y")));
  EXPECT_EQ(metadata.get_string("name").value(), "x");
  metadata.add("negative", make_value(std::int32_t{-1}));
  EXPECT_EQ(metadata.find("name")->type, ValueType::string);

  EXPECT_EQ(metadata.get_uint("absent").error().code, ErrorCode::model_load);
  EXPECT_THAT(to_string(metadata.get_uint("absent").error()), HasSubstr("absent"));
  EXPECT_THAT(to_string(metadata.get_uint("name").error()), HasSubstr("expected an integer, got string"));
  EXPECT_THAT(to_string(metadata.get_uint("negative").error()), HasSubstr("-1"));
  EXPECT_THAT(to_string(metadata.get_float("name").error()), HasSubstr("expected a number, got string"));
  EXPECT_THAT(to_string(metadata.get_bool("negative").error()), HasSubstr("expected bool, got int32"));
  EXPECT_THAT(to_string(metadata.get_string("negative").error()), HasSubstr("expected string, got int32"));
  EXPECT_THAT(to_string(metadata.get_strings("name").error()),
              HasSubstr("expected array of string, got string"));
  EXPECT_THAT(to_string(metadata.get_array("name").error()), HasSubstr("expected an array, got string"));
}

// ---- what is refused ----

TEST(Refusal, EmptyFile) {
  expect_refused("", ErrorCode::not_gguf, {"the file is empty"});
}

TEST(Refusal, OtherFormatsAreNamed) {
  const std::string safetensors = GgufBuilder::raw(std::uint64_t{2}) + "{}";
  expect_refused(safetensors, ErrorCode::not_gguf, {"not a GGUF file", "safetensors", "GGUF"});
  expect_refused("PK\x03\x04rest", ErrorCode::not_gguf, {"zip"});
  expect_refused("\x80\x02}q", ErrorCode::not_gguf, {"pickle"});
  expect_refused("tjgg....", ErrorCode::not_gguf, {"before GGUF"});
  expect_refused("version https://git-lfs.github.com/spec/v1", ErrorCode::not_gguf, {"git lfs pull"});
  expect_refused("<!DOCTYPE html>", ErrorCode::not_gguf, {"web page"});
  expect_refused("GG", ErrorCode::not_gguf, {"expected 47 47 55 46 (GGUF), got 47 47"});
}

TEST(Refusal, Versions) {
  GgufBuilder builder = small();
  builder.version = 1;
  expect_refused(builder.build(), ErrorCode::unsupported, {"version 2 or 3", "version 1", "byte 4"});
  builder.version = 4;
  expect_refused(builder.build(), ErrorCode::unsupported, {"version 4", "newer"});
  builder.version = 0;
  expect_refused(builder.build(), ErrorCode::not_gguf, {"version 0"});
  builder.version = 0x03000000;
  expect_refused(builder.build(), ErrorCode::unsupported, {"big-endian"});
}

TEST(Refusal, LyingCountsAllocateNothing) {
  GgufBuilder builder = small();
  builder.lying_entry_count = ~std::uint64_t{0};
  expect_refused(builder.build(), ErrorCode::not_gguf,
                 {"the metadata", "18446744073709551615", "bytes left"});
  builder = small();
  builder.lying_tensor_count = std::uint64_t{1} << 60;
  expect_refused(builder.build(), ErrorCode::not_gguf, {"the tensor list", "1152921504606846976"});

  for (const std::uint32_t type : {0u, 4u, 6u, 7u, 8u, 9u, 10u, 12u}) {
    builder = small();
    builder.entry("liar", 9, GgufBuilder::raw(type) + GgufBuilder::raw(std::uint64_t{1} << 61));
    expect_refused(builder.build(), ErrorCode::not_gguf,
                   {"key 'liar'", "inside an array", "2305843009213693952"});
  }
}

TEST(Refusal, LyingStringLength) {
  GgufBuilder builder = small();
  builder.entry("liar", 8, GgufBuilder::raw(~std::uint64_t{0}) + "abc");
  expect_refused(builder.build(), ErrorCode::not_gguf,
                 {"key 'liar'", "inside a string", "18446744073709551615"});
}

TEST(Refusal, UnknownValueType) {
  expect_refused(small().entry("odd", 13, "").build(), ErrorCode::not_gguf, {"key 'odd'", "0 to 12", "13"});
  expect_refused(small().entry("odd", 9, GgufBuilder::raw(99u) + GgufBuilder::raw(std::uint64_t{0})).build(),
                 ErrorCode::not_gguf, {"key 'odd'", "0 to 12", "99"});
}

TEST(Refusal, BoolThatIsNeitherZeroNorOne) {
  expect_refused(small().entry("flag", 7, "\x02").build(), ErrorCode::not_gguf,
                 {"key 'flag'", "0 or 1", "got 2"});
}

TEST(Refusal, DeeplyNestedArrays) {
  std::string payload;
  for (int i = 0; i < 1000; ++i) payload += GgufBuilder::raw(9u) + GgufBuilder::raw(std::uint64_t{1});
  payload += GgufBuilder::raw(0u) + GgufBuilder::raw(std::uint64_t{0});
  expect_refused(small().entry("deep", 9, payload).build(), ErrorCode::not_gguf,
                 {"key 'deep'", "nested too deeply"});
}

TEST(Refusal, EmptyAndOverlongNames) {
  expect_refused(small().u32("", 1).build(), ErrorCode::not_gguf,
                 {"a metadata key", "1 to 65535", "0 bytes"});
  expect_refused(small().u32(std::string(70000, 'k'), 1).build(), ErrorCode::not_gguf, {"70000 bytes"});
  expect_refused(small().tensor("", {8}, id_f32, 32).build(), ErrorCode::not_gguf,
                 {"a tensor name", "0 bytes"});
}

TEST(Refusal, DuplicateKey) {
  GgufBuilder builder = small();
  builder.duplicate_entry("general.architecture", 8, GgufBuilder::text("other"));
  expect_refused(builder.build(), ErrorCode::not_gguf,
                 {"appears twice", "key 'general.architecture'", "byte"});
}

TEST(Refusal, DuplicateTensor) {
  expect_refused(small().tensor("a", {8}, id_f32, 32).build(), ErrorCode::not_gguf,
                 {"same name", "tensor 'a'"});
}

TEST(Refusal, ImpossibleAlignment) {
  for (const std::uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 30}) {
    expect_refused(small().u32("general.alignment", alignment).build(), ErrorCode::not_gguf,
                   {"general.alignment", "a power of two", "got " + std::to_string(alignment)});
  }
  expect_refused(small().string("general.alignment", "32").build(), ErrorCode::not_gguf,
                 {"general.alignment", "got string"});
}

TEST(Refusal, Dimensions) {
  expect_refused(GgufBuilder().tensor("t", {}, id_f32, 4).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "1 to 4", "got 0"});
  expect_refused(GgufBuilder().tensor("t", {1, 1, 1, 1, 1}, id_f32, 4).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "1 to 4", "got 5"});
  expect_refused(GgufBuilder().tensor("t", {8, 0}, id_f32, 4).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "a dimension is zero", "dimension 1"});
  expect_refused(
      GgufBuilder().tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, id_f32, 4).build(),
      ErrorCode::not_gguf, {"tensor 't'", "overflow", "4294967296 x 4294967296"});
  expect_refused(GgufBuilder().tensor("t", {std::uint64_t{1} << 62}, id_f32, 4).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "size overflows"});
}

TEST(Refusal, RowThatIsNoWholeNumberOfBlocks) {
  expect_refused(GgufBuilder().tensor("t", {128, 2}, id_q4_k, 144).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "a multiple of 256 for Q4_K", "128 columns"});
}

TEST(Refusal, UnknownTensorTypes) {
  for (const std::uint32_t id : {4u, 5u, 31u, 36u, 43u, 0xffffffffu}) {
    expect_refused(GgufBuilder().tensor("t", {256}, id, 256).build(), ErrorCode::unsupported,
                   {"tensor 't'", "unknown tensor type", "type id " + std::to_string(id)});
  }
}

TEST(Refusal, TensorOutsideTheFile) {
  GgufBuilder builder;
  builder.tensor("t", {1024}, id_f32, 32);
  expect_refused(builder.build(), ErrorCode::not_gguf, {"tensor 't'", "inside the file", "4096 bytes"});
  builder = GgufBuilder().tensor("t", {8}, id_f32, 32, ~std::uint64_t{0} - 31);
  expect_refused(builder.build(), ErrorCode::not_gguf, {"tensor 't'", "inside the file"});
}

TEST(Refusal, MisalignedTensor) {
  expect_refused(GgufBuilder().tensor("t", {8}, id_f32, 64, 8).build(), ErrorCode::not_gguf,
                 {"tensor 't'", "misaligned", "a multiple of 32", "got 8"});
}

TEST(Refusal, OverlappingTensors) {
  GgufBuilder builder;
  builder.tensor("first", {16}, id_f32, 64, 0);
  builder.tensor("second", {8}, id_f32, 32, 32);
  expect_refused(builder.build(), ErrorCode::not_gguf, {"two tensors overlap", "'first'", "tensor 'second'"});
}

TEST(Refusal, NamesAreMadeSafeForATerminal) {
  const auto file = parse(small().tensor("\x1b[2J'", {0}, id_f32, 32).build());
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().where, HasSubstr("'\\x1b[2J\\x27'"));
}

TEST(Refusal, APartOfASplitModelInMemory) {
  expect_refused(small().u16("split.count", 3).u16("split.no", 0).build(), ErrorCode::unsupported,
                 {"one part of 3"});
}

// ---- damage ----

GgufBuilder every_kind() {
  GgufBuilder builder = small();
  builder.u32("u32", 7).f32("f32", 1.0f).boolean("bool", true).u64("u64", 9).strings("words", {"one", "two"});
  builder.u32s("numbers", {1, 2, 3});
  builder.entry("nested", 9,
                GgufBuilder::raw(9u) + GgufBuilder::raw(std::uint64_t{1}) + GgufBuilder::raw(8u) +
                    GgufBuilder::raw(std::uint64_t{1}) + GgufBuilder::text("in"));
  builder.u32("general.alignment", 32);
  return builder;
}

TEST(Damage, EveryTruncationIsAnError) {
  const std::string bytes = every_kind().build();
  const std::size_t last_data_byte = bytes.size() - (32 - 432 % 32) % 32;
  for (std::size_t size = 0; size < last_data_byte; ++size) {
    const auto file = parse(bytes.substr(0, size));
    ASSERT_FALSE(file.has_value()) << "at " << size;
    EXPECT_EQ(file.error().code, ErrorCode::not_gguf) << "at " << size;
  }
  EXPECT_TRUE(parse(bytes).has_value());
}

TEST(Damage, EveryFlippedByteGivesAFileOrAnError) {
  const std::string header = every_kind().header();
  const std::string bytes = every_kind().build();
  int refused = 0;
  for (std::size_t at = 0; at < header.size(); ++at) {
    for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff, -1}) {
      std::string damaged = bytes;
      damaged[at] = value < 0 ? static_cast<char>(~damaged[at]) : static_cast<char>(value);
      const auto file = parse(damaged);
      if (!file) {
        ++refused;
        EXPECT_FALSE(file.error().what.empty());
        continue;
      }
      for (const TensorInfo& tensor : file->tensors()) {
        EXPECT_EQ(tensor.data.size(), tensor.bytes);
        EXPECT_LE(tensor.offset + tensor.bytes, damaged.size());
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(header.size()));  // most damage is noticed
}

}  // namespace
}  // namespace trine::gguf
