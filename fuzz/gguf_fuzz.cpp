#include "gguf/file.h"
#include "gguf/joined.h"
#include "model/weights.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

namespace {

// What parts of a split model are taken for: GGUF files one behind the other cover the bytes, each of which
// begins with a header. The first part alone is read as the whole would be.
void check_split(std::span<const std::byte> bytes) {
  const auto alone = trine::gguf::File::parse(bytes, "fuzz.gguf", trine::gguf::Parts::first);
  if (!alone && to_string(alone.error()).empty()) std::abort();
  const auto header = trine::gguf::parse_header(bytes, "fuzz.gguf");
  if (!header) return;
  if (header->end > bytes.size()) std::abort();
  const auto sections = trine::gguf::find_sections(bytes, *header);
  std::uint64_t end = 0;
  for (const trine::gguf::Section& section : sections) {
    if (section.begin != end || section.end < section.begin) std::abort();
    if (std::memcmp(bytes.data() + section.begin, "GGUF", 4) != 0) std::abort();
    end = section.end;
  }
  if (end != bytes.size()) std::abort();
  if (to_string(trine::gguf::joined_error("fuzz.gguf", sections)).empty()) std::abort();
}

}  // namespace

// Any bytes give a File or an Error, and any File gives weights that lie inside those bytes or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  check_split(bytes);
  const auto file = trine::gguf::File::parse(bytes, "fuzz.gguf");
  if (!file) {
    if (to_string(file.error()).empty()) std::abort();
    return 0;
  }
  unsigned sum = 0;
  for (const trine::gguf::TensorInfo& tensor : file->tensors()) {
    if (file->find_tensor(tensor.name) != &tensor || tensor.data.size() != tensor.bytes) std::abort();
    sum += std::to_integer<unsigned>(tensor.data.front()) + std::to_integer<unsigned>(tensor.data.back());
  }

  const auto weights = trine::model::load_weights(*file);
  if (!weights) {
    if (to_string(weights.error()).empty()) std::abort();
    return 0;
  }
  for (const double frequency : trine::model::rope_table(weights->config).frequencies)
    if (!(frequency >= 0 && frequency <= 1)) std::abort();
  // Where it lies is the file, or, for what was widened, memory of its own, which the sanitizers watch.
  for (const trine::model::LayerWeights& layer : weights->layers)
    for (const trine::model::TensorRule& rule : trine::model::tensor_table()) {
      if (rule.of_layer == nullptr) continue;
      const trine::model::Weight& weight = layer.*rule.of_layer;
      const std::byte* last = weight.row(weight.rows - 1, weight.experts - 1);
      const bool in_file = last >= bytes.data() && last + weight.row_bytes <= bytes.data() + size;
      if (!rule.as_f32 && !in_file) std::abort();
      sum +=
          std::to_integer<unsigned>(*weight.row(0)) + std::to_integer<unsigned>(last[weight.row_bytes - 1]);
    }
  volatile unsigned keep = sum;  // the reads above are the point
  static_cast<void>(keep);
  return 0;
}
