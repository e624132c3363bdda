#pragma once

#include "base/error.h"

namespace trine::cli {

// What the engine says of a request's fields, said of the flags that set them. For errors of
// engine/prompt.h and engine/load.h; any other comes back as it is.
Error in_flags(Error error);

}  // namespace trine::cli
