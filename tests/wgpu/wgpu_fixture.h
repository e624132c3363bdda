#pragma once

#include "required.h"
#include "wgpu/gpu.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdint>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trine::wgpu {

// Tests run on the first adapter of the machine, whatever its kind: Mesa's lavapipe where there is no GPU.
inline constexpr const char* first_adapter = "0";

inline std::string why_no_adapter() {
  const Result<std::vector<Adapter>> adapters = list_adapters();
  return adapters ? "" : to_string(adapters.error());
}

inline GpuOptions test_options() {
  GpuOptions options;
  options.device = first_adapter;
  options.checked_shaders = true;
  options.timestamps = true;
  return options;
}

// AddressSanitizer keeps what was freed, so that a process grows under it whatever it frees.
inline constexpr bool keeps_freed_memory =
#if defined(__SANITIZE_ADDRESS__)
    true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    true;
#else
    false;
#endif
#else
    false;
#endif

// Of this process.
inline std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = why_no_adapter(); !reason.empty()) TRINE_CANNOT_RUN("wgpu", reason);
    Result<std::unique_ptr<Gpu>> opened = Gpu::open(test_options());
    ASSERT_TRUE(opened) << to_string(opened.error());
    gpu_ = *std::move(opened);
  }

  Gpu& gpu() { return *gpu_; }

 private:
  std::unique_ptr<Gpu> gpu_;
};

// The value, or a failed test and a value of no use.
template <typename T>
T must(Result<T> result) {
  EXPECT_TRUE(result) << to_string(result.error());
  return result ? *std::move(result) : T{};
}

inline void must(const Result<void>& result) {
  EXPECT_TRUE(result) << to_string(result.error());
}

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <typename T>
std::vector<T> read_values(Gpu& gpu, const Buffer& buffer, std::size_t count) {
  std::vector<T> values(count);
  must(gpu.read(buffer, 0, std::as_writable_bytes(std::span(values))));
  return values;
}

}  // namespace trine::wgpu
