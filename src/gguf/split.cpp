#include "gguf/split.h"

#include "base/file.h"
#include "gguf/download.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace trine::gguf {
namespace {

constexpr std::string_view key_no = "split.no";
constexpr std::string_view key_count = "split.count";
constexpr std::string_view key_tensors = "split.tensors.count";
constexpr std::string_view key_architecture = "general.architecture";

Error key_error(std::string what, const std::string& path, std::string_view key, std::string expected,
                std::string actual) {
  return {.code = ErrorCode::not_gguf,
          .what = std::move(what),
          .where = fmt::format("{}, key '{}'", path, key),
          .expected = std::move(expected),
          .actual = std::move(actual)};
}

Result<std::uint64_t> split_key(const Metadata& metadata, const std::string& path, std::string_view key) {
  const Value* value = metadata.find(key);
  if (value == nullptr)
    return fail(key_error("a part of a split model lacks a key", path, key, "an integer", "no such key"));
  const auto number = metadata.get_uint(key);
  if (!number)
    return fail(key_error("impossible split key", path, key, "an integer of 0 or more", kind_of(*value)));
  return *number;
}

// Also for a link that leads nowhere. What is there and cannot be opened is no missing file.
bool is_missing(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

std::vector<std::uint64_t> missing_parts(const PartName& name, std::uint64_t count) {
  std::vector<std::uint64_t> missing;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (is_missing(path_of_part(name, i + 1))) missing.push_back(i);
  }
  return missing;
}

// {1, 2, 3, 6}, which count from 0, are "2 to 4 and 7".
std::string numbers_text(const std::vector<std::uint64_t>& numbers) {
  std::vector<std::string> ranges;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (last - i < 2) last = i;
    ranges.push_back(last == i ? fmt::format("{}", numbers[i] + 1)
                               : fmt::format("{} to {}", numbers[i] + 1, numbers[last] + 1));
    i = last + 1;
  }
  constexpr std::size_t most_ranges = 20;
  if (ranges.size() > most_ranges) {
    ranges.resize(most_ranges);
    ranges.emplace_back("more");
  }
  if (ranges.size() == 1) return ranges[0];
  const std::string last = std::move(ranges.back());
  ranges.pop_back();
  return fmt::format("{} and {}", fmt::join(ranges, ", "), last);
}

// What of the missing ones is a link, for an error.
std::string dangling_text(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) {
    const std::string target = link_target(path);
    if (target != path)
      text += fmt::format("{}a link to {}, which is not there", text.empty() ? "" : ", ", target);
  }
  return text;
}

}  // namespace

Result<SplitKeys> read_split_keys(const Metadata& metadata, const std::string& path) {
  SplitKeys keys;
  if (metadata.find(key_count) == nullptr) return keys;
  TRINE_TRY(keys.count, split_key(metadata, path, key_count));
  if (keys.count > 65535)
    return fail(key_error("impossible number of parts", path, key_count, "0 to 65535",
                          fmt::format("{}", keys.count)));
  // llama-gguf-split --merge leaves the key in what it writes, with 0 for whole.
  keys.count = std::max<std::uint64_t>(keys.count, 1);
  if (keys.count == 1) return keys;
  TRINE_TRY(keys.number, split_key(metadata, path, key_no));
  if (keys.number < keys.count) return keys;
  return fail(key_error("impossible part number", path, key_no, fmt::format("0 to {}", keys.count - 1),
                        fmt::format("{}", keys.number)));
}

Result<std::uint64_t> tensors_of_all_parts(const Metadata& metadata, const std::string& path) {
  return split_key(metadata, path, key_tensors);
}

std::optional<Place> find_parts(const std::string& path, const SplitKeys& keys) {
  std::optional<Place> best;
  for (const std::string& step : link_steps(path)) {
    const auto name = part_name(step);
    if (!name || name->number != keys.number + 1 || name->count != keys.count) continue;
    Place place{*name, missing_parts(*name, keys.count)};
    if (!best || place.missing.size() < best->missing.size()) best = std::move(place);
    if (best->missing.empty()) break;
  }
  return best;
}

Result<void> check_part(const Metadata& metadata, const std::string& path, const SplitKeys& expected) {
  TRINE_TRY(const auto count, split_key(metadata, path, key_count));
  if (count != expected.count)
    return fail(key_error("the parts disagree on their number", path, key_count,
                          fmt::format("{}", expected.count), fmt::format("{}", count)));
  TRINE_TRY(const auto number, split_key(metadata, path, key_no));
  if (number == expected.number) return {};
  Error error = key_error("a part has the wrong number", path, key_no, fmt::format("{}", expected.number),
                          fmt::format("{}", number));
  error.hint = "The key counts from 0, names count from 1; this may be another part under its name";
  return fail(std::move(error));
}

