#include "device/self_test.h"

#include "base/index.h"
#include "model/open_slot.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

namespace trine::device {
namespace {

using model::Stage;
using model::Weight;
using Doubles = std::vector<double>;
using Floats = std::span<const float>;

constexpr std::int64_t sampled_rows = 256;  // of a matrix

// What a stage may be off by, as a relative L2. Rounding to blocks of 8 bits costs a product up to 1.3 % a
// factor, and a cache of f16 up to a percent of the attention; a wrong kernel is off by tens.
constexpr double exact_tolerance = 2e-3;
constexpr double fast_tolerance = 5e-2;

// What is smaller may become 0, which no kernel is to blame for: f32 ends at 2^-126 and f16 at 2^-14, below
// which a device need not go, and a block of 8-bit numbers has a 127th of its largest as its scale.
constexpr double smallest = 0x1p-119;
constexpr double smallest_in_cache = 0x1p-14;

double norm_of(std::span<const double> values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

double norm_of(Floats values) {
  return norm_of(Doubles(values.begin(), values.end()));
}

bool fit_floats(const Doubles& values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return std::abs(value) <= std::numeric_limits<float>::max(); });
}

std::vector<float> decode_row(const Weight& weight, std::int64_t row, std::int64_t expert = 0) {
  std::vector<float> values(at(weight.columns));
  weight.codec->decode_row(weight.row(row, expert), values.size(), values.data());
  return values;
}

// The stages that the test judges, of all rows of a batch.
class Seen final : public model::TraceSink {
 public:
  explicit Seen(std::vector<int> layers) : layers_(std::move(layers)) {}
  bool wants(Stage stage, int layer) override {
    const auto of = [&](int one) { return std::find(layers_.begin(), layers_.end(), one) != layers_.end(); };
    return layer < 0 || of(layer) || (stage == Stage::layer_out && of(layer + 1));
  }
  void take(Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
            Floats values) override {
    Taken& taken = taken_[{stage, layer}];
    taken.width = at(width);
    taken.values.resize(std::max(taken.values.size(), at((first_row + rows) * width)));
    std::copy(values.begin(), values.end(), taken.values.begin() + first_row * width);
  }
  // Empty when the stage never came, or with another width.
  Floats row(Stage stage, int layer, std::size_t row, std::int64_t width) const {
    const auto found = taken_.find({stage, layer});
    if (found == taken_.end() || found->second.width != at(width)) return {};
    const std::span<const float> all(found->second.values);
    return (row + 1) * at(width) <= all.size() ? all.subspan(row * at(width), at(width)) : Floats();
  }

 private:
  struct Taken {
    std::size_t width = 0;
    std::vector<float> values;
  };
  std::vector<int> layers_;
  std::map<std::pair<Stage, int>, Taken> taken_;
};

// What the host expects of a sample of a stage's values.
struct Sample {
  std::vector<std::size_t> places;  // in the stage's row
  Doubles values;
  double least_size = 0;  // of `values`, below which it is not the measure of an error: sums may cancel
  double slack = 0;       // what small numbers, and rounding others that were added, may cost, as an L2

  void add(std::size_t place, double value) {
    places.push_back(place);
    values.push_back(value);
  }
};

class Judge {
 public:
  Judge(const model::Weights& weights, const std::vector<int>& layers, bool exact)
      : weights_(weights),
        c_(weights.config),
        rope_(model::rope_table(weights.config)),
        exact_(exact),
        product_tolerance_(exact ? exact_tolerance : fast_tolerance) {
    for (const int layer : layers) history_[layer];
  }

  // Judges row `row` of a batch, whose token stands at `position`. Rows before it are remembered.
  Result<void> judge(const Seen& seen, std::size_t row, std::int32_t token, std::int32_t position) {
    const Place place{seen, row, position};
    TRINE_CHECK_OK(judge_embedding(place, token));
    for (const auto& [layer, history] : history_) {
      const Floats x = layer == 0 ? place.get(Stage::embed, -1, c_.hidden_size)
                                  : place.get(Stage::layer_out, layer - 1, c_.hidden_size);
      TRINE_CHECK_OK(judge_attention(place, layer, x));
      TRINE_CHECK_OK(judge_experts(place, layer));
    }
    return judge_head(place);
  }

