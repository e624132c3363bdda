#include "gguf/download.h"

#include "base/file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace trine::gguf {
namespace {

namespace fs = std::filesystem;

// A folder of any size is looked through only so far: what is sought makes a hint better, no more.
constexpr int most_entries = 20000;

// The first entry below `folder` that `wanted` takes, or an empty path.
template <typename Iterator, typename Wanted>
fs::path find_entry(const fs::path& folder, const Wanted& wanted) {
  std::error_code problem;
  Iterator entry(folder.empty() ? fs::path(".") : folder, problem);
  for (int i = 0; !problem && entry != Iterator() && i < most_entries; ++i, entry.increment(problem)) {
    if (wanted(entry->path())) return entry->path();
  }
  return {};
}

bool is_incomplete(const fs::path& path) {
  return path.extension() == ".incomplete";
}

// "model-00002-of-00003.gguf.part", Firefox' "model-00002-of-00003.aB3.gguf.part",
// "downloading_model.gguf.part".
bool is_download_of(const std::string& name, const std::string& stem) {
  const std::size_t at = name.find(stem);
  if (at == std::string::npos || (at > 0 && name[at - 1] != '_')) return false;
  return name[std::min(at + stem.size(), name.size() - 1)] == '.' && is_named_unfinished(name);
}

}  // namespace

bool is_named_unfinished(const std::string& path) {
  constexpr std::array<std::string_view, 7> ends = {".part",     ".partial",    ".incomplete", ".aria2",
                                                    ".download", ".crdownload", "-partial"};
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return path.ends_with(end); });
}

bool has_unfinished_bytes(const std::string& path) {
  std::error_code problem;
  return fs::exists(path + ".aria2", problem);
}

std::string unfinished_download(const std::string& path, const std::string& neighbour) {
  const fs::path folder = fs::path(path).parent_path();
  const std::string stem = fs::path(path).stem().string();
  const auto of_this = [&](const fs::path& entry) { return is_download_of(entry.filename().string(), stem); };
  fs::path found = find_entry<fs::directory_iterator>(folder, of_this);
  if (found.empty() && !neighbour.empty()) {
    const fs::path blobs = fs::path(link_steps(neighbour).back()).parent_path();
    if (blobs.filename() == "blobs") found = find_entry<fs::directory_iterator>(blobs, is_incomplete);
  }
  // hf download --local-dir; the folder given there may be the one above.
  for (const fs::path& root : {folder, folder / ".."}) {
    if (!found.empty()) break;
    found = find_entry<fs::recursive_directory_iterator>(root / ".cache/huggingface/download", is_incomplete);
  }
  return found.string();
}

namespace {

fs::path folder_of(const std::string& path) {
  std::error_code problem;
  return fs::absolute(path, problem).lexically_normal().parent_path();
}

}  // namespace

bool is_blob(const std::string& path) {
  return folder_of(path).filename() == "blobs";
}

std::string snapshot_name(const std::string& path) {
  if (!is_blob(path)) return {};
  const fs::path blob = fs::path(path).filename();
  const auto leads_here = [&](const fs::path& entry) {
    std::error_code problem;
    return fs::read_symlink(entry, problem).filename() == blob && !problem;
  };
  return find_entry<fs::recursive_directory_iterator>(folder_of(path).parent_path() / "snapshots", leads_here)
      .string();
}

}  // namespace trine::gguf
