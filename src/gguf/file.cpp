#include "gguf/file.h"

#include "gguf/download.h"
#include "gguf/joined.h"
#include "gguf/parse.h"
#include "gguf/split.h"

#include <fmt/format.h>
#include <algorithm>

namespace trine::gguf {

struct OpenPart {
  MappedFile mapping;
  std::string path;
  Header header;
};

namespace {

Result<OpenPart> open_part(const std::string& path) {
  OpenPart part;
  part.path = path;
  auto mapping = MappedFile::open(path);
  if (!mapping) return fail(explain(std::move(mapping).error(), path, 0));
  part.mapping = std::move(*mapping);
  auto header = parse_header(part.mapping.bytes(), path);
  if (!header) return fail(explain(std::move(header).error(), path, part.mapping.bytes().size()));
  part.header = std::move(*header);
  return part;
}

// One that another part names.
Result<OpenPart> open_sibling(const std::string& path, const SplitKeys& keys) {
  auto part = open_part(path);
  if (!part) {
    Error error = std::move(part).error();
    if (error.code != ErrorCode::not_gguf)
      error.what = fmt::format("part {} of {} of a split model: {}", keys.number + 1, keys.count, error.what);
    return fail(std::move(error));
  }
  TRINE_CHECK_OK(check_part(part->header.metadata, path, keys));
  return part;
}

// Why `given` does not lead to the parts in `missing`: to all others when it leads to no place.
Error not_found_error(const OpenPart& given, const SplitKeys& keys, const std::optional<Place>& place,
                      const std::vector<std::uint64_t>& missing) {
  const std::vector<Section> sections = find_sections(given.mapping.bytes(), given.header);
  if (sections.size() > 1) return joined_error(given.path, sections);
  return place ? missing_error(*place, missing, given.path) : renamed_error(given.path, keys);
}

}  // namespace

// What open() and parse() gather before it becomes one model.
struct File::Opened {
  std::vector<OpenPart> parts;  // in order
  SplitKeys keys;               // of the part that was named
  std::optional<Error> incomplete;
};

Result<File> File::open(const std::string& path, Parts wanted) {
  Opened given;
  TRINE_TRY(OpenPart part, open_part(path));
  TRINE_TRY(given.keys, read_split_keys(part.header.metadata, path));
  given.parts.push_back(std::move(part));
  TRINE_TRY(Opened opened, open_parts(std::move(given), path, wanted));
  if (wanted != Parts::first) {
    for (const OpenPart& open : opened.parts) {
      if (opened.incomplete || !has_unfinished_bytes(open.path)) continue;
      opened.incomplete = unfinished_error(open.path);
    }
  }
  if (opened.incomplete && wanted == Parts::all) return fail(std::move(*opened.incomplete));
  return assemble(std::move(opened));
}

// Adds the other parts to the one that was named. Where that cannot be done `incomplete` says why.
Result<File::Opened> File::open_parts(Opened given, const std::string& path, Parts wanted) {
  const SplitKeys keys = given.keys;
  if (keys.count == 1 || (wanted == Parts::first && keys.number == 0)) return given;
  const auto place = find_parts(path, keys);
  const auto is_missing = [&](std::uint64_t number) {
    return std::binary_search(place->missing.begin(), place->missing.end(), number);
  };

  if (wanted == Parts::first) {
    if (!place || is_missing(0)) return fail(not_found_error(given.parts[0], keys, place, {0}));
    TRINE_TRY(OpenPart first, open_sibling(path_of_part(place->name, 1), {0, keys.count}));
    given.parts[0] = std::move(first);
    return given;
  }

  if (!place || !place->missing.empty())
    given.incomplete =
        not_found_error(given.parts[0], keys, place, place ? place->missing : std::vector<std::uint64_t>());
  if (!place || (given.incomplete && wanted == Parts::all)) return given;
  Opened opened{{}, keys, std::move(given.incomplete)};
  for (std::uint64_t i = 0; i < keys.count; ++i) {
    const std::string part_path = path_of_part(place->name, i + 1);
    if (i == keys.number) {
      opened.parts.push_back(std::move(given.parts[0]));
      opened.parts.back().path = part_path;
    } else if (!is_missing(i)) {
      auto part = open_sibling(part_path, {i, keys.count});
      if (part) opened.parts.push_back(std::move(*part));
      if (!part && !opened.incomplete) opened.incomplete = std::move(part).error();
      if (!part && wanted == Parts::all) break;
    }
  }
  return opened;
}

Result<File> File::parse(std::span<const std::byte> bytes, std::string name, Parts wanted) {
  Opened opened;
  TRINE_TRY(Header header, parse_header(bytes, name));
  TRINE_TRY(opened.keys, read_split_keys(header.metadata, name));
  if (opened.keys.count != 1 && (wanted == Parts::all || opened.keys.number != 0)) {
    const std::vector<Section> sections = find_sections(bytes, header);
    if (sections.size() > 1) return fail(joined_error(name, sections));
    return fail({.code = ErrorCode::unsupported,
                 .what = "one part of a split model cannot be read by itself",
                 .where = std::move(name),
                 .expected = "a whole model",
                 .actual = fmt::format("one part of {}", opened.keys.count),
                 .hint = "Open it by its file name"});
  }
  opened.parts.push_back({{}, std::move(name), std::move(header)});
  TRINE_TRY(File file, assemble(std::move(opened)));
  file.total_bytes_ = bytes.size();
  return file;
}

// Joins the tensor lists and checks what only holds across parts.
Result<File> File::assemble(Opened opened) {
  File file;
  OpenPart& first = opened.parts[0];
  for (const OpenPart& part : opened.parts)
    TRINE_CHECK_OK(check_same_model(first.header.metadata, first.path, part.header.metadata, part.path));
  file.part_count_ = opened.keys.count;
  file.incomplete_ = std::move(opened.incomplete);
  file.version_ = first.header.version;
  file.alignment_ = first.header.alignment;
  for (OpenPart& part : opened.parts) {
    for (TensorInfo& tensor : part.header.tensors) {
      tensor.part = file.paths_.size();
      const auto [entry, is_new] = file.index_.emplace(tensor.name, file.tensors_.size());
      if (!is_new) {
        const TensorInfo& other = file.tensors_[entry->second];
        const std::string& other_path = other.part == tensor.part ? part.path : file.paths_[other.part];
        return fail(
            {.code = ErrorCode::not_gguf,
             .what = "two tensors have the same name",
             .where = fmt::format("{}, tensor {}, byte {}", part.path, quote(tensor.name), tensor.offset),
             .expected = "unique names",
             .actual = fmt::format("another one in {} at byte {}", other_path, other.offset),
             .hint = other.part == tensor.part ? "" : "The parts may be of different models"});
      }
      file.tensors_.push_back(std::move(tensor));
    }
    file.total_bytes_ += part.mapping.bytes().size();
    file.mappings_.push_back(std::move(part.mapping));
    file.paths_.push_back(std::move(part.path));
  }
  file.metadata_ = std::move(first.header.metadata);
  if (file.paths_.size() > 1 && file.paths_.size() == file.part_count_) {
    TRINE_TRY(const auto expected, tensors_of_all_parts(file.metadata_, file.paths_[0]));
    if (expected != file.tensors_.size()) {
      return fail({.code = ErrorCode::not_gguf,
                   .what = "the parts do not hold all tensors",
                   .where = fmt::format("{}, key 'split.tensors.count'", file.paths_[0]),
                   .expected = fmt::format("{}", expected),
                   .actual = fmt::format("{}", file.tensors_.size())});
    }
  }
  return file;
}

const TensorInfo* File::find_tensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace trine::gguf