  // The keys and values that later rows attend to.
  void remember(const Seen& seen, std::size_t row) {
    for (auto& [layer, history] : history_) {
      const Floats qk = seen.row(Stage::qk_norm_rope, layer, row, c_.q_size() + c_.kv_size());
      const Floats qkv = seen.row(Stage::qkv, layer, row, c_.q_size() + 2 * c_.kv_size());
      if (qk.empty() || qkv.empty()) return;
      const Floats k = qk.last(at(c_.kv_size())), v = qkv.last(at(c_.kv_size()));
      history.keys.insert(history.keys.end(), k.begin(), k.end());
      history.values.insert(history.values.end(), v.begin(), v.end());
    }
  }

 private:
  struct Place {
    const Seen& seen;
    std::size_t row;
    std::int32_t position;
    Floats get(Stage stage, int layer, std::int64_t width) const {
      return seen.row(stage, layer, row, width);
    }
  };
  struct History {
    std::vector<float> keys, values;  // [position][K]
  };

  Result<void> judge_embedding(const Place& p, std::int32_t token) const {
    const std::vector<float> expected = decode_row(weights_.embed, token);
    return hold(p, Stage::embed, -1, c_.hidden_size, whole({expected.begin(), expected.end()}),
                exact_tolerance);
  }

  Result<void> judge_attention(const Place& p, int layer, Floats x) const {
    const model::LayerWeights& w = weights_.layers[at(layer)];
    const std::int64_t q = c_.q_size(), kv = c_.kv_size();
    TRINE_CHECK_OK(judge_norm(p, Stage::attn_norm, layer, x, w.attn_norm));
    const Floats h = p.get(Stage::attn_norm, layer, c_.hidden_size);
    std::int64_t first = 0;
    Sample qkv;
    for (const Weight* weight : {&w.attn_q, &w.attn_k, &w.attn_v}) {
      append(qkv, product(*weight, h, 0, first));
      first += weight->rows;
    }
    TRINE_CHECK_OK(hold(p, Stage::qkv, layer, q + 2 * kv, qkv, product_tolerance_));
    const Floats qkv_row = p.get(Stage::qkv, layer, q + 2 * kv);
    TRINE_CHECK_OK(
        hold(p, Stage::qk_norm_rope, layer, q + kv, whole(rotated(w, qkv_row, p.position)), exact_tolerance));
    Sample mixed = whole(attended(p, layer));
    if (!exact_) mixed.slack = smallest_in_cache * std::sqrt(static_cast<double>(q));
    TRINE_CHECK_OK(hold(p, Stage::attention, layer, q, mixed, product_tolerance_));
    Sample out = product(w.attn_output, p.get(Stage::attention, layer, q));
    return hold_change(p, Stage::attn_out, layer, x, out);
  }

  Result<void> judge_experts(const Place& p, int layer) const {
    const model::LayerWeights& w = weights_.layers[at(layer)];
    const std::int64_t h = c_.hidden_size, f = c_.expert_ffn_size, top = c_.experts_per_token;
    const Floats stream = p.get(Stage::attn_out, layer, h);
    TRINE_CHECK_OK(judge_norm(p, Stage::ffn_norm, layer, stream, w.ffn_norm));
    const Floats g = p.get(Stage::ffn_norm, layer, h);
    TRINE_CHECK_OK(
        hold(p, Stage::router_logits, layer, c_.n_experts, product(w.router, g), product_tolerance_));
    TRINE_CHECK_OK(judge_choice(p, layer));
    const Floats ids = p.get(Stage::expert_ids, layer, top);
    const Floats weights = p.get(Stage::expert_weights, layer, top);
    TRINE_CHECK_OK(hold(p, Stage::expert_act, layer, top * f, activations(w, ids, g), product_tolerance_));
    const Floats act = p.get(Stage::expert_act, layer, top * f);
    Sample moe;
    for (std::int64_t rank = 0; rank < top; ++rank) {
      const auto expert = static_cast<std::int64_t>(ids[at(rank)]);
      const Sample one = product(w.expert_down, act.subspan(at(rank * f), at(f)), expert);
      if (rank == 0) moe = Sample{one.places, Doubles(one.values.size())};
      for (std::size_t i = 0; i < one.values.size(); ++i)
        moe.values[i] += static_cast<double>(weights[at(rank)]) * one.values[i];
      moe.least_size = std::hypot(moe.least_size, weights[at(rank)] * one.least_size);
      moe.slack += weights[at(rank)] * one.slack;
    }
    TRINE_CHECK_OK(hold(p, Stage::moe_out, layer, h, moe, product_tolerance_));
    const Floats moe_out = p.get(Stage::moe_out, layer, h);
    return hold_change(p, Stage::layer_out, layer, stream, whole({moe_out.begin(), moe_out.end()}));
  }

