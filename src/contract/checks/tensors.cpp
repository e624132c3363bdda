#include "contract/checks/checks.h"
#include "contract/checks/lab.h"
#include "quant/codec.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>

namespace trine::contract {
namespace {

// Names and shapes (outermost first) as GGUF writers spell them. Source: gguf-py/gguf/constants.py and
// tensor_mapping.py of https://github.com/ggml-org/llama.cpp, MODEL_ARCH.QWEN3MOE.
struct NamedShape {
  std::string_view pattern;
  std::string_view shape;
};
constexpr NamedShape published[] = {
    {"token_embd.weight", "V H"},
    {"output_norm.weight", "H"},
    {"output.weight", "V H"},
    {"blk.{}.attn_norm.weight", "H"},
    {"blk.{}.attn_q.weight", "Q H"},
    {"blk.{}.attn_k.weight", "K H"},
    {"blk.{}.attn_v.weight", "K H"},
    {"blk.{}.attn_q_norm.weight", "D"},
    {"blk.{}.attn_k_norm.weight", "D"},
    {"blk.{}.attn_output.weight", "H Q"},
    {"blk.{}.ffn_norm.weight", "H"},
    {"blk.{}.ffn_gate_inp.weight", "E H"},
    {"blk.{}.ffn_gate_exps.weight", "E F H"},
    {"blk.{}.ffn_up_exps.weight", "E F H"},
    {"blk.{}.ffn_down_exps.weight", "E H F"},
};

// Bytes and values per block of the types we compute with. Source: ggml-common.h.
struct BlockSize {
  std::string_view type;
  std::uint32_t elements;
  std::uint32_t bytes;
};
constexpr BlockSize block_sizes[] = {
    {"F32", 1, 4},       {"F16", 1, 2},        {"BF16", 1, 2},      {"Q4_0", 32, 18},   {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},    {"Q5_1", 32, 24},     {"Q8_0", 32, 34},    {"Q2_K", 256, 84},  {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},  {"Q5_K", 256, 176},   {"Q6_K", 256, 210},  {"IQ4_NL", 32, 18}, {"IQ4_XS", 256, 136},
    {"MXFP4", 32, 17},   {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ2_S", 256, 82}, {"IQ3_XXS", 256, 98},
    {"IQ3_S", 256, 110}, {"IQ1_S", 256, 50},   {"IQ1_M", 256, 56},  {"TQ1_0", 256, 54}, {"TQ2_0", 256, 66},
};

std::string name_in(std::string_view pattern, std::int32_t layer) {
  const std::size_t at = pattern.find("{}");
  if (at == std::string_view::npos) return std::string(pattern);
  return fmt::format("{}{}{}", pattern.substr(0, at), layer, pattern.substr(at + 2));
}

Lab small_lab() {
  return Lab(4, 2, 32, 16);
}

CheckResult names(const CheckContext& context) {
  Judge judge;
  for (const NamedShape& one : published) {
    const auto table = model::tensor_table();
    const bool found = std::any_of(table.begin(), table.end(), [&](const model::TensorRule& rule) {
      return rule.pattern == one.pattern && rule.shape == one.shape;
    });
    judge.expect(found, fmt::format("the tensor table has {} of shape {}", one.pattern, one.shape));
  }
  judge.expect(model::tensor_table().size() == std::size(published), "the tensor table has no other tensor");

  const auto file = gguf::File::open(context.model_path);
  if (!file) return not_run(to_string(file.error()));
  const auto weights = model::load_weights(*file);
  if (!weights) return failed_with(weights.error());
  std::set<std::string> expected;
  for (const NamedShape& one : published)
    for (std::int32_t layer = 0; layer < weights->config.n_layers; ++layer) {
      const std::string name = name_in(one.pattern, layer);
      if (name != "output.weight" || !weights->tied) expected.insert(name);
    }
  std::set<std::string> actual;
  for (const gguf::TensorInfo& tensor : file->tensors()) actual.insert(tensor.name);
  // A fused tensor stands for its parts.
  for (const model::FusedRule& fused : model::fused_table())
    for (std::int32_t layer = 0; layer < weights->config.n_layers; ++layer) {
      if (actual.erase(name_in(fused.pattern, layer)) == 0) continue;
      for (const model::TensorRule& rule : model::tensor_table())
        if (std::find(fused.parts.begin(), fused.parts.end(), rule.of_layer) != fused.parts.end())
          actual.insert(name_in(rule.pattern, layer));
    }
  judge.sample("tensors of the model", static_cast<double>(actual.size()));
  judge.expect(actual == expected, "the model has the published tensors of each of its layers and no other");
  return judge.result();
}

// Each tensor left out in turn, and one that nobody asked for.
CheckResult tensor_refusals(const CheckContext&) {
  if (const auto whole = make_model(small_lab()); !whole) return not_run(to_string(whole.error()));
  Judge judge;
  const auto refused_by_name = [&](const LabFile& file, const std::string& name) {
    const auto model = make_model(small_lab(), file);
    const bool named = !model && to_string(model.error()).find(name) != std::string::npos;
    const bool judged = !model && (model.error().code == ErrorCode::model_load ||
                                   model.error().code == ErrorCode::unsupported);
    judge.expect(named && judged, fmt::format("a file {} {} is refused by name",
                                              file.with.empty() ? "without" : "with an extra", name));
    judge.sample("files refused", named && judged ? 1 : 0);
  };
  for (const NamedShape& one : published) {
    const std::string name = name_in(one.pattern, 0);
    if (name == "output.weight") continue;  // may be absent: then the embedding serves
    LabFile file;
    file.without = name;
    refused_by_name(file, name);
  }
  for (const char* extra : {"blk.0.ffn_gate_shexp.weight", "blk.1.attn_norm.weight", "rope_freqs.weight"}) {
    LabFile file;
    file.with = extra;
    refused_by_name(file, extra);
  }
  judge.hold(stated_bounds("tensors.refusals"));
  return judge.result();
}

CheckResult blocks(const CheckContext&) {
  Judge judge;
  judge.expect(quant::all_codecs().size() == std::size(block_sizes),
               "every codec is in the list of this check");
  for (const BlockSize& one : block_sizes) {
    const gguf::TensorTypeInfo* info = gguf::find_tensor_type(one.type);
    judge.expect(info != nullptr && info->block_elements == one.elements && info->block_bytes == one.bytes,
                 fmt::format("{} has {} bytes per {} values", one.type, one.bytes, one.elements));
    if (info == nullptr) continue;
    const auto codec = quant::find_codec(info->type);
    judge.expect(codec && (*codec)->block_elements == one.elements && (*codec)->block_bytes == one.bytes,
                 fmt::format("the codec of {} reads {} bytes", one.type, one.bytes));
  }
  return judge.result();
}

// Every router entry differs, and the router is square: a transposed read would fit, and would show.
CheckResult row_major(const CheckContext& context) {
  Lab lab(Lab::hidden, 2, 32, Lab::hidden);
  for (std::int64_t e = 0; e < Lab::hidden; ++e)
    for (std::int64_t t = 0; t < Lab::hidden; ++t)
      Lab::see(lab.router, e, t, static_cast<float>(e * Lab::hidden + t) / 64);
  return judge_lab(context, lab, [&](const Observed& observed, Judge& judge) {
    for (std::int64_t t = 0; t < Lab::hidden; ++t) {
      const std::vector<float> logits = observed.row(model::Stage::router_logits, t, Lab::hidden);
      double wrong = 0;
      for (std::int64_t e = 0; e < Lab::hidden; ++e)
        wrong += logits[static_cast<std::size_t>(e)] == static_cast<float>(e * Lab::hidden + t) / 64 ? 0 : 1;
      judge.sample("entries read from another place", wrong);
    }
    judge.hold(stated_bounds("tensors.row-major"));
  });
}

CheckResult own_type(const CheckContext& context) {
  Judge judge;
  for (std::uint32_t id = 0; id < 256; ++id) {
    const gguf::TensorTypeInfo* info = gguf::find_tensor_type(id);
    const bool computed =
        info != nullptr && std::any_of(std::begin(block_sizes), std::end(block_sizes),
                                       [&](const BlockSize& one) { return one.type == info->name; });
    const auto codec = quant::find_codec(static_cast<gguf::TensorType>(id));
    judge.expect(
        codec.has_value() == computed && (!codec || static_cast<std::uint32_t>((*codec)->type) == id),
        fmt::format("type id {} has its own codec or none", id));
  }
  const auto file = gguf::File::open(context.model_path);
  if (!file) return not_run(to_string(file.error()));
  const auto weights = model::load_weights(*file);
  if (!weights) return failed_with(weights.error());
  std::set<std::uint32_t> types;
  for (const model::LayerWeights& layer : weights->layers)
    for (const model::TensorRule& rule : model::tensor_table()) {
      if (rule.of_layer == nullptr) continue;
      const model::Weight& weight = layer.*rule.of_layer;
      judge.expect(weight.codec->type == weight.tensor->type,
                   fmt::format("{} is decoded by its own type", weight.tensor->name));
      types.insert(static_cast<std::uint32_t>(weight.tensor->type));
    }
  judge.sample("types in the model's layers", static_cast<double>(types.size()));
  return judge.result();
}

}  // namespace

void register_tensor_checks(CheckRegistry& registry) {
  registry.add({"tensors.names",
                "the tensor table and the model's file against the published names and shapes", names});
  registry.add({"tensors.refusals",
                "a model that lacks a tensor, or has one too many, is refused and the tensor named",
                tensor_refusals});
  registry.add({"tensors.blocks", "bytes per block of every type against the published structs", blocks});
  registry.add({"tensors.row-major", "a square matrix of distinct numbers is read as [out][in]", row_major});
  registry.add({"tensors.own-type",
                "no type id shares a codec, and each tensor of the model is decoded by its own", own_type});
}

}  // namespace trine::contract
