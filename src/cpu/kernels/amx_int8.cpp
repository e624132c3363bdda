#include "cpu/kernels/kernels.h"

#include "cpu/kernels/avx512_intrinsics.h"

#include "cpu/kernels/avx512_panel.h"

namespace trine::cpu {
namespace {

// Products of AVX-512, but for tiles of many tokens, whose integers the matrix unit multiplies: 16 tokens'
// bytes [16][K] times a panel's step of 16 rows, which lies as the unit wants it, [K/4][16 rows][4 bytes].
struct AmxInt8 : Avx512Panel {
  // For what few tokens the unit leaves.
  static constexpr int tile = 2;
  static constexpr int groups_together = 1;

  class MatrixUnit;
};

class AmxInt8::MatrixUnit {
 public:
  // For sub-blocks of `columns` of `n` tokens.
  MatrixUnit(int columns, int n) {
    // Tile registers are of a configured size. Tiles 0 … 2 are for 16 tokens, 3 … 5 for those behind them:
    // the dot products, the tokens, the panel.
    Configuration c;
    const int rest = rest_of(n);
    for (const int first : {0, 3}) {
      const auto rows = static_cast<std::uint8_t>(first == 0 ? most_tokens : rest);
      if (rows == 0) continue;
      c.row_bytes[first] = 64;
      c.rows[first] = rows;
      c.row_bytes[first + 1] = static_cast<std::uint16_t>(columns);
      c.rows[first + 1] = rows;
      c.row_bytes[first + 2] = 64;
      c.rows[first + 2] = static_cast<std::uint8_t>(columns / 4);
    }
    // Compilers do not see that the unit reads memory, here and below.
    asm volatile("" ::: "memory");
    _tile_loadconfig(&c);
  }
  // Else every switch to another thread would save and load eight kilobytes.
  ~MatrixUnit() { _tile_release(); }
  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;

  // Takes the first tokens of n into the sums, and says how many.
  template <typename U>
  int take(const Panels<AmxInt8>& panels, const Q8Group* const* tokens, int n, RunningSums<AmxInt8>& sums) {
    const int rest = rest_of(n), taken = n - n % most_tokens + rest;
    if (taken == 0) return 0;
    arrange(panels, tokens, taken);
    asm volatile("" ::: "memory");
    for (int t = 0; t + most_tokens <= taken; t += most_tokens)
      dot_matrix<U, most_tokens>(panels, tokens + t, most_tokens, sums, t);
    if (rest > 0) dot_matrix<U, 0>(panels, tokens + taken - rest, rest, sums, taken - rest);
    return taken;
  }

 private:
  static constexpr int most_tokens = 16;
  // Fewer take AVX-512 less.
  static constexpr int fewest_tokens = 6;

  struct alignas(64) Configuration {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
  static_assert(sizeof(Configuration) == 64);

  // The tokens behind the last 16, where they are enough.
  static constexpr int rest_of(int n) {
    const int rest = n % most_tokens;
    return rest < fewest_tokens ? 0 : rest;
  }

  // Rows of a tile lie at one distance; tokens that an expert has chosen here and there are copied, once for
  // all row groups where one pass over the panels is a whole row.
  void arrange(const Panels<AmxInt8>& panels, const Q8Group* const* tokens, int n) {
    if (arranged_first_ == panels.first && arranged_count_ == panels.count) return;
    arranged_first_ = panels.first;
    arranged_count_ = panels.count;
    token_stride_ = tokens[1]->q - tokens[0]->q;
    for (int t = 2; t < n; ++t)
      if (tokens[t]->q - tokens[t - 1]->q != token_stride_) token_stride_ = 0;
    group_stride_ = sizeof(Q8Group);
    first_ = tokens[0][panels.first].q;
    if (token_stride_ > 0) return;
    for (int t = 0; t < n; ++t)
      for (int g = 0; g < panels.count; ++g)
        __builtin_memcpy(copy_[t][g], tokens[t][panels.first + g].q, group_columns);
    token_stride_ = sizeof copy_[0];
    group_stride_ = sizeof copy_[0][0];
    first_ = copy_[0][0];
  }

