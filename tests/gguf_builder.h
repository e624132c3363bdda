#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trine::test {

// Lays out GGUF bytes by hand, right or wrong, after the text of gguf.md and without the library's writer, so
// that reader and writer are tested against the format and not against each other.
class GgufBuilder {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;  // used for the layout; add the key yourself
  std::string magic = "GGUF";
  std::optional<std::uint64_t> lying_tensor_count;
  std::optional<std::uint64_t> lying_entry_count;

  template <typename T>
  static std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }
  static std::string text(std::string_view value) {
    return raw(std::uint64_t{value.size()}) + std::string(value);
  }

  // `type` by the file's id, `payload` as it follows.
  GgufBuilder& entry(std::string_view key, std::uint32_t type, std::string_view payload) {
    return replace(std::string(key), text(key) + raw(type) + std::string(payload));
  }
  GgufBuilder& u16(std::string_view key, std::uint16_t value) { return entry(key, 2, raw(value)); }
  GgufBuilder& u32(std::string_view key, std::uint32_t value) { return entry(key, 4, raw(value)); }
  GgufBuilder& i32(std::string_view key, std::int32_t value) { return entry(key, 5, raw(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return entry(key, 6, raw(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) { return entry(key, 7, raw(std::uint8_t{value})); }
  GgufBuilder& string(std::string_view key, std::string_view value) { return entry(key, 8, text(value)); }
  GgufBuilder& u64(std::string_view key, std::uint64_t value) { return entry(key, 10, raw(value)); }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string payload = raw(std::uint32_t{8}) + raw(std::uint64_t{values.size()});
    for (const std::string& value : values) payload += text(value);
    return entry(key, 9, payload);
  }
  GgufBuilder& u32s(std::string_view key, const std::vector<std::uint32_t>& values) {
    std::string payload = raw(std::uint32_t{4}) + raw(std::uint64_t{values.size()});
    for (const std::uint32_t value : values) payload += raw(value);
    return entry(key, 9, payload);
  }
  // Adds even when the key is there already.
  GgufBuilder& duplicate_entry(std::string_view key, std::uint32_t type, std::string_view payload) {
    entries_.emplace_back(std::string(key), text(key) + raw(type) + std::string(payload));
    return *this;
  }
  GgufBuilder& remove(std::string_view key) {
    std::erase_if(entries_, [&](const auto& existing) { return existing.first == key; });
    return *this;
  }

  // `offset` from the start of the data; the next free one when absent. The data is filled with a byte
  // counter.
  GgufBuilder& tensor(std::string name, std::vector<std::uint64_t> dims, std::uint32_t type,
                      std::uint64_t bytes, std::optional<std::uint64_t> offset = {}) {
    tensors_.push_back({std::move(name), std::move(dims), type, bytes, offset});
    return *this;
  }
  GgufBuilder& remove_tensor(std::string_view name) {
    std::erase_if(tensors_, [&](const Tensor& existing) { return existing.name == name; });
    return *this;
  }

  // The bytes before the first tensor's data, padding not included.
  std::string header() const {
    std::string out = magic + raw(version) + raw(lying_tensor_count.value_or(tensors_.size())) +
                      raw(lying_entry_count.value_or(entries_.size()));
    for (const auto& [key, bytes] : entries_) out += bytes;
    std::uint64_t next = 0;
    for (const Tensor& tensor : tensors_) {
      out += text(tensor.name) + raw(static_cast<std::uint32_t>(tensor.dims.size()));
      for (const std::uint64_t dim : tensor.dims) out += raw(dim);
      out += raw(tensor.type) + raw(tensor.offset.value_or(next));
      next += padded(tensor.bytes);
    }
    return out;
  }

  std::string build() const {
    std::string out = header();
    if (tensors_.empty()) return out;
    out.resize(padded(out.size()), '\0');
    for (const Tensor& tensor : tensors_) {
      for (std::uint64_t i = 0; i < tensor.bytes; ++i) out += static_cast<char>(i);
      out.resize(padded(out.size()), '\0');
    }
    return out;
  }

 private:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;
    std::uint32_t type;
    std::uint64_t bytes;
    std::optional<std::uint64_t> offset;
  };

  std::uint64_t padded(std::uint64_t size) const { return (size + alignment - 1) / alignment * alignment; }

  GgufBuilder& replace(std::string key, std::string bytes) {
    for (auto& existing : entries_) {
      if (existing.first != key) continue;
      existing.second = std::move(bytes);
      return *this;
    }
    entries_.emplace_back(std::move(key), std::move(bytes));
    return *this;
  }

  std::vector<std::pair<std::string, std::string>> entries_;
  std::vector<Tensor> tensors_;
};

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace trine::test
