#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace trine {

// The three kinds of failure in Trine:
//   a bug       -> check() in base/check.h, which aborts: the program is wrong;
//   bad input   -> an Error value, returned through Result<T>: a file, a request or a device is wrong;
//   nothing left to do (out of memory) -> std::bad_alloc, caught once in the command line's main.
// The library never prints, exits or aborts because of input.

// What a command exits with; docs/errors.md lists them for users. Values are part of the interface.
enum class ErrorCode : int {
  other = 1,
  usage = 2,
  file_not_found = 3,  // not found or not readable
  not_gguf = 4,        // not a valid GGUF file
  validation_failed = 5,
  model_load = 6,  // memory, a missing tensor, a wrong shape
  io = 7,
  inference = 8,
  feature_missing = 9,  // this build was made without it
  network = 10,
  unsupported = 12,          // architecture, tensor type or tokenizer
  backend_unavailable = 14,  // asked for by name and not there
};

// An error a person can act on. Only `code` and `what` are always set; the rest is left empty when it says
// nothing.
struct Error {
  ErrorCode code = ErrorCode::other;
  std::string what = {};      // one sentence, lower case, without a full stop
  std::string where = {};     // file, tensor, metadata key, byte offset, field of a request
  std::string expected = {};  // what would have been right
  std::string actual = {};    // what was there
  std::string hint = {};      // what to do about it
};

template <typename T>
using Result = tl::expected<T, Error>;

// "what (where): expected X, got Y. hint" on one line.
std::string to_string(const Error& error);

inline tl::unexpected<Error> fail(ErrorCode code, std::string what) {
  return tl::unexpected<Error>(Error{.code = code, .what = std::move(what)});
}
inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace trine

// Returns the error of `expression` from the enclosing function, or binds its value to `declaration`.
// Macros, because no function can return from its caller.
#define TRINE_CONCAT_INNER(a, b) a##b
#define TRINE_CONCAT(a, b) TRINE_CONCAT_INNER(a, b)
#define TRINE_TRY(declaration, expression)                                                       \
  auto TRINE_CONCAT(result_, __LINE__) = (expression);                                           \
  if (!TRINE_CONCAT(result_, __LINE__))                                                          \
    return ::tl::unexpected<::trine::Error>(std::move(TRINE_CONCAT(result_, __LINE__)).error()); \
  declaration = *std::move(TRINE_CONCAT(result_, __LINE__))
// The same for a Result<void>.
#define TRINE_CHECK_OK(expression)                                         \
  do {                                                                     \
    if (auto result_ = (expression); !result_)                             \
      return ::tl::unexpected<::trine::Error>(std::move(result_).error()); \
  } while (false)