  Result<void> judge_head(const Place& p) const {
    const Floats x = p.get(Stage::layer_out, c_.n_layers - 1, c_.hidden_size);
    TRINE_CHECK_OK(judge_norm(p, Stage::final_norm, -1, x, weights_.output_norm));
    return hold(p, Stage::logits, -1, c_.vocab_size,
                product(weights_.output, p.get(Stage::final_norm, -1, c_.hidden_size)), product_tolerance_);
  }

  Result<void> judge_norm(const Place& p, Stage stage, int layer, Floats x, const Weight& weight) const {
    return hold(p, stage, layer, c_.hidden_size, whole(rms_norm(x, decode_row(weight, 0))), exact_tolerance);
  }

  // The ids that follow from the device's own logits, ties to the lower one, and their weights.
  Result<void> judge_choice(const Place& p, int layer) const {
    const Floats logits = p.get(Stage::router_logits, layer, c_.n_experts);
    const Floats ids = p.get(Stage::expert_ids, layer, c_.experts_per_token);
    const bool are_experts = !ids.empty() && std::all_of(ids.begin(), ids.end(), [&](float id) {
      return id >= 0 && id < static_cast<float>(c_.n_experts);
    });
    if (!are_experts) return fail(wrong(Stage::expert_ids, layer, "numbers of experts", "others"));
    if (!fit_floats({logits.begin(), logits.end()})) return {};
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    order.resize(at(c_.experts_per_token));
    const bool same = std::equal(ids.begin(), ids.end(), order.begin(), [](float id, std::size_t expected) {
      return id == static_cast<float>(expected);
    });
    if (!same) return fail(wrong(Stage::expert_ids, layer, "the largest router logits", "others"));
    Doubles expected;
    for (const std::size_t id : order) expected.push_back(std::exp(double{logits[id]} - logits[order[0]]));
    const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
    for (double& one : expected) one /= sum;
    return hold(p, Stage::expert_weights, layer, c_.experts_per_token, whole(std::move(expected)),
                exact_tolerance);
  }

  // ---- What the host expects ----

  static Sample whole(Doubles values) {
    Sample sample;
    sample.places.resize(values.size());
    std::iota(sample.places.begin(), sample.places.end(), std::size_t{0});
    sample.values = std::move(values);
    return sample;
  }

  static void append(Sample& sample, const Sample& more) {
    sample.places.insert(sample.places.end(), more.places.begin(), more.places.end());
    sample.values.insert(sample.values.end(), more.values.begin(), more.values.end());
    sample.least_size = std::hypot(sample.least_size, more.least_size);
    sample.slack = std::hypot(sample.slack, more.slack);
  }

  // Rows of weight · x, the first at place `first` of its stage.
  static Sample product(const Weight& weight, Floats x, std::int64_t expert = 0, std::int64_t first = 0) {
    Sample sample;
    if (x.size() != at(weight.columns)) return sample;
    double squares = 0;
    Doubles slack;
    for (const std::int64_t row : rows_of(weight.rows)) {
      const std::vector<float> w = decode_row(weight, row, expert);
      sample.add(at(first + row), std::inner_product(w.begin(), w.end(), x.begin(), 0.0));
      squares += std::inner_product(w.begin(), w.end(), w.begin(), 0.0);
      // Each term may lose what x does, or what it falls below.
      slack.push_back(smallest * std::accumulate(w.begin(), w.end(), static_cast<double>(w.size()) / 128,
                                                 [](double sum, float one) { return sum + std::abs(one); }));
    }
    sample.slack = norm_of(slack);
    // What sums of terms with random signs come to.
    sample.least_size = std::sqrt(squares / static_cast<double>(weight.columns)) * norm_of(x);
    return sample;
  }