Result<void> check_same_model(const Metadata& first, const std::string& first_path, const Metadata& other,
                              const std::string& other_path) {
  const auto differs = [&](std::string_view key, std::string expected, std::string actual) {
    Error error = key_error("the parts are of different models", other_path, key,
                            fmt::format("{}, as {} has it", expected, first_path), std::move(actual));
    error.hint = "Get all parts from one place";
    return fail(std::move(error));
  };
  if (other.find(key_tensors) != nullptr) {
    TRINE_TRY(const auto expected, split_key(first, first_path, key_tensors));
    TRINE_TRY(const auto actual, split_key(other, other_path, key_tensors));
    if (expected != actual)
      return differs(key_tensors, fmt::format("{}", expected), fmt::format("{}", actual));
  }
  if (other.find(key_architecture) == nullptr) return {};
  const auto expected = first.get_string(key_architecture);
  const auto actual = other.get_string(key_architecture);
  if (expected && actual && *expected != *actual)
    return differs(key_architecture, quote(*expected), quote(*actual));
  return {};
}

Error missing_error(const Place& place, const std::vector<std::uint64_t>& missing,
                    const std::string& neighbour) {
  constexpr std::size_t most_paths = 8;
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < std::min(missing.size(), most_paths); ++i)
    paths.push_back(path_of_part(place.name, missing[i] + 1));
  Error error{
      .code = ErrorCode::file_not_found,
      .what = fmt::format("{} {} of {} of a split model {} missing", missing.size() == 1 ? "part" : "parts",
                          numbers_text(missing), place.name.count, missing.size() == 1 ? "is" : "are"),
      .where = fmt::format("{}", fmt::join(paths, ", ")),
      .actual = dangling_text(paths)};
  if (missing.size() > most_paths) error.where += fmt::format(", and {} more", missing.size() - most_paths);
  if (missing[0] == 0) error.hint = "Part 1 holds the metadata and the tokenizer. ";
  for (const std::string& path : paths) {
    const std::string download = unfinished_download(path, neighbour);
    if (download.empty()) continue;
    error.hint += fmt::format("A download has not finished: {} is there", download);
    return error;
  }
  error.hint += fmt::format("Get what is missing, and put it beside {}", neighbour);
  return error;
}

Error renamed_error(const std::string& path, const SplitKeys& keys) {
  PartName form;
  form.prefix = "NAME";
  form.count = keys.count;
  const std::vector<std::string> steps = link_steps(path);
  Error error{
      .code = ErrorCode::not_gguf,
      .what = "a part of a split model has been renamed, so that the others cannot be found",
      .where = path,
      .expected = fmt::format("a name that ends in -{:05}-of-{:05}.gguf", keys.number + 1, keys.count),
      .actual = path};
  if (steps.size() > 1) error.actual += ", a link to " + steps.back();
  if (is_blob(steps.back())) {
    error.what = "a part of a split model cannot find the others from the name of a blob";
    const std::string name = snapshot_name(steps.back());
    error.hint = name.empty() ? "Name the part in the folder that keeps the names, beside the other parts; "
                                "huggingface_hub's is snapshots/ beside blobs/"
                              : "Name it by " + name;
    return error;
  }
  error.hint = fmt::format(
      "It says that it is part {} of {}. Put all of them into one folder as {} to {}; then name any, or make "
      "one "
      "file of them: llama-gguf-split --merge {} OUT.gguf",
      keys.number + 1, keys.count, path_of_part(form, 1), path_of_part(form, keys.count),
      path_of_part(form, 1));
  return error;
}

Error unfinished_error(const std::string& path) {
  return {.code = ErrorCode::not_gguf,
          .what = "the download of this file has not finished",
          .where = path,
          .actual = fmt::format("{}.aria2 is beside it", path),
          .hint = "Let aria2c finish it; if the file is whole, remove the other"};
}

Error explain(Error error, const std::string& path, std::uint64_t size) {
  if (error.code == ErrorCode::file_not_found) {
    std::error_code problem;
    if (!std::filesystem::exists(path, problem) && !problem) {
      const std::string download = unfinished_download(path);
      if (!download.empty()) error.hint = fmt::format("A download has not finished: {} is there", download);
    }
    return error;
  }
  if (error.code != ErrorCode::not_gguf) return error;
  // A pointer or a page in the place of a piece is short, and known by what it says.
  constexpr std::uint64_t least_piece = 1 << 20;
  const bool is_recognised = error.what == "not a GGUF file" && !error.hint.empty() && size < least_piece;
  if (is_recognised) return error;
  const std::string join = how_to_join_pieces(path);
  if (!join.empty()) {
    error.hint = join;
  } else if (is_named_unfinished(path)) {
    error.hint = "By its name this is a download that has not finished";
  } else if (const std::string download = unfinished_download(path); !download.empty()) {
    error.hint = fmt::format("A download has not finished: {} is there", download);
  }
  return error;
}

}  // namespace trine::gguf
