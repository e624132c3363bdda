#include "base/sha256.h"

#include "base/check.h"
#include "base/descriptor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace trine {
namespace {

constexpr std::size_t chunk_bytes = 4 << 20;

Result<void> add_file(Sha256& sum, const std::string& path, const HashProgress& progress) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0)
    return fail({.code = ErrorCode::file_not_found,
                 .what = "cannot open the file",
                 .where = path,
                 .actual = std::strerror(errno)});
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<std::byte> buffer(chunk_bytes);
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return fail({.code = ErrorCode::io,
                   .what = "cannot read the file",
                   .where = path,
                   .actual = std::strerror(errno)});
    if (n == 0) return {};
    sum.add(std::span(buffer).first(static_cast<std::size_t>(n)));
    if (progress) progress(static_cast<std::uint64_t>(n));
  }
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

// libcrypto fails here only when it has no SHA-256 or no memory; neither is input.
Sha256::Sha256() : state_(std::make_unique<State>()) {
  check(state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
        "libcrypto has SHA-256");
}
Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "libcrypto adds to SHA-256");
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  check(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1, "libcrypto ends SHA-256");
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 sum;
  sum.add(std::as_bytes(std::span(bytes)));
  return sum.hex();
}

bool is_sha256(std::string_view hex) {
  return hex.size() == sha256_digits && std::all_of(hex.begin(), hex.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<std::string> sha256_of_file(const std::string& path, const HashProgress& progress) {
  return sha256_of_files(std::span(&path, 1), progress);
}

Result<std::string> sha256_of_files(std::span<const std::string> paths, const HashProgress& progress) {
  Sha256 sum;
  for (const std::string& path : paths) TRINE_CHECK_OK(add_file(sum, path, progress));
  return sum.hex();
}

}  // namespace trine
