#include "base/populate.h"
#include "base/file.h"
#include "temporary_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>

namespace trine {
namespace {

using Ranges = std::vector<std::span<const std::byte>>;

long minor_faults() {
  rusage usage{};
  EXPECT_EQ(::getrusage(RUSAGE_THREAD, &usage), 0);
  return usage.ru_minflt;
}

// Sanitizers read memory of their own beside each byte, which faults as well.
__attribute__((no_sanitize("address"), no_sanitize("thread"))) unsigned sum_of_pages(
    const volatile unsigned char* data, std::size_t bytes, std::size_t page) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < bytes; i += page) sum += data[i];
  return sum;
}

// Faults of this thread as it reads a byte of every page.
long faults_of_reading(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const long before = minor_faults();
  const unsigned sum = sum_of_pages(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), page);
  const long faults = minor_faults() - before;
  EXPECT_TRUE(bytes.empty() || sum > 0);
  return faults;
}

std::size_t resident_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes.size() + page - 1) / page);
  EXPECT_EQ(::mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), pages.data()), 0);
  return static_cast<std::size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char bits) { return (bits & 1) != 0; }));
}

// A file of three and a half pieces, as they are shared out.
class Populate : public testing::Test {
 protected:
  static constexpr std::size_t size = std::size_t{14} << 20;

  void SetUp() override {
    ThreadPool pool(1);
    const Result<MappedFile> any = MappedFile::open(file_.path());
    ASSERT_TRUE(any);
    if (!populate_pages({any->bytes().first(1)}, {}, pool))
      GTEST_SKIP() << "this kernel has no MADV_POPULATE_READ (Linux 5.14)";
  }
  // The whole file, mapped anew: no page of it is in the page tables.
  MappedFile mapped() const { return std::move(MappedFile::open(file_.path()).value()); }

  const test::TemporaryFile file_{std::string(size, 'x')};
};

TEST_F(Populate, LeavesNoFaultsToTheReader) {
  const MappedFile untouched = mapped();
  EXPECT_GT(faults_of_reading(untouched.bytes()), 3) << "or there is nothing to gain";
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const MappedFile file = mapped();
    EXPECT_TRUE(populate_pages({file.bytes()}, {}, pool));
    EXPECT_EQ(faults_of_reading(file.bytes()), 0) << threads;
  }
}

// Ranges as tensors have them, which begin and end within pages.
TEST_F(Populate, TakesWhatItIsGiven) {
  ThreadPool pool(2);
  const MappedFile file = mapped();
  const std::span<const std::byte> bytes = file.bytes();
  const Ranges ranges = {bytes.subspan(50'000, (5u << 20) + 7), bytes.subspan(size - 33, 33), bytes.first(0)};
  EXPECT_TRUE(populate_pages(ranges, {}, pool));
  for (const std::span<const std::byte> range : ranges) EXPECT_EQ(faults_of_reading(range), 0);
  EXPECT_TRUE(populate_pages({}, {}, pool));
}

TEST_F(Populate, ReadsWhatIsNotInTheCache) {
  const int descriptor = ::open(file_.path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(descriptor, 0);
  EXPECT_EQ(::fsync(descriptor), 0);
  EXPECT_EQ(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED), 0);
  ::close(descriptor);
  const MappedFile file = mapped();
  const std::size_t pages = size / static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (resident_pages(file.bytes()) == pages) GTEST_SKIP() << "this file system keeps its files in memory";
  ThreadPool pool(2);
  EXPECT_TRUE(populate_pages({file.bytes()}, {}, pool));
  EXPECT_EQ(resident_pages(file.bytes()), pages);
}

// Where the file has become shorter, pages are missing: said, and no signal.
TEST_F(Populate, APageThatIsGoneIsNoSignal) {
  ThreadPool pool(2);
  const MappedFile file = mapped();
  ASSERT_EQ(::truncate(file_.path().c_str(), size / 2), 0);
  EXPECT_FALSE(populate_pages({file.bytes()}, {}, pool));
}

}  // namespace
}  // namespace trine
