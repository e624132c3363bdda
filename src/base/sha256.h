#pragma once

#include "base/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trine {

// SHA-256 (FIPS 180-4), by OpenSSL's libcrypto.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::span<const std::byte> bytes);
  std::string hex();  // 64 digits; ends the sum

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);
inline constexpr std::size_t sha256_digits = 64;
bool is_sha256(std::string_view hex);

// Of the bytes of a file, or of several one after the other. `progress` is told how many bytes more are done
// and may be empty. Errors: file_not_found, io.
using HashProgress = std::function<void(std::uint64_t bytes)>;
Result<std::string> sha256_of_file(const std::string& path, const HashProgress& progress);
Result<std::string> sha256_of_files(std::span<const std::string> paths, const HashProgress& progress);

}  // namespace trine
