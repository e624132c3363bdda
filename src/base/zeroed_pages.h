#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace trine {

// Memory that the system gives page by page as it is touched, zeroed: what is not touched costs nothing. It
// is given in huge pages (2 MiB on x86) where the system does that on request, since attention reads through
// a KV cache faster than the processor can look up small ones.
class ZeroedPages {
 public:
  // Empty when there is not so much address space.
  static ZeroedPages map(std::size_t bytes);

  std::span<std::byte> bytes() const { return {memory_.get(), memory_.get_deleter().bytes}; }
  explicit operator bool() const { return memory_ != nullptr; }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Unmap> memory_;
};

}  // namespace trine