  static std::vector<std::int64_t> rows_of(std::int64_t n) {
    const std::int64_t step = (n + sampled_rows - 1) / sampled_rows;
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < n; row += step) rows.push_back(row);
    if (rows.back() != n - 1) rows.push_back(n - 1);
    return rows;
  }

  Doubles rms_norm(Floats x, const std::vector<float>& weight) const {
    Doubles out;
    if (x.size() != weight.size()) return out;
    const double size = norm_of(x);
    const double scale = 1 / std::sqrt(size * size / static_cast<double>(x.size()) + double{c_.rms_norm_eps});
    for (std::size_t i = 0; i < x.size(); ++i) out.push_back(x[i] * scale * weight[i]);
    return out;
  }

  // Head norms and rotations of q and k.
  Doubles rotated(const model::LayerWeights& w, Floats qkv, std::int32_t position) const {
    const std::vector<float> q_norm = decode_row(w.attn_q_norm, 0), k_norm = decode_row(w.attn_k_norm, 0);
    const std::size_t dim = at(c_.head_dim), half = dim / 2;
    Doubles out;
    for (std::size_t head = 0; head < at(c_.n_heads + c_.n_kv_heads); ++head) {
      const Doubles n = rms_norm(qkv.subspan(head * dim, dim), head < at(c_.n_heads) ? q_norm : k_norm);
      Doubles turned(dim);
      for (std::size_t d = 0; d < half; ++d) {
        const double angle = position * rope_.frequencies[d];
        const double cos = std::cos(angle) * rope_.scale, sin = std::sin(angle) * rope_.scale;
        turned[d] = n[d] * cos - n[d + half] * sin;
        turned[d + half] = n[d + half] * cos + n[d] * sin;
      }
      out.insert(out.end(), turned.begin(), turned.end());
    }
    return out;
  }

