#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace trine {

// Memory that the system gives page by page as it is touched, zeroed: what is not touched costs nothing.
class ZeroedPages {
 public:
  // Empty when there is not so much address space.
  static ZeroedPages map(std::size_t bytes);

  // For memory that is read faster than the processor can look up small pages: what is touched from now on
  // comes in huge ones, 2 MiB on x86, where the system gives them on request. Elsewhere nothing changes.
  void prefer_huge();

  // Empty where there are none, and where they have been moved from.
  std::span<std::byte> bytes() const { return {memory_.get(), memory_ ? memory_.get_deleter().bytes : 0}; }
  explicit operator bool() const { return memory_ != nullptr; }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Unmap> memory_;
};

}  // namespace trine
