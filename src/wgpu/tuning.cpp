#include "wgpu/tuning.h"

#include <algorithm>
#include <bit>

namespace trine::wgpu {
namespace {

// clang-format off
constexpr GemmTile tall = {128, 128, 32, 4, 1, false};
constexpr GemmTile narrow = {128, 64, 32, 4, 2, false};
constexpr GemmTile few_rows = {64, 32, 16, 2, 1, false};  // for matrices of hundreds of rows
constexpr GemmTile small = {32, 16, 16, 2, 1, false};
//   subgroup   matvec        few rows     vocab rows    matvec_many   norm_qkv      router        gate_up       down          tokens     norm  attention         decode  gemm               batch submit
constexpr Tuning table[] = {
    {32,        {128, 32, 1}, {32, 32, 1}, {128, 32, 2}, {128, 32, 4}, {512, 32, 1}, {256, 32, 1}, {512, 16, 1}, {256, 32, 1}, {1, 4, 8}, 512, 256, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 2048},
    {4,         {64, 4, 4},   {64, 4, 1},  {64, 4, 4},   {64, 4, 4},   {64, 4, 1},   {64, 4, 1},   {64, 4, 2},   {64, 4, 4},   {1, 4, 8}, 256, 128, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 1024},
    {0,         {64, 4, 4},   {64, 4, 1},  {64, 4, 4},   {64, 4, 4},   {64, 4, 1},   {64, 4, 1},   {64, 4, 2},   {64, 4, 4},   {1, 4, 8}, 256, 128, 64, 2, 32,  16,     17, tall, narrow, few_rows, narrow, 2048, 1024},
};
// On a CPU the compiler's time counts, and it grows with the tile.
constexpr Tuning software =
    {0,         {64, 4, 1},   {64, 4, 1},  {64, 4, 1},   {64, 4, 1},   {256, 4, 1},  {64, 4, 1},   {128, 4, 1},  {64, 4, 1},   {1, 8, 8}, 256, 128, 64, 2, 2,   16,     17, small, small, small, small, 256, 512};
// clang-format on

}  // namespace

Tuning tuning_for(std::uint32_t subgroup_size, bool is_software) {
  const std::uint32_t usable =
      std::has_single_bit(subgroup_size) && subgroup_size >= 4 && subgroup_size <= 128 ? subgroup_size : 0;
  // The first line whose subgroups are not wider than the device's.
  Tuning tuning =
      is_software ? software : *std::find_if(std::begin(table), std::end(table), [&](const Tuning& line) {
        return line.subgroup_size <= usable;
      });
  tuning.subgroup_size = usable;
  return tuning;
}

}  // namespace trine::wgpu