  // softmax(q·kᵀ/√D)·v over the positions up to this one, all of which are remembered.
  Doubles attended(const Place& p, int layer) const {
    const History& history = history_.at(layer);
    const std::size_t dim = at(c_.head_dim), kv = at(c_.kv_size()), n = at(p.position) + 1;
    const Floats q = p.get(Stage::qk_norm_rope, layer, c_.q_size() + c_.kv_size());
    Doubles out(at(c_.q_size()));
    for (std::size_t head = 0; head < at(c_.n_heads); ++head) {
      const std::size_t kv_at = head / at(c_.n_heads / c_.n_kv_heads) * dim;
      const float* query = &q[head * dim];
      Doubles scores(n);
      for (std::size_t pos = 0; pos < n; ++pos)
        scores[pos] = std::inner_product(query, query + dim, &history.keys[pos * kv + kv_at], 0.0) /
                      std::sqrt(static_cast<double>(dim));
      const double most = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& score : scores) sum += score = std::exp(score - most);
      for (std::size_t pos = 0; pos < n; ++pos)
        for (std::size_t d = 0; d < dim; ++d)
          out[head * dim + d] += scores[pos] / sum * history.values[pos * kv + kv_at + d];
    }
    return out;
  }

  // silu(gate)·up of the chosen experts.
  Sample activations(const model::LayerWeights& w, Floats ids, Floats g) const {
    Sample sample;
    for (std::size_t rank = 0; rank < ids.size(); ++rank) {
      const auto expert = static_cast<std::int64_t>(ids[rank]);
      const Sample gate = product(w.expert_gate, g, expert), up = product(w.expert_up, g, expert);
      for (std::size_t i = 0; i < gate.values.size(); ++i)
        sample.add(rank * at(c_.expert_ffn_size) + gate.places[i],
                   gate.values[i] / (1 + std::exp(-gate.values[i])) * up.values[i]);
      const double half = gate.least_size / 2;  // silu of what is small
      sample.least_size = std::hypot(sample.least_size,
                                     half * up.least_size / std::sqrt(static_cast<double>(up.values.size())));
    }
    return sample;
  }

  // ---- Holding the device to it ----

  static Error wrong(Stage stage, int layer, std::string expected, std::string actual) {
    const std::string where = layer < 0 ? std::string(model::name_of(stage))
                                        : fmt::format("layer {}, {}", layer, model::name_of(stage));
    return {.code = ErrorCode::inference,
            .what = "a kernel gives wrong numbers",
            .where = where,
            .expected = std::move(expected),
            .actual = std::move(actual)};
  }

  // A stream after something was added to it: judged by what was added.
  Result<void> hold_change(const Place& p, Stage stage, int layer, Floats before, Sample change) const {
    if (before.size() != at(c_.hidden_size)) return fail(wrong(stage, layer, "all its inputs", "not all"));
    change.slack += 1e-6 * norm_of(before);
    change.least_size = std::max(change.least_size, norm_of(change.values));
    for (std::size_t i = 0; i < change.values.size(); ++i) change.values[i] += before[change.places[i]];
    const double tolerance = stage == Stage::attn_out ? product_tolerance_ : exact_tolerance;
    return hold(p, stage, layer, c_.hidden_size, change, tolerance, true);
  }

  // `by_least`: least_size is the measure, and not the values' own.
  Result<void> hold(const Place& p, Stage stage, int layer, std::int64_t width, const Sample& expected,
                    double tolerance, bool by_least = false) const {
    const Floats actual = p.get(stage, layer, width);
    if (actual.empty() || expected.values.empty())
      return fail(wrong(stage, layer, fmt::format("{} values", width), "none"));
    Doubles difference;
    for (std::size_t i = 0; i < expected.values.size(); ++i)
      difference.push_back(actual[expected.places[i]] - expected.values[i]);
    if (!fit_floats(expected.values)) return {};  // nor would another device have numbers here
    const double own = by_least ? 0 : norm_of(expected.values);
    const double size = std::max(own, expected.least_size), error = norm_of(difference);
    const double slack = expected.slack + smallest * std::sqrt(static_cast<double>(difference.size()));
    if (error <= tolerance * size + slack) return {};
    return fail(wrong(stage, layer, fmt::format("a relative L2 of at most {:g}", tolerance),
                      fmt::format("{:.3g} at position {}", error / size, p.position)));
  }

  const model::Weights& weights_;
  const model::Config& c_;
  model::RopeTable rope_;
  bool exact_;
  double product_tolerance_;
  std::map<int, History> history_;
};

// Runs the batches of a self-test and has their first and last rows judged.
class Bench {
 public:
  Bench(model::DeviceModel& model, model::OpenSlot slot, const model::Weights& weights)
      : model_(model),
        slot_(std::move(slot)),
        weights_(weights),
        layers_(judged_layers(weights.config.n_layers)),
        judge_(weights, layers_, model.describe().numerics == model::Numerics::exact) {}

  // The next `n` tokens as one batch.
  Result<void> run(std::int32_t n) {
    const model::Step step = next_step(n);
    Seen seen(layers_);
    TRINE_TRY(const model::StepOutput traced, model_.run(step, &seen));
    for (std::size_t row = 0; row < step.rows.size(); ++row) {
      judge_.remember(seen, row);
      const bool judged = row == 0 || row + 1 == step.rows.size();
      if (judged) TRINE_CHECK_OK(judge_.judge(seen, row, step.rows[row].token, step.rows[row].position));
    }
    // What users run, with kernels fused where nobody looks.
    TRINE_TRY(const model::StepOutput untraced, model_.run(step));
    const std::size_t bytes = traced.logits.size() * sizeof(float);
    if (untraced.logits.size() != traced.logits.size() ||
        std::memcmp(traced.logits.data(), untraced.logits.data(), bytes) != 0)
      return fail({.code = ErrorCode::inference,
                   .what = "a kernel gives other numbers when no stage is asked for",
                   .where = "logits",
                   .expected = "the same bytes",
                   .actual = "others"});
    position_ += n;
    return {};
  }

