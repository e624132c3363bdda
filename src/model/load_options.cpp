#include "model/load_options.h"

#include <fmt/format.h>

namespace trine::model {

Result<void> refuse_host_options(const LoadOptions& options, std::string_view backend) {
  if (!options.pin) return {};
  return fail({.code = ErrorCode::usage,
               .what = fmt::format("the {} backend has no threads to place", backend),
               .where = "--pin",
               .hint = "--pin is of --backend cpu"});
}

}  // namespace trine::model
