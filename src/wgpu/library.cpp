#include "wgpu/library.h"

#include "base/check.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <vector>

namespace trine::wgpu {
namespace {

constexpr const char* file_name = "libwgpu_native-release.so";
constexpr const char* how_to_get_it =
    "'scripts/setup wgpu' fetches it before a build; TRINE_WGPU_LIBRARY names another one";

std::atomic<const Library*> loaded = nullptr;

std::string version_text(std::uint32_t version) {
  return fmt::format("{}.{}.{}.{}", version >> 24, version >> 16 & 255, version >> 8 & 255, version & 255);
}

Error unavailable(std::string what, std::string where, std::string expected, std::string actual) {
  return {.code = ErrorCode::backend_unavailable,
          .what = std::move(what),
          .where = std::move(where),
          .expected = std::move(expected),
          .actual = std::move(actual),
          .hint = how_to_get_it};
}

Result<Library> resolve(void* handle, const std::string& path) {
  Library library;
  library.path = path;
  std::string missing;
#define TRINE_WGPU_RESOLVE(name)                                                          \
  library.name = reinterpret_cast<decltype(library.name)>(::dlsym(handle, "wgpu" #name)); \
  if (library.name == nullptr) missing = "wgpu" #name;
  TRINE_WGPU_FUNCTIONS(TRINE_WGPU_RESOLVE)
#undef TRINE_WGPU_RESOLVE
  const std::string expected = fmt::format("version {}", library_major_version);
  if (library.GetVersion == nullptr)
    return fail(unavailable("not a WebGPU library", path, "wgpu-native, " + expected, "no wgpuGetVersion"));
  const std::uint32_t version = library.GetVersion();
  library.version = version_text(version);
  if (version >> 24 != library_major_version)
    return fail(unavailable("WebGPU library of another version", path, expected, library.version));
  if (!missing.empty())
    return fail(unavailable("incomplete WebGPU library", path, "wgpu-native, " + expected, "no " + missing));
  return library;
}

// Where the library may lie, best first. The last has no folder: there the system's loader looks.
std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  std::error_code ignored;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", ignored);
  for (const char* folder : {".", "../lib/trine"}) {
    const std::filesystem::path path = (executable.parent_path() / folder / file_name).lexically_normal();
    if (std::filesystem::exists(path, ignored)) paths.push_back(path.string());
  }
  paths.emplace_back(file_name);
  return paths;
}

Result<Library> find() {
  const char* wanted = std::getenv("TRINE_WGPU_LIBRARY");
  if (wanted != nullptr && *wanted != '\0') return open_library(wanted);
  const std::vector<std::string> paths = candidates();
  Result<Library> library = open_library(paths.front());
  for (std::size_t i = 1; i < paths.size() && !library; ++i) library = open_library(paths[i]);
  return library;
}

}  // namespace

// It is never closed: the library and the drivers behind it keep threads of their own.
Result<Library> open_library(const std::string& path) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return fail(
        unavailable("the WebGPU library cannot be loaded", path, {}, reason == nullptr ? "" : reason));
  }
  return resolve(handle, path);
}

Result<const Library*> load_library() {
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (const Library* library = loaded.load(); library != nullptr) return library;
  TRINE_TRY(Library library, find());
  loaded = new Library(std::move(library));
  return loaded.load();
}

const Library& api() {
  const Library* library = loaded.load(std::memory_order_acquire);
  check(library != nullptr, "the WebGPU library is loaded");
  return *library;
}

}  // namespace trine::wgpu
