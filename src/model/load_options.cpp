#include "model/load_options.h"

#include <fmt/format.h>

namespace trine::model {

Result<void> refuse_host_options(const LoadOptions& options, std::string_view backend) {
  if (!options.pin && !options.numa) return {};
  const std::string option = options.pin ? "--pin" : "--numa";
  return fail({.code = ErrorCode::usage,
               .what = fmt::format("the {} backend does not run on threads and memory of the host", backend),
               .where = option,
               .hint = option + " is of --backend cpu"});
}

}  // namespace trine::model
