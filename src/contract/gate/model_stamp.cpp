#include "contract/gate/model_stamp.h"

#include <sys/stat.h>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trine::contract {

Result<std::string> sha256_of_model(const gguf::File& file, const HashProgress& progress) {
  return sha256_of_files(file.paths(), progress);
}

Result<ModelStamp::Part> ModelStamp::stamp(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return fail({.code = ErrorCode::file_not_found,
                 .what = "the model's file is gone",
                 .where = path,
                 .actual = std::strerror(errno)});
  return Part{path,
              static_cast<std::uint64_t>(status.st_dev),
              static_cast<std::uint64_t>(status.st_ino),
              static_cast<std::uint64_t>(status.st_size),
              static_cast<std::int64_t>(status.st_mtim.tv_sec),
              static_cast<std::int64_t>(status.st_mtim.tv_nsec),
              static_cast<std::int64_t>(status.st_ctim.tv_sec),
              static_cast<std::int64_t>(status.st_ctim.tv_nsec)};
}

Result<ModelStamp> ModelStamp::of(const gguf::File& file) {
  ModelStamp all;
  for (const std::string& path : file.paths()) {
    TRINE_TRY(Part part, stamp(path));
    all.parts_.push_back(std::move(part));
  }
  return all;
}

Result<void> ModelStamp::check_unchanged() const {
  for (const Part& part : parts_) {
    TRINE_TRY(const Part now, stamp(part.path));
    if (now == part) continue;
    return fail({.code = ErrorCode::validation_failed,
                 .what = "the model's file changed while it was in use, so nothing can be said of what ran",
                 .where = part.path,
                 .hint = "Run it again when nobody writes to the file"});
  }
  return {};
}

}  // namespace trine::contract