  // dots[token][row] of one sub-block or half of it.
  template <bool all>
  static void dot(const std::int8_t* tokens, std::ptrdiff_t stride, const Bits* panel, std::int32_t* dots) {
    if constexpr (all) {
      _tile_zero(0);
      _tile_loadd(1, tokens, stride);
      _tile_loadd(2, panel, 64);
      _tile_dpbsud(0, 1, 2);
      _tile_stored(0, dots, 64);
    } else {
      _tile_zero(3);
      _tile_loadd(4, tokens, stride);
      _tile_loadd(5, panel, 64);
      _tile_dpbsud(3, 4, 5);
      _tile_stored(3, dots, 64);
    }
  }

  // As dot_tile() of matmul.h, for n tokens; where T is not 0 it is n.
  template <typename U, int T>
  [[gnu::flatten]] void dot_matrix(const Panels<AmxInt8>& panels, const Q8Group* const* tokens, int n,
                                   RunningSums<AmxInt8>& sums, int first) const {
    constexpr int steps = 8 / U::halves;
    const std::int8_t* const q = first_ + first * token_stride_;
    const bool begins = panels.first == 0;
    alignas(64) std::int32_t dots[2][most_tokens][lanes];
    for (int sub = 0; sub < group_sub_blocks; ++sub) {
      const int count = panels.count - (sub < panels.sub_blocks_of_last ? 0 : 1);
      Floats sum[most_tokens];
      for (int t = 0; t < (T != 0 ? T : n); ++t) sum[t] = begins ? splat_float(0.0f) : sums[sub][first + t];
      for (int g = 0; g < count; ++g) {
        const Panel<AmxInt8>& panel = panels.at[g];
        each<U::halves>([&](auto half) {
          dot<T != 0>(q + g * group_stride_ + 32 * sub + 16 * half, token_stride_,
                      panel.q[sub] + steps * half, dots[half][0]);
        });
        for (int t = 0; t < (T != 0 ? T : n); ++t) {
          const Q8Group& x = tokens[t][panels.first + g];
          const Floats d = splat_float(x.d[sub]);
          each<U::halves>([&](auto half) {
            Bits one = _mm512_load_si512(dots[half][t]);
            if constexpr (U::offset != 0)
              one = _mm512_add_epi32(
                  one, begin_dot<U::offset>(U::halves == 2 ? x.half_counts[half][sub] : x.counts[sub]));
            sum[t] = multiply_add(to_float(one), multiply(panel.scale[sub][half], d), sum[t]);
          });
          if constexpr (U::has_min)
            each<U::halves>([&](auto half) {
              const float x_sum = U::halves == 2 ? x.half_sums[half][sub] : x.sums[sub];
              sum[t] = subtract_product(panel.min[sub][half], splat_float(x_sum), sum[t]);
            });
        }
      }
      for (int t = 0; t < (T != 0 ? T : n); ++t) sums[sub][first + t] = sum[t];
    }
  }

  std::int64_t arranged_first_ = -1;
  int arranged_count_ = 0;
  std::ptrdiff_t token_stride_ = 0, group_stride_ = 0;
  const std::int8_t* first_ = nullptr;  // of token 0
  alignas(64) std::int8_t copy_[token_group][most_panels][group_columns];
};

}  // namespace

// All else is AVX-512's.
const Kernels& amx_int8_kernels() {
  static const Kernels kernels = [] {
    Kernels same = avx512vnni_kernels();
    same.isa = "amx-int8";
    same.fast = [](gguf::TensorType type) { return find_matmul<AmxInt8, false>(type); };
    return same;
  }();
  return kernels;
}

}  // namespace trine::cpu
