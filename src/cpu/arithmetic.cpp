#include "cpu/arithmetic.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace trine::cpu {
namespace {

// A chain of one instruction in each of 12 registers: more than any processor has in flight at once (latency
// times instructions a cycle), and as many as leave room for the operands.
constexpr int chains = 12;

struct Loop {
  void (*run)(std::int64_t rounds) = nullptr;  // `chains` instructions a round
  int products = 0;                            // of an instruction
};

struct Loops {
  std::string_view isa;
  const char* instructions;
  Loop bits8, f32;
};

#if defined(TRINE_X86_KERNELS)

// In assembly, since compilers keep such sums in memory. All registers are 0, which is as fast as any number.
#define TRINE_LOOP(name, instruction)                                                                      \
  void name(std::int64_t rounds) {                                                                         \
    asm volatile(                                                                                          \
        ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12\n vpxor %%xmm\\r, %%xmm\\r, %%xmm\\r\n .endr\n"               \
        "1:\n .irp r,0,1,2,3,4,5,6,7,8,9,10,11\n " instruction "\n .endr\n dec %0\n jnz 1b\n vzeroupper\n" \
        : "+r"(rounds)                                                                                     \
        :                                                                                                  \
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",   \
          "xmm11", "xmm12");                                                                               \
  }

TRINE_LOOP(maddubs_256, "vpmaddubsw %%ymm12, %%ymm\\r, %%ymm\\r")
TRINE_LOOP(fma_256, "vfmadd213ps %%ymm12, %%ymm12, %%ymm\\r")
TRINE_LOOP(dpbusd_256, "%{vex%} vpdpbusd %%ymm12, %%ymm12, %%ymm\\r")
TRINE_LOOP(dpbusd_512, "vpdpbusd %%zmm12, %%zmm12, %%zmm\\r")
TRINE_LOOP(fma_512, "vfmadd213ps %%zmm12, %%zmm12, %%zmm\\r")

#undef TRINE_LOOP

// Products of 16 rows of 64 bytes with 16 columns, two to each of six accumulators a round: the unit takes 16
// cycles for each. What the unit is configured with lies as Intel's manual, volume 1, chapter 18 says.
void tdpbsud(std::int64_t rounds) {
  struct alignas(64) {
    std::uint8_t palette = 1, unused[15] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } configuration;
  asm volatile(
      "ldtilecfg %1\n .irp r,0,1,2,3,4,5,6,7\n tilezero %%tmm\\r\n .endr\n"
      "1:\n .irp r,0,1,2,3,4,5,0,1,2,3,4,5\n tdpbsud %%tmm7, %%tmm6, %%tmm\\r\n .endr\n"
      "dec %0\n jnz 1b\n tilerelease\n"
      : "+r"(rounds)
      : "m"(configuration)
      : "cc");
}

constexpr Loops all_loops[] = {
    {"avx2", "vpmaddubsw and vfmadd of 256 bits", {maddubs_256, 32}, {fma_256, 8}},
    {"avxvnni", "vpdpbusd and vfmadd of 256 bits", {dpbusd_256, 32}, {fma_256, 8}},
    {"avx512vnni", "vpdpbusd and vfmadd of 512 bits", {dpbusd_512, 64}, {fma_512, 16}},
    {"amx-int8", "tdpbsud and vfmadd of 512 bits", {tdpbsud, 16 * 16 * 64}, {fma_512, 16}},
};

#else

constexpr std::array<Loops, 0> all_loops = {};

#endif

// Operations per second.
double rate_of(const Loop& loop, ThreadPool& pool) {
  constexpr std::int64_t rounds = 1 << 15;  // of a task, some 100 µs
  constexpr int passes = 7;
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds(32 * static_cast<std::size_t>(pool.size()));
  const auto run_task = [&](std::int64_t task) {
    const Clock::time_point start = Clock::now();
    loop.run(rounds);
    seconds[static_cast<std::size_t>(task)] = std::chrono::duration<double>(Clock::now() - start).count();
  };
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    pool.parallel_for(std::ssize(seconds), 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t task = begin; task < end; ++task) run_task(task);
    });
    // Of the median task, as all threads run them side by side: one that was interrupted does not count.
    const auto middle = seconds.begin() + std::ssize(seconds) / 2;
    std::nth_element(seconds.begin(), middle, seconds.end());
    best = std::max(best, 2.0 * static_cast<double>(rounds * chains * loop.products) * pool.size() / *middle);
  }
  return best;
}

}  // namespace

std::optional<model::ArithmeticRate> measure_arithmetic(std::string_view isa, ThreadPool& pool) {
  for (const Loops& loops : all_loops) {
    if (loops.isa != isa) continue;
    return model::ArithmeticRate{rate_of(loops.bits8, pool), rate_of(loops.f32, pool), loops.instructions};
  }
  return std::nullopt;
}

}  // namespace trine::cpu
