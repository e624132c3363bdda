#include "cli/cost.h"

#include <string>
#include <string_view>

namespace trine::cli {
namespace {

// Metadata under "<architecture>.".
class ArchitectureKeys {
 public:
  explicit ArchitectureKeys(const gguf::Metadata& metadata) : metadata_(metadata) {
    if (const auto name = metadata.get_string("general.architecture")) prefix_ = std::string(*name) + ".";
  }
  std::optional<std::uint64_t> number(std::string_view key) const {
    const gguf::Value* value = metadata_.find(prefix_ + std::string(key));
    const auto one = value == nullptr ? std::nullopt : gguf::equal_value(*value);
    if (!one) return std::nullopt;
    if (const auto* number = std::get_if<std::uint64_t>(&one->data)) return *number;
    const auto* number = std::get_if<std::int64_t>(&one->data);
    return number != nullptr && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number))
                                             : std::nullopt;
  }
  // Whether the key is there with a value that is not a neutral 0.
  bool has(std::string_view key) const {
    return metadata_.find(prefix_ + std::string(key)) != nullptr && number(key) != 0;
  }

 private:
  const gguf::Metadata& metadata_;
  std::string prefix_;
};

// Empty when a factor is missing or the product overflows: the file may say anything.
std::optional<std::uint64_t> product(std::optional<std::uint64_t> a, std::optional<std::uint64_t> b) {
  std::uint64_t result = 0;
  if (!a || !b || __builtin_mul_overflow(*a, *b, &result)) return std::nullopt;
  return result;
}

std::optional<std::uint64_t> head_size(const ArchitectureKeys& keys, std::string_view name) {
  if (const auto length = keys.number(name)) return length;
  const auto width = keys.number("embedding_length");
  const auto heads = keys.number("attention.head_count");
  return width && heads && *heads > 0 ? std::optional(*width / *heads) : std::nullopt;
}

std::optional<std::uint64_t> kv_bytes_per_token(const ArchitectureKeys& keys) {
  for (const char* other : {"attention.kv_lora_rank", "attention.sliding_window", "ssm.state_size"}) {
    if (keys.has(other))
      return std::nullopt;  // latent, windowed or state-space: not one key and value per token
  }
  const auto key = head_size(keys, "attention.key_length");
  const auto value = head_size(keys, "attention.value_length");
  if (!key || !value) return std::nullopt;
  const char* heads_key =
      keys.has("attention.head_count_kv") ? "attention.head_count_kv" : "attention.head_count";
  const auto heads = product(keys.number("block_count"), keys.number(heads_key));
  const auto both = product(*key, 2);
  const auto bytes = product(*value, 2);
  std::uint64_t per_head = 0;
  if (!both || !bytes || __builtin_add_overflow(*both, *bytes, &per_head)) return std::nullopt;
  return product(heads, per_head);
}

}  // namespace

ModelCost model_cost(const gguf::File& file) {
  const ArchitectureKeys keys(file.metadata());
  const std::uint64_t experts = keys.number("expert_count").value_or(0);
  const std::uint64_t used = keys.number("expert_used_count").value_or(0);
  const bool tied = file.find_tensor("output.weight") == nullptr;

  ModelCost cost;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    cost.parameters += tensor.elements;
    cost.weight_bytes += tensor.bytes;
    std::uint64_t parts = 1;  // the tensor is cut into `parts`, of which a token reads `read`
    std::uint64_t read = 1;
    if (tensor.name == "token_embd.weight" && !tied && tensor.dims.size() == 2 && tensor.dims[1] > 0) {
      parts = tensor.dims[1];
    } else if (tensor.name.find("_exps.") != std::string::npos && experts > 0 && used <= experts &&
               tensor.dims.back() == experts) {
      parts = experts;
      read = used;
    }
    cost.active_parameters += tensor.elements / parts * read;
    cost.active_bytes += tensor.bytes / parts * read;
  }
  cost.kv_bytes_per_token = kv_bytes_per_token(keys);
  cost.context_length = keys.number("context_length");
  return cost;
}

}  // namespace trine::cli