 private:
  static std::vector<int> judged_layers(int n_layers) {
    return n_layers == 1 ? std::vector<int>{0} : std::vector<int>{0, n_layers - 1};
  }

  model::Step next_step(std::int32_t n) const {
    model::Step step;
    for (std::int32_t position = position_; position < position_ + n; ++position) {
      const std::int64_t token = (std::int64_t{position} * 7919 + 11) % weights_.config.vocab_size;
      step.rows.push_back({static_cast<std::int32_t>(token), position, slot_.id(), model::Wants::logits});
    }
    return step;
  }

  model::DeviceModel& model_;
  model::OpenSlot slot_;
  const model::Weights& weights_;
  std::vector<int> layers_;
  Judge judge_;
  std::int32_t position_ = 0;
};

// A token that the device chose at position 0 is the sampler's of the same logits. Draws that fall on the
// edge between two tokens may differ by a rounding, so of several one may.
Result<void> judge_choices(model::DeviceModel& model, const sampling::SamplingParams& params) {
  constexpr std::int32_t draws = 4;
  // A vocabulary may have a single token.
  const std::int32_t last = model.config().vocab_size - 1;
  const std::vector<std::int32_t> prompt = {0, std::min(1, last), std::min(1, last), std::min(2, last)};
  const bool greedy = params.temperature == 0;
  std::int32_t different = 0;
  model::Choosing choosing{.params = params, .prompt = prompt};
  for (choosing.params.seed = 1; choosing.params.seed <= draws; ++choosing.params.seed) {
    TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(model, choosing));
    const std::int32_t token = static_cast<std::int32_t>(choosing.params.seed) % model.config().vocab_size;
    TRINE_TRY(const model::StepOutput output, model.run({{{token, 0, slot.id(), model::Wants::both}}}));
    sampling::Sampler sampler(choosing.params);
    sampler.accept_prompt(prompt);
    const Result<std::int32_t> expected = sampler.sample(output.logits);
    // Logits that are no numbers let nobody choose.
    different += output.tokens.front() != (expected ? *expected : model::no_token) ? 1 : 0;
  }
  if (different <= (greedy ? 0 : 1)) return {};
  return fail({.code = ErrorCode::inference,
               .what = "a kernel chooses wrong tokens",
               .where = greedy ? "greedy choice" : "choice by a draw",
               .expected = "those of the sampler",
               .actual = fmt::format("{} of {} others", different, draws)});
}

Result<void> judge_all_choices(model::DeviceModel& model) {
  TRINE_CHECK_OK(judge_choices(model, {.temperature = 0}));
  TRINE_CHECK_OK(judge_choices(model, {.temperature = 0.7f, .top_k = 20, .top_p = 0.8f}));
  return judge_choices(model, {.temperature = 1.0f,
                               .min_p = 0.01f,
                               .repeat_penalty = 1.3f,
                               .presence_penalty = 0.5f,
                               .frequency_penalty = 0.5f,
                               .logit_bias = {{0, 2.0f}}});
}

Result<void> judge_stages(model::DeviceModel& model, const model::Weights& weights, bool many_rows) {
  TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open_whole(model));
  Bench bench(model, std::move(slot), weights);
  // The second token has something to attend to.
  TRINE_CHECK_OK(bench.run(1));
  TRINE_CHECK_OK(bench.run(1));
  if (!many_rows) return {};
  // More rows than the decode kernels take, and no multiple of a tile.
  TRINE_CHECK_OK(bench.run(std::min(21, model.limits().rows)));
  return bench.run(1);
}

}  // namespace

Result<void> self_test(model::DeviceModel& model, const model::Weights& weights, const Judged& judged) {
  TRINE_CHECK_OK(judge_stages(model, weights, judged.many_rows));
  return judged.choices ? judge_all_choices(model) : Result<void>();
}

model::Weights first_and_last_layer(const model::Weights& weights) {
  model::Weights some = weights;
  if (some.layers.size() > 2) some.layers = {weights.layers.front(), weights.layers.back()};
  some.config.n_layers = static_cast<std::int32_t>(some.layers.size());
  return some;
}

}  // namespace trine::device
