#include "quant/codec.h"

#include "quant/float.h"
#include "quant/iq.h"
#include "quant/iq4.h"
#include "quant/k_quants.h"
#include "quant/legacy.h"
#include "quant/mxfp4.h"

#include <fmt/format.h>

#include <string>

namespace trine::quant {
namespace {

using gguf::TensorType;

template <typename Block>
constexpr Codec make_codec(TensorType type) {
  static_assert(alignof(Block) == 1, "blocks are read in place, at any address");
  return {type, Block::elements, sizeof(Block),
          [](const std::byte* block, float* out) { decode(*reinterpret_cast<const Block*>(block), out); },
          [](const std::byte* blocks, std::uint64_t count, float* out) {
            const auto* first = reinterpret_cast<const Block*>(blocks);
            for (std::uint64_t i = 0; i < count; ++i) decode(first[i], out + i * Block::elements);
          }};
}

constexpr Codec codecs[] = {
    make_codec<BlockF32>(TensorType::F32),         make_codec<BlockF16>(TensorType::F16),
    make_codec<BlockBF16>(TensorType::BF16),       make_codec<BlockQ8_0>(TensorType::Q8_0),
    make_codec<BlockQ4_0>(TensorType::Q4_0),       make_codec<BlockQ4_1>(TensorType::Q4_1),
    make_codec<BlockQ5_0>(TensorType::Q5_0),       make_codec<BlockQ5_1>(TensorType::Q5_1),
    make_codec<BlockQ2_K>(TensorType::Q2_K),       make_codec<BlockQ3_K>(TensorType::Q3_K),
    make_codec<BlockQ4_K>(TensorType::Q4_K),       make_codec<BlockQ5_K>(TensorType::Q5_K),
    make_codec<BlockQ6_K>(TensorType::Q6_K),       make_codec<BlockIQ4_NL>(TensorType::IQ4_NL),
    make_codec<BlockIQ4_XS>(TensorType::IQ4_XS),   make_codec<BlockMXFP4>(TensorType::MXFP4),
    make_codec<BlockIQ2_XXS>(TensorType::IQ2_XXS), make_codec<BlockIQ2_XS>(TensorType::IQ2_XS),
    make_codec<BlockIQ2_S>(TensorType::IQ2_S),     make_codec<BlockIQ3_XXS>(TensorType::IQ3_XXS),
    make_codec<BlockIQ3_S>(TensorType::IQ3_S),     make_codec<BlockIQ1_S>(TensorType::IQ1_S),
    make_codec<BlockIQ1_M>(TensorType::IQ1_M),     make_codec<BlockTQ1_0>(TensorType::TQ1_0),
    make_codec<BlockTQ2_0>(TensorType::TQ2_0),
};

// The type may be any number when it comes from a file.
std::string describe(TensorType type) {
  const auto id = static_cast<std::uint32_t>(type);
  const gguf::TensorTypeInfo* known = gguf::find_tensor_type(id);
  return known ? std::string(known->name) : fmt::format("type id {}", id);
}

}  // namespace

std::span<const Codec> all_codecs() {
  return codecs;
}

Result<const Codec*> find_codec(TensorType type) {
  std::string supported;
  for (const Codec& codec : codecs) {
    if (codec.type == type) return &codec;
    supported += (supported.empty() ? "" : ", ") + describe(codec.type);
  }
  return fail({.code = ErrorCode::unsupported,
               .what = "this tensor type is not supported",
               .expected = "one of " + supported,
               .actual = describe(type),
               .hint = "convert the model to a supported type"});
}

}  // namespace trine::quant
