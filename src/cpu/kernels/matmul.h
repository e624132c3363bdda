#pragma once

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/unpack.h"

// The two matrix products, for any instruction set S and block type.
//
// N tokens, C columns, R rows, P = S::lanes rows to a group, T tokens to a tile. A row group is unpacked into
// panels of 256 columns, up to eight of them, which stay in the second-level cache; then a tile of tokens,
// which stays in the first, takes its dot products with them, with its running sums in registers. A few
// tokens take one row after the other instead (rows.h).
//
// The order of sums is one, so a token's result has the same bits alone and in any tile, group or split, and
// on every instruction set that has fused multiply-adds. With 8-bit activations: a sub-block of 32 columns,
// or a half of it where it has two scales, is an integer dot product, which is exact. Sub-block s is added to
// running sum s mod 8: dot · (scale · d), first half first, then the minima are taken off. At the end
// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).

namespace trine::cpu {
namespace {  // see the top of unpack.h

// Tokens whose running sums are kept while a row group is walked.
inline constexpr std::int64_t token_group = 64;
// Panels that are unpacked together.
inline constexpr int most_panels = 8;

// The panels of a row group that tiles are multiplied with: all have eight sub-blocks but the last of a row.
template <typename S>
struct Panels {
  Panel<S> at[most_panels];
  int count;
  int sub_blocks_of_last;
  std::int64_t first;  // of the row, in groups of 256 columns
};

// Running sums by [sub-block mod 8][token].
template <typename S>
using RunningSums = typename S::Floats[group_sub_blocks][token_group];

// body(first row, rows, whole): row groups that cover [0, n_rows). The last group steps back over rows
// already done rather than past the end; fewer than P rows are taken one by one, in all lanes at once (whole
// = false).
template <typename S, typename F>
void each_row_group(const WeightRows& w, F&& body) {
  const auto stride = static_cast<std::ptrdiff_t>(w.row_bytes);
  if (w.count < S::lanes) {
    for (std::int64_t r = 0; r < w.count; ++r) body(r, RowGroup{w.first + r * stride, 0}, false);
    return;
  }
  for (std::int64_t r = 0; r < w.count; r += S::lanes) {
    const std::int64_t first = r + S::lanes <= w.count ? r : w.count - S::lanes;
    body(first, RowGroup{w.first + first * stride, stride}, true);
  }
}

template <typename S>
void store_outputs(typename S::Floats value, bool whole, float* out) {
  if (whole)
    S::store(out, value);
  else
    *out = S::first(value);
}

// Asks for the bytes that row groups later on will want, a panel's worth at a time. A prefetch never faults,
// so it may point past the last row.
inline void prefetch_ahead(const std::byte* from, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
}

// dots[t] less the type's offset times what the token's bytes add up to.
template <typename S, int offset>
typename S::Bits begin_dot([[maybe_unused]] const std::int32_t& count) {
  if constexpr (offset == 0) return S::splat(0);
  if constexpr (requires { S::template begin_dot<offset>(count); })
    return S::template begin_dot<offset>(count);
  return S::splat(static_cast<std::uint32_t>(-offset * count));
}

// Row groups that a tile takes side by side: where registers allow, an activation that is loaded once serves
// several.
template <typename S>
constexpr int groups_together() {
  if constexpr (requires { S::groups_together; }) return S::groups_together;
  return 1;
}

// out[r][t]: += Σ of the bytes of w[r] times token t's.
template <typename S, typename U, int steps, int R, int T>
void add_dots(const typename S::Bits* const (&w)[R], const std::int8_t* const (&q)[T], std::ptrdiff_t offset,
              typename S::Bits (&out)[R][T]) {
  if constexpr (R == 1)
    S::template add_dots<U, steps, T>(w[0], q, offset, out[0]);
  else
    S::template add_dots<U, steps, R, T>(w, q, offset, out);
}

// sums[…][…][first …] += the columns of R row groups' panels times the T tokens of a tile.
template <typename S, typename U, int R, int T>
[[gnu::flatten]] void dot_tile(const Panels<S>* panels, const Q8Group* const* tokens, RunningSums<S>* sums,
                               int first) {
  constexpr int steps = 8 / U::halves;
  const Q8Group* group[T];
  each<T>([&](auto t) { group[t] = tokens[t] + panels[0].first; });
  const bool begins = panels[0].first == 0;
  for (int sub = 0; sub < group_sub_blocks; ++sub) {
    const int count = panels[0].count - (sub < panels[0].sub_blocks_of_last ? 0 : 1);
    typename S::Floats sum[R][T];
    each<R>([&](auto r) {
      each<T>([&](auto t) { sum[r][t] = begins ? S::splat_float(0.0f) : sums[r][sub][first + t]; });
    });
    for (int g = 0; g < count; ++g) {
      each<U::halves>([&](auto half) {
        typename S::Bits dot[R][T];
        const typename S::Bits* w[R];
        const std::int8_t* q[T];
        each<R>([&](auto r) { w[r] = panels[r].at[g].q[sub] + steps * half; });
        each<T>([&](auto t) {
          const Q8Group& x = group[t][g];
          q[t] = x.q;
          const auto begin =
              begin_dot<S, U::offset>(U::halves == 2 ? x.half_counts[half][sub] : x.counts[sub]);
          each<R>([&](auto r) { dot[r][t] = begin; });
        });
        add_dots<S, U, steps>(w, q, 32 * sub + 16 * half, dot);
        each<T>([&](auto t) {
          const auto d = S::splat_float(group[t][g].d[sub]);
          each<R>([&](auto r) {
            const auto scale = S::multiply(panels[r].at[g].scale[sub][half], d);
            sum[r][t] = S::multiply_add(S::to_float(dot[r][t]), scale, sum[r][t]);
          });
        });
      });
      if constexpr (U::has_min)
        each<U::halves>([&](auto half) {
          each<T>([&](auto t) {
            const Q8Group& x = group[t][g];
            const auto x_sum = S::splat_float(U::halves == 2 ? x.half_sums[half][sub] : x.sums[sub]);
            each<R>([&](auto r) {
              sum[r][t] = S::subtract_product(panels[r].at[g].min[sub][half], x_sum, sum[r][t]);
            });
          });
        });
    }
    each<R>([&](auto r) { each<T>([&](auto t) { sums[r][sub][first + t] = sum[r][t]; }); });
  }
}

// Tokens from t on. A row group without another is the last of its rows at most, and worth no tiles of its
// own.
template <typename S, typename U, int R>
void dot_tiles(const Panels<S>* panels, const Q8Group* const* tokens, int t, int n, RunningSums<S>* sums) {
  if constexpr (R == groups_together<S>()) {
    for (; t + S::tile <= n; t += S::tile) dot_tile<S, U, R, S::tile>(panels, tokens + t, sums, t);
    if constexpr (S::tile > 4)
      for (; t + 4 <= n; t += 4) dot_tile<S, U, R, 4>(panels, tokens + t, sums, t);
  }
  for (; t + 2 <= n; t += 2) dot_tile<S, U, R, 2>(panels, tokens + t, sums, t);
  if (t < n) dot_tile<S, U, R, 1>(panels, tokens + t, sums, t);
}

// An instruction set may have a unit for products of matrices, with a state for each product of `columns` of
// `tokens`, that takes as many of a tile's tokens as it is good for.
template <typename S>
concept HasMatrixUnit = requires {
  typename S::MatrixUnit;
};
struct NoMatrixUnit {
  NoMatrixUnit(int /*columns*/, int /*tokens*/) {}
};
template <typename S>
struct MatrixUnitChoice {
  using Type = NoMatrixUnit;
};
template <HasMatrixUnit S>
struct MatrixUnitChoice<S> {
  using Type = typename S::MatrixUnit;
};

// Columns from group `first` on of the row group, as many as panels hold, with `next` moved on by as much.
template <typename S, gguf::TensorType type>
void unpack_panels(RowGroup rows, std::int64_t first, std::int64_t n_sub_blocks, const std::byte*& next,
                   Panels<S>& panels) {
  panels.first = first;
  std::int64_t sub = first * group_sub_blocks;
  for (panels.count = 0; panels.count < most_panels && sub < n_sub_blocks; sub += group_sub_blocks) {
    using Block = typename Unpack<S, type>::Block;
    constexpr std::int64_t panel_bytes =
        S::lanes * group_columns / Block::elements * static_cast<std::int64_t>(sizeof(Block));
    prefetch_ahead(next, panel_bytes);
    next += panel_bytes;
    const std::int64_t left = n_sub_blocks - sub;
    panels.sub_blocks_of_last = static_cast<int>(left < group_sub_blocks ? left : group_sub_blocks);
    Panel<S>& panel = panels.at[panels.count++];
    unpack<S, type>(rows, sub, panels.sub_blocks_of_last, panel);
    if constexpr (requires { S::pair_rows(panel.q[0]); })
      for (int i = 0; i < panels.sub_blocks_of_last; ++i) S::pair_rows(panel.q[i]);
  }
}

template <typename S, gguf::TensorType type>
void tiles_q8(const WeightRows& w, const Q8Group* const* tokens, int n, std::int64_t n_sub_blocks, float* out,
              std::int64_t out_stride) {
  using U = Unpack<S, type>;
  constexpr int together = groups_together<S>();
  [[maybe_unused]] typename MatrixUnitChoice<S>::Type unit(32 / U::halves, n);
  // The row groups that wait for as many as are taken together.
  struct Waiting {
    std::int64_t row;
    RowGroup rows;
    const std::byte* next;
  };
  const auto run = [&]<int R>(std::integral_constant<int, R>, Waiting(&waiting)[together], bool whole) {
    Panels<S> panels[R];
    RunningSums<S> sums[R];
    for (std::int64_t first = 0; first * group_sub_blocks < n_sub_blocks; first += most_panels) {
      each<R>([&](auto r) {
        unpack_panels<S, type>(waiting[r].rows, first, n_sub_blocks, waiting[r].next, panels[r]);
      });
      int t = 0;
      if constexpr (HasMatrixUnit<S>)
        each<R>([&](auto r) { t = unit.template take<U>(panels[r], tokens, n, sums[r]); });
      dot_tiles<S, U, R>(panels, tokens, t, n, sums);
    }
    each<R>([&](auto r) {
      for (int t = 0; t < n; ++t) {
        const auto pair = [&](int l) { return S::add(sums[r][l][t], sums[r][l + 4][t]); };
        store_outputs<S>(S::add(S::add(pair(0), pair(2)), S::add(pair(1), pair(3))), whole,
                         out + t * out_stride + waiting[r].row);
      }
    });
  };
  int held = 0;
  Waiting waiting[together];
  each_row_group<S>(w, [&](std::int64_t r, RowGroup rows, bool whole) {
    // What is read after all that are taken together: in these rows, or as far behind what comes next.
    const std::int64_t behind = r + together * S::lanes;
    const std::byte* const next = behind < w.count ? rows.first + together * S::lanes * rows.stride
                                                   : w.next + held * S::lanes * rows.stride;
    waiting[held++] = {r, rows, next};
    const bool is_last = r + (whole ? S::lanes : 1) >= w.count;
    if (held == together) {
      run(std::integral_constant<int, together>(), waiting, whole);
      held = 0;
    } else if (is_last || !whole) {
      run(std::integral_constant<int, 1>(), waiting, whole);
      held = 0;
    }
  });
}

template <typename S, gguf::TensorType type>
void matmul_q8(const WeightRows& w, const Activations& x, float* out, std::int64_t out_stride) {
  const std::int64_t n_sub_blocks = x.columns / q8_block;
  const std::int64_t n_groups = q8_groups(x.columns);
  for (std::int64_t first = 0; first < x.rows; first += token_group, out += token_group * out_stride) {
    const auto n = static_cast<int>(x.rows - first < token_group ? x.rows - first : token_group);
    const Q8Group* tokens[token_group];
    for (int t = 0; t < n; ++t) tokens[t] = x.q8 + x.row(first + t) * n_groups;
    if constexpr (S::has_rows) {
      using R = typename S::Row;
      if (n < S::fewest_for_tiles) {
        int t = 0;
        for (; t + 2 <= n; t += 2)
          rows_q8<R, type, 2>(w, tokens + t, n_groups, n_sub_blocks, out + t * out_stride, out_stride);
        if (t < n)
          rows_q8<R, type, 1>(w, tokens + t, n_groups, n_sub_blocks, out + t * out_stride, out_stride);
        continue;
      }
    }
    tiles_q8<S, type>(w, tokens, n, n_sub_blocks, out, out_stride);
  }
}

// 256 columns of a row group as fp32, lane r holding row r.
template <typename S>
struct FloatPanel {
  typename S::Floats w[32 * group_sub_blocks];
};

// The values that quant::Codec decodes, bit for bit: every product here has few enough digits to be exact, so
// the one rounding is that of the final subtraction.
template <typename S, typename U>
void to_floats(const Panel<S>& panel, int n_sub_blocks, FloatPanel<S>& floats) {
  for (int sub = 0; sub < n_sub_blocks; ++sub) {
    each<8>([&](auto step) {
      constexpr int half = U::halves == 2 ? step / 4 : 0;
      each<4>([&](auto b) {
        typename S::Floats q;
        if constexpr (U::is_signed)
          q = signed_byte_of<S, b>(panel.q[sub][step]);
        else
          q = byte_of<S, b>(panel.q[sub][step]);
        if constexpr (U::offset != 0) q = S::subtract(q, S::splat_float(U::offset));
        auto w = S::multiply(q, panel.scale[sub][half]);
        if constexpr (U::has_min) w = S::subtract(w, panel.min[sub][half]);
        floats.w[32 * sub + 4 * step + b] = w;
      });
    });
  }
}

// `count` columns from `column` on; rows of F32, F16 and BF16 may have any number of columns, as `count`
// says.
template <typename S, gguf::TensorType type>
[[gnu::flatten]] void load_floats(RowGroup rows, std::int64_t column, int count, FloatPanel<S>& floats) {
  if constexpr (type == gguf::TensorType::F32) {
    rows = rows.at(4 * column);
    typename S::Bits v[4];
    int c = 0;
    for (; c + 4 <= count; c += 4) {
      S::load_16_bytes(rows.at(4 * c), v);
      each<4>([&](auto k) { floats.w[c + k] = S::as_float(v[k]); });
    }
    for (; c < count; ++c) floats.w[c] = S::as_float(S::load_4_bytes(rows.at(4 * c)));
  } else if constexpr (type == gguf::TensorType::F16 || type == gguf::TensorType::BF16) {
    const auto widen = [](auto bits) {
      if constexpr (type == gguf::TensorType::F16)
        return S::from_half(bits);
      else
        return S::as_float(S::template shift_left<16>(bits));
    };
    rows = rows.at(2 * column);
    typename S::Bits v[4];
    int c = 0;
    for (; c + 8 <= count; c += 8) {
      S::load_16_bytes(rows.at(2 * c), v);
      each<4>([&](auto k) {
        floats.w[c + 2 * k] = widen(v[k]);
        floats.w[c + 2 * k + 1] = widen(S::template shift_right<16>(v[k]));
      });
    }
    for (; c < count; ++c) floats.w[c] = widen(S::load_2_bytes(rows.at(2 * c)));
  } else {
    Panel<S> panel;
    unpack<S, type>(rows, column / 32, count / 32, panel);
    to_floats<S, Unpack<S, type>>(panel, count / 32, floats);
  }
}

// Four running sums, over the columns of the same remainder by four.
template <typename S>
struct FloatSums {
  typename S::Floats by_column[4];
};

template <typename S, int T>
[[gnu::flatten]] void dot_tile_f32(const FloatPanel<S>& panel, int count, const float* const* tokens,
                                   FloatSums<S>* sums) {
  typename S::Floats sum[T][4];
  each<T>([&](auto t) { each<4>([&](auto k) { sum[t][k] = sums[t].by_column[k]; }); });
  int c = 0;
  for (; c + 4 <= count; c += 4)
    each<4>([&](auto k) {
      const auto w = panel.w[c + k];
      each<T>([&](auto t) { sum[t][k] = S::multiply_add(w, S::splat_float(tokens[t][c + k]), sum[t][k]); });
    });
  each<3>([&](auto k) {
    if (c + k < count)
      each<T>([&](auto t) {
        sum[t][k] = S::multiply_add(panel.w[c + k], S::splat_float(tokens[t][c + k]), sum[t][k]);
      });
  });
  each<T>([&](auto t) { each<4>([&](auto k) { sums[t].by_column[k] = sum[t][k]; }); });
}

constexpr int float_panel_columns = 32 * group_sub_blocks;

// A row group of floats times up to token_group tokens. `panel_at(column, count)` loads `count` columns.
template <typename S, typename F>
void dot_group_f32(const Activations& x, std::int64_t first, int n, F&& panel_at, FloatSums<S>* sums) {
  const float* tokens[token_group];
  for (int t = 0; t < n; ++t) {
    tokens[t] = x.f32 + x.row(first + t) * x.columns;
    for (auto& sum : sums[t].by_column) sum = S::splat_float(0.0f);
  }
  for (std::int64_t column = 0; column < x.columns; column += float_panel_columns) {
    const std::int64_t left = x.columns - column;
    const int count = static_cast<int>(left < float_panel_columns ? left : float_panel_columns);
    const FloatPanel<S>& panel = panel_at(column, count);
    int t = 0;
    for (; t + 2 <= n; t += 2) dot_tile_f32<S, 2>(panel, count, tokens + t, sums + t);
    if (t < n) dot_tile_f32<S, 1>(panel, count, tokens + t, sums + t);
    for (int i = 0; i < n; ++i) tokens[i] += count;
  }
}

template <typename S>
typename S::Floats total(const FloatSums<S>& sums) {
  const auto& sum = sums.by_column;
  return S::add(S::add(sum[0], sum[1]), S::add(sum[2], sum[3]));
}

// Fewer rows than lanes, beside rows of zeros: the router of a model with few experts.
template <typename S>
void few_rows_f32(const WeightRows& w, const Activations& x, std::int64_t first, int n, float* out,
                  std::int64_t out_stride) {
  constexpr std::ptrdiff_t row_bytes = float_panel_columns * sizeof(float);
  std::byte padded[S::lanes * row_bytes] = {};
  FloatPanel<S> panel;
  FloatSums<S> sums[token_group];
  const auto panel_at = [&](std::int64_t column, int count) -> const FloatPanel<S>& {
    for (std::int64_t r = 0; r < w.count; ++r)
      __builtin_memcpy(padded + r * row_bytes,
                       w.first + r * w.row_bytes + column * static_cast<std::int64_t>(sizeof(float)),
                       static_cast<std::size_t>(count) * sizeof(float));
    load_floats<S, gguf::TensorType::F32>(RowGroup{padded, row_bytes}, 0, count, panel);
    return panel;
  };
  dot_group_f32<S>(x, first, n, panel_at, sums);
  for (int t = 0; t < n; ++t) {
    float lanes[S::lanes];
    S::store(lanes, total<S>(sums[t]));
    for (std::int64_t r = 0; r < w.count; ++r) out[(first + t) * out_stride + r] = lanes[r];
  }
}

template <typename S, gguf::TensorType type>
void matmul_f32(const WeightRows& w, const Activations& x, float* out, std::int64_t out_stride) {
  for (std::int64_t first = 0; first < x.rows; first += token_group) {
    const auto n = static_cast<int>(x.rows - first < token_group ? x.rows - first : token_group);
    if constexpr (type == gguf::TensorType::F32)
      if (w.count < S::lanes) {
        few_rows_f32<S>(w, x, first, n, out, out_stride);
        continue;
      }
    each_row_group<S>(w, [&](std::int64_t r, RowGroup rows, bool whole) {
      FloatPanel<S> panel;
      FloatSums<S> sums[token_group];
      const auto panel_at = [&](std::int64_t column, int count) -> const FloatPanel<S>& {
        load_floats<S, type>(rows, column, count, panel);
        return panel;
      };
      dot_group_f32<S>(x, first, n, panel_at, sums);
      for (int t = 0; t < n; ++t)
        store_outputs<S>(total<S>(sums[t]), whole, out + (first + t) * out_stride + r);
    });
  }
}

template <typename S, gguf::TensorType type, bool exact>
constexpr MatMul pick() {
  using enum gguf::TensorType;
  if constexpr (!is_built(type))
    return nullptr;
  else if constexpr (exact || type == F32 || type == F16 || type == BF16)
    return matmul_f32<S, type>;
  else
    return matmul_q8<S, type>;
}

// Null for a type that quant::all_codecs() lacks.
template <typename S, bool exact>
MatMul find_matmul(gguf::TensorType type) {
  using enum gguf::TensorType;
  switch (type) {
    case F32:
      return pick<S, F32, exact>();
    case F16:
      return pick<S, F16, exact>();
    case BF16:
      return pick<S, BF16, exact>();
    case Q4_0:
      return pick<S, Q4_0, exact>();
    case Q4_1:
      return pick<S, Q4_1, exact>();
    case Q5_0:
      return pick<S, Q5_0, exact>();
    case Q5_1:
      return pick<S, Q5_1, exact>();
    case Q8_0:
      return pick<S, Q8_0, exact>();
    case Q2_K:
      return pick<S, Q2_K, exact>();
    case Q3_K:
      return pick<S, Q3_K, exact>();
    case Q4_K:
      return pick<S, Q4_K, exact>();
    case Q5_K:
      return pick<S, Q5_K, exact>();
    case Q6_K:
      return pick<S, Q6_K, exact>();
    case IQ4_NL:
      return pick<S, IQ4_NL, exact>();
    case IQ4_XS:
      return pick<S, IQ4_XS, exact>();
    case MXFP4:
      return pick<S, MXFP4, exact>();
    case IQ2_XXS:
      return pick<S, IQ2_XXS, exact>();
    case IQ2_XS:
      return pick<S, IQ2_XS, exact>();
    case IQ2_S:
      return pick<S, IQ2_S, exact>();
    case IQ3_XXS:
      return pick<S, IQ3_XXS, exact>();
    case IQ3_S:
      return pick<S, IQ3_S, exact>();
    case IQ1_S:
      return pick<S, IQ1_S, exact>();
    case IQ1_M:
      return pick<S, IQ1_M, exact>();
    case TQ1_0:
      return pick<S, TQ1_0, exact>();
    case TQ2_0:
      return pick<S, TQ2_0, exact>();
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace trine::cpu
