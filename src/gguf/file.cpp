#include "gguf/file.h"

#include "gguf/parse.h"

#include <fmt/format.h>
#include <algorithm>
#include <optional>

namespace trine::gguf {

// What open() and parse() gather before it becomes one model. Entry i of each list belongs to part i.
struct File::Parts {
  std::vector<MappedFile> mappings;
  std::vector<std::string> paths;
  std::vector<Header> headers;
  std::uint64_t total_bytes = 0;
};

namespace {

constexpr std::string_view key_no = "split.no";
constexpr std::string_view key_count = "split.count";
constexpr std::string_view key_tensors = "split.tensors.count";

// `prefix-00002-of-00003.gguf` taken apart; `number` counts from 1.
struct PartName {
  std::string prefix;
  std::uint64_t number = 0;
  std::uint64_t count = 0;
};

std::string join(const PartName& name, std::uint64_t number) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", name.prefix, number, name.count);
}

std::optional<std::uint64_t> five_digits(std::string_view text) {
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

std::optional<PartName> split_name(const std::string& path) {
  constexpr std::string_view example = "-00001-of-00002.gguf";
  if (path.size() <= example.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - example.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return std::nullopt;
  const auto number = five_digits(tail.substr(1, 5));
  const auto count = five_digits(tail.substr(10, 5));
  if (!number || !count) return std::nullopt;
  return PartName{path.substr(0, path.size() - example.size()), *number, *count};
}

Error split_error(std::string what, const std::string& path, std::string_view key, std::string expected,
                  std::string actual) {
  return {.code = ErrorCode::not_gguf,
          .what = std::move(what),
          .where = key.empty() ? path : fmt::format("{}, key '{}'", path, key),
          .expected = std::move(expected),
          .actual = std::move(actual)};
}

Result<std::uint64_t> split_key(const Metadata& metadata, const std::string& path, std::string_view key) {
  const Value* value = metadata.find(key);
  if (value == nullptr)
    return fail(split_error("a part of a split model lacks a key", path, key, "an integer", "no such key"));
  const auto number = metadata.get_uint(key);
  if (!number)
    return fail(split_error("impossible split key", path, key, "an integer of 0 or more", kind_of(*value)));
  return *number;
}

// 1 for a file that is not split. llama-gguf-split --merge leaves the key in what it writes, with 0 for whole.
Result<std::uint64_t> part_count(const Metadata& metadata, const std::string& path) {
  if (metadata.find(key_count) == nullptr) return 1;
  TRINE_TRY(const auto count, split_key(metadata, path, key_count));
  if (count <= 65535) return std::max<std::uint64_t>(count, 1);
  return fail(
      split_error("impossible number of parts", path, key_count, "0 to 65535", fmt::format("{}", count)));
}

Result<PartName> check_name(const std::string& path, const Metadata& metadata, std::uint64_t count) {
  TRINE_TRY(const auto number, split_key(metadata, path, key_no));
  if (number >= count)
    return fail(split_error("impossible part number", path, key_no, fmt::format("0 to {}", count - 1),
                            fmt::format("{}", number)));
  const auto name = split_name(path);
  if (name && name->number == number + 1 && name->count == count) return *name;
  Error error = split_error("a part of a split model has been renamed", path, {},
                            fmt::format("a name that ends in -{:05}-of-{:05}.gguf", number + 1, count), path);
  error.hint = "Give it its name back, so that the other parts can be found";
  return fail(std::move(error));
}

Result<void> check_part(const Metadata& metadata, const std::string& path, std::uint64_t number,
                        std::uint64_t count) {
  TRINE_TRY(const auto own_count, split_key(metadata, path, key_count));
  if (own_count != count)
    return fail(split_error("the parts disagree on their number", path, key_count, fmt::format("{}", count),
                            fmt::format("{}", own_count)));
  TRINE_TRY(const auto own_number, split_key(metadata, path, key_no));
  if (own_number != number)
    return fail(split_error("a part has the wrong number", path, key_no, fmt::format("{}", number),
                            fmt::format("{}", own_number)));
  return {};
}

}  // namespace

Result<File> File::open(const std::string& path) {
  TRINE_TRY(MappedFile given, MappedFile::open(path));
  TRINE_TRY(Header given_header, parse_header(given.bytes(), path, 0));
  TRINE_TRY(const auto count, part_count(given_header.metadata, path));

  Parts parts;
  if (count == 1) {
    parts.total_bytes = given.bytes().size();
    parts.mappings.push_back(std::move(given));
    parts.paths.push_back(path);
    parts.headers.push_back(std::move(given_header));
    return assemble(std::move(parts));
  }

  TRINE_TRY(const PartName name, check_name(path, given_header.metadata, count));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string part_path = join(name, i + 1);
    auto mapping = MappedFile::open(part_path);
    if (!mapping) {
      Error error = std::move(mapping).error();
      error.what = fmt::format("part {} of {} of a split model: {}", i + 1, count, error.what);
      return fail(std::move(error));
    }
    TRINE_TRY(Header header, parse_header(mapping->bytes(), part_path, i));
    TRINE_CHECK_OK(check_part(header.metadata, part_path, i, count));
    parts.total_bytes += mapping->bytes().size();
    parts.mappings.push_back(std::move(*mapping));
    parts.paths.push_back(part_path);
    parts.headers.push_back(std::move(header));
  }
  return assemble(std::move(parts));
}

Result<File> File::parse(std::span<const std::byte> bytes, std::string name) {
  TRINE_TRY(Header header, parse_header(bytes, name, 0));
  TRINE_TRY(const auto count, part_count(header.metadata, name));
  if (count != 1) {
    return fail({.code = ErrorCode::unsupported,
                 .what = "one part of a split model cannot be read by itself",
                 .where = std::move(name),
                 .expected = "a whole model",
                 .actual = fmt::format("one part of {}", count),
                 .hint = "Open it by its file name"});
  }
  Parts parts;
  parts.total_bytes = bytes.size();
  parts.paths.push_back(std::move(name));
  parts.headers.push_back(std::move(header));
  return assemble(std::move(parts));
}

// Joins the tensor lists and checks what only holds across parts.
Result<File> File::assemble(Parts parts) {
  File file;
  file.mappings_ = std::move(parts.mappings);
  file.paths_ = std::move(parts.paths);
  file.total_bytes_ = parts.total_bytes;
  file.version_ = parts.headers[0].version;
  file.alignment_ = parts.headers[0].alignment;
  file.metadata_ = std::move(parts.headers[0].metadata);
  for (Header& header : parts.headers) {
    for (TensorInfo& tensor : header.tensors) {
      const auto [entry, is_new] = file.index_.emplace(tensor.name, file.tensors_.size());
      if (!is_new) {
        const TensorInfo& first = file.tensors_[entry->second];
        return fail(
            {.code = ErrorCode::not_gguf,
             .what = "two tensors have the same name",
             .where = fmt::format("{}, tensor {}, byte {}", file.paths_[tensor.part], quote(tensor.name),
                                  tensor.offset),
             .expected = "unique names",
             .actual = fmt::format("another one in {} at byte {}", file.paths_[first.part], first.offset)});
      }
      file.tensors_.push_back(std::move(tensor));
    }
  }
  if (file.paths_.size() > 1) {
    TRINE_TRY(const auto expected, split_key(file.metadata_, file.paths_[0], key_tensors));
    if (expected != file.tensors_.size()) {
      return fail(split_error("the parts do not hold all tensors", file.paths_[0], key_tensors,
                              fmt::format("{}", expected), fmt::format("{}", file.tensors_.size())));
    }
  }
  return file;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace trine::gguf
