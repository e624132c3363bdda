// Models whose metadata or tensor types differ from the usual: the reference against an independent forward
// pass (make_variants_golden.py), and fused tensors against the same ones by themselves.

#include "compare.h"
#include "edited_model.h"
#include "fused_model.h"
#include "golden.h"
#include "reference/model.h"
#include "temporary_file.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>

namespace trine::reference {
namespace {

using nlohmann::json;
using test::EditedModel;

const json& document() {
  static const json parsed =
      json::parse(test::file_bytes(TRINE_SOURCE_DIR "/tests/reference/data/variants.json"));
  return parsed;
}

std::vector<float> logits_of(const EditedModel& model, const std::vector<std::int32_t>& tokens) {
  const test::TemporaryFile file("", ".gguf");
  model.write(file.path());
  const auto loaded = load_model(gguf::File::open(file.path()));
  if (!loaded) throw std::runtime_error(to_string(loaded.error()));
  ThreadPool pool(1);
  Sequence sequence;
  auto logits = Model((*loaded)->weights).forward(sequence, tokens, false, pool, nullptr);
  if (!logits) throw std::runtime_error(to_string(logits.error()));
  return *std::move(logits);
}

gguf::Value value_of(const json& value) {
  if (value.is_string()) return gguf::make_value(value.get<std::string>());
  if (value.is_number_integer()) return gguf::make_value(value.get<std::uint32_t>());
  return gguf::make_value(value.get<float>());
}

// To the nearest, ties to even; what is smaller than F16's normal numbers becomes zero.
std::uint16_t f16_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (std::abs(value) < 0x1p-14f) return static_cast<std::uint16_t>(sign);
  // The exponent's bias is 127 there and 15 here.
  const std::uint32_t rounded = magnitude + 0x0FFFu + (magnitude >> 13 & 1u) - (112u << 23);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

// The conversions of stored_as() in the script.
void store_as(EditedModel::Tensor& tensor, const std::string& kind) {
  ASSERT_EQ(tensor.type, gguf::TensorType::F32) << tensor.name;
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  tensor.bytes.clear();
  const auto append = [&](auto number) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&number);
    tensor.bytes.insert(tensor.bytes.end(), bytes, bytes + sizeof number);
  };
  if (kind == "F16") {
    tensor.type = gguf::TensorType::F16;
    for (const float value : values) append(f16_bits(value));
  } else if (kind == "BF16") {
    tensor.type = gguf::TensorType::BF16;
    for (const float value : values)
      append(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  } else {
    ASSERT_EQ(kind, "Q8_0");
    tensor.type = gguf::TensorType::Q8_0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % 32 == 0) append(f16_bits(1.0f / 64));
      append(static_cast<std::int8_t>(std::clamp(std::nearbyint(values[i] * 64), -127.0f, 127.0f)));
    }
  }
}

EditedModel model_of(const json& variant) {
  EditedModel model(model_path(document().at("base")));
  const json without = variant.value("without", json::array());
  const json set = variant.value("set", json::object());
  const json stored_types = variant.value("tensors", json::object());
  for (const json& key : without) model.remove("qwen3moe." + key.get<std::string>());
  for (const auto& [key, value] : set.items()) model.set("qwen3moe." + key, value_of(value));
  for (const auto& [role, kind] : stored_types.items()) {
    int stored = 0;
    for (EditedModel::Tensor& tensor : model.tensors)
      if (tensor.name == role + ".weight" || tensor.name.ends_with("." + role + ".weight")) {
        store_as(tensor, kind);
        ++stored;
      }
    EXPECT_GE(stored, 1) << role;
  }
  return model;
}

class Variants : public testing::TestWithParam<std::size_t> {};

// The reference sums in float64 and hands stages on as floats: two layers of some 256 terms stay far within
// what golden_test.cpp derives for eight of them; logits are given to six decimals.
TEST_P(Variants, HaveTheLogitsOfAnIndependentForwardPass) {
  const json& variant = document().at("variants").at(GetParam());
  SCOPED_TRACE(variant.at("name").get<std::string>());
  const auto tokens = document().at("tokens").get<std::vector<std::int32_t>>();
  const std::vector<float> logits = logits_of(model_of(variant), tokens);
  const auto expected = variant.at("logits").get<std::vector<float>>();
  const test::Difference difference = test::compare(logits, expected);
  EXPECT_LE(difference.relative_l2, 1e-5);
  EXPECT_LE(difference.largest, 1e-5 * difference.scale + 1e-6);
}

INSTANTIATE_TEST_SUITE_P(All, Variants, testing::Range(std::size_t{0}, document().at("variants").size()));

// Twice what the test above lets pass: else it would also pass for a reading that ignores the change.
TEST(VariantsGolden, DifferFromTheModelTheyWereMadeOf) {
  const json& all = document().at("variants");
  ASSERT_GE(all.size(), 15u);
  const auto base = all.at(0).at("logits").get<std::vector<float>>();
  for (const json& variant : all) {
    const std::string name = variant.at("name");
    if (name == "as it is" || name == "linear, factor 0") continue;
    const auto logits = variant.at("logits").get<std::vector<float>>();
    EXPECT_GE(test::compare(logits, base).relative_l2, 2e-5) << name;
  }
}

TEST(FusedTensors, GiveTheSameBits) {
  const std::vector<std::int32_t> tokens = {1, 2, 300, 4, 5};
  for (const std::string name : {"tiny/tiny-Q8_0", "tiny/tiny-F16", "tiny/tiny-IQ4_NL"}) {
    EditedModel model(model_path(name));
    const std::vector<float> expected = logits_of(model, tokens);
    test::fuse_all(model, 1, 4);
    EXPECT_EQ(logits_of(model, tokens), expected) << name;
  }
}

}  // namespace
}  // namespace trine::reference
