#include "reference/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

// The definition of a Qwen3-MoE model, to be read from top to bottom: the arithmetic, one step of the model
// per function, and the order of the steps at the end.
//
// Activations are fp32. Every sum (dot product, norm, softmax, weighted sum) is made in fp64 in a fixed order
// and rounded once; so are the functions of one value (rotation, silu). No result depends on how many threads
// there are or on how the tokens are cut into batches. The angle of a rotation, position · frequency, and its
// cos and sin are fp64 too.
//
// Dimensions: T tokens of this pass, of all its sequences; P positions of one sequence, H hidden_size, D
// head_dim, Q n_heads·D, K n_kv_heads·D, E experts, k experts_per_token, F expert_ffn_size, V vocabulary. All
// arrays are row-major.

namespace trine::reference {
namespace {

using model::Stage;
using model::Weight;
using Floats = std::vector<float>;

constexpr std::int64_t rows_per_task = 16;

std::size_t times(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>(a * b);
}

// ---- Arithmetic ----

// Eight interleaved partial sums, so that the loop can be vectorised in the order it is written.
double dot(const float* a, const float* b, std::int64_t n) {
  double sums[8] = {};
  const std::int64_t whole = n - n % 8;
  for (std::int64_t i = 0; i < whole; i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(a[i + lane]) * b[i + lane];
  for (std::int64_t i = whole; i < n; ++i) sums[i - whole] += static_cast<double>(a[i]) * b[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// out = x / sqrt(mean(x²) + eps) · weight. `out` may be `x`.
void rms_norm(const float* x, const Floats& weight, float eps, float* out) {
  const auto n = static_cast<std::int64_t>(weight.size());
  const double scale = 1.0 / std::sqrt(dot(x, x, n) / static_cast<double>(n) + eps);
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i] * scale * weight[i]);
}

void softmax(std::vector<double>& x) {
  const double max = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value - max);
  for (double& value : x) value /= sum;
}

float silu(float x) {
  return static_cast<float>(x / (1.0 + std::exp(-static_cast<double>(x))));
}

// The k largest, in falling order; of equal ones the lower index first. Distinct whatever the
// numbers: a NaN is larger than nothing.
std::vector<int> top_k(std::span<const float> x, int k) {
  std::vector<int> rest(x.size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = static_cast<int>(i);
  std::vector<int> chosen;
  while (static_cast<int>(chosen.size()) < k) {
    auto best = rest.begin();
    for (auto it = rest.begin(); it != rest.end(); ++it)
      if (x[*it] > x[*best]) best = it;
    chosen.push_back(*best);
    rest.erase(best);
  }
  return chosen;
}

Floats decode_vector(const Weight& weight) {
  Floats values(static_cast<std::size_t>(weight.columns));
  weight.codec->decode_row(weight.row(0), values.size(), values.data());
  return values;
}

// ---- One pass over the model ----

// A token's place in the batch of one expert.
struct Routed {
  std::int64_t token;
  int rank;
};

// A token's place: its sequence, and its position there.
struct Place {
  Sequence* sequence;
  std::int32_t token;
  std::int64_t position;
};

class Pass {
 public:
  Pass(const model::Weights& weights, const model::RopeTable& rope, std::span<const Part> parts,
       ThreadPool& pool, model::TraceSink* trace)
      : weights_(weights), config_(weights.config), parts_(parts), pool_(pool), trace_(trace) {
    for (const Part& part : parts)
      for (std::int64_t position = part.sequence->length; const std::int32_t token : part.tokens)
        places_.push_back({part.sequence, token, position++});
    n_tokens_ = static_cast<std::int64_t>(places_.size());
    tabulate(rope);
  }

  Floats forward_qwen3_moe() {
    embed();
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      attention_forward_layer(layer);
      moe_ffn_forward_layer(layer);
    }
    for (const Part& part : parts_) part.sequence->length += static_cast<std::int32_t>(part.tokens.size());
    return head();
  }

 private:
  void attention_forward_layer(int layer) {
    const model::LayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    const Floats h = norm(w.attn_norm, Stage::attn_norm, layer);
    const Floats qkv = project_qkv(w, layer, h);
    const Floats qk = normalise_and_rotate(w, layer, qkv);
    remember(layer, qkv, qk);
    const Floats attended = attend(layer, qk);
    add_to_stream(multiply(w.attn_output, attended), Stage::attn_out, layer);
  }

  void moe_ffn_forward_layer(int layer) {
    const model::LayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    const Floats g = norm(w.ffn_norm, Stage::ffn_norm, layer);
    route_tokens(w, layer, g);
    const Floats expert_out = expert_swiglu(w, layer, g);
    const Floats moe_out = weigh(layer, expert_out);
    add_to_stream(moe_out, Stage::layer_out, layer);
  }

  // x = embed[token].
  void embed() {
    const Weight& table = weights_.embed;
    x_.resize(times(n_tokens_, config_.hidden_size));
    for (std::int64_t t = 0; t < n_tokens_; ++t)
      table.codec->decode_row(table.row(places_[t].token), table.columns, &x_[times(t, table.columns)]);
    emit(Stage::embed, -1, x_, config_.hidden_size);
  }

  // rmsnorm(x)·w: [T][H].
  Floats norm(const Weight& weight, Stage stage, int layer) {
    const Floats w = decode_vector(weight);
    Floats out(x_.size());
    for (std::int64_t t = 0; t < n_tokens_; ++t) {
      const std::size_t at = times(t, config_.hidden_size);
      rms_norm(&x_[at], w, config_.rms_norm_eps, &out[at]);
    }
    emit(stage, layer, out, config_.hidden_size);
    return out;
  }

  // [T][Q+K+K]: q, k and v of each token.
  Floats project_qkv(const model::LayerWeights& w, int layer, const Floats& h) {
    const std::int64_t q = config_.q_size(), kv = config_.kv_size(), width = q + 2 * kv;
    Floats qkv(times(n_tokens_, width));
    multiply_into(w.attn_q, 0, h, &qkv[0], width);
    multiply_into(w.attn_k, 0, h, &qkv[q], width);
    multiply_into(w.attn_v, 0, h, &qkv[q + kv], width);
    emit(Stage::qkv, layer, qkv, width);
    return qkv;
  }

  // [T][Q+K]: rmsnorm of each head, then the rotation of its pairs (d, d + D/2) by position · frequency.
  Floats normalise_and_rotate(const model::LayerWeights& w, int layer, const Floats& qkv) {
    const Floats q_norm = decode_vector(w.attn_q_norm);
    const Floats k_norm = decode_vector(w.attn_k_norm);
    const std::int64_t n_heads = config_.n_heads + config_.n_kv_heads, width = n_heads * config_.head_dim;
    Floats qk(times(n_tokens_, width));
    for (std::int64_t t = 0; t < n_tokens_; ++t) {
      const float* in = &qkv[times(t, config_.q_size() + 2 * config_.kv_size())];
      for (std::int64_t head = 0; head < n_heads; ++head) {
        float* out = &qk[times(t, width) + times(head, config_.head_dim)];
        rms_norm(in + head * config_.head_dim, head < config_.n_heads ? q_norm : k_norm, config_.rms_norm_eps,
                 out);
        rotate(t, out);
      }
    }
    emit(Stage::qk_norm_rope, layer, qk, width);
    return qk;
  }

  void rotate(std::int64_t t, float* head) {
    const std::int64_t half = config_.head_dim / 2;
    for (std::int64_t d = 0; d < half; ++d) {
      const double cos = cos_[times(t, half) + d], sin = sin_[times(t, half) + d];
      const double a = head[d], b = head[d + half];
      head[d] = static_cast<float>(a * cos - b * sin);
      head[d + half] = static_cast<float>(b * cos + a * sin);
    }
  }

  // The new keys and values, after those of earlier passes: [P][K].
  void remember(int layer, const Floats& qkv, const Floats& qk) {
    const std::int64_t q = config_.q_size(), kv = config_.kv_size();
    for (std::int64_t t = 0; t < n_tokens_; ++t) {
      Floats& keys = places_[t].sequence->keys[static_cast<std::size_t>(layer)];
      Floats& values = places_[t].sequence->values[static_cast<std::size_t>(layer)];
      const float* k = &qk[times(t, q + kv) + q];
      const float* v = &qkv[times(t, q + 2 * kv) + q + kv];
      keys.insert(keys.end(), k, k + kv);
      values.insert(values.end(), v, v + kv);
    }
  }

  // softmax(q·kᵀ/√D)·v over this and all earlier positions: [T][Q]. Each key head serves n_heads / n_kv_heads
  // queries.
  Floats attend(int layer, const Floats& qk) {
    const std::int64_t dim = config_.head_dim, kv = config_.kv_size(), q = config_.q_size();
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
    Floats out(times(n_tokens_, q));
    pool_.parallel_for(n_tokens_ * config_.n_heads, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t t = i / config_.n_heads, head = i % config_.n_heads;
        const std::int64_t kv_at = head / (config_.n_heads / config_.n_kv_heads) * dim;
        const float* keys = places_[t].sequence->keys[static_cast<std::size_t>(layer)].data();
        const float* values = places_[t].sequence->values[static_cast<std::size_t>(layer)].data();
        const float* query = &qk[times(t, q + kv) + times(head, dim)];
        std::vector<double> p(static_cast<std::size_t>(places_[t].position + 1));
        for (std::size_t pos = 0; pos < p.size(); ++pos)
          p[pos] = dot(query, keys + pos * kv + kv_at, dim) * scale;
        softmax(p);
        std::vector<double> sum(static_cast<std::size_t>(dim));
        for (std::size_t pos = 0; pos < p.size(); ++pos)
          for (std::int64_t d = 0; d < dim; ++d) sum[d] += p[pos] * values[pos * kv + kv_at + d];
        std::copy(sum.begin(), sum.end(), &out[times(t, q) + times(head, dim)]);
      }
    });
    emit(Stage::attention, layer, out, q);
    return out;
  }

  // Each token's experts and their weights, [T][k]: softmax over ALL experts, the top k, renormalised to
  // sum 1. Chosen by logits, which order experts as probabilities do and tell apart those whose probability
  // is 0 for being 745 and more below the largest.
  void route_tokens(const model::LayerWeights& w, int layer, const Floats& g) {
    const std::int64_t n_experts = config_.n_experts, top = config_.experts_per_token;
    const Floats logits = multiply(w.router, g);
    expert_ids_.resize(times(n_tokens_, top));
    expert_weights_.resize(times(n_tokens_, top));
    for (std::int64_t t = 0; t < n_tokens_; ++t) {
      const float* row = &logits[times(t, n_experts)];
      std::vector<double> p(row, row + n_experts);
      softmax(p);
      const std::vector<int> chosen = top_k({row, p.size()}, config_.experts_per_token);
      double sum = 0;
      for (int expert : chosen) sum += p[static_cast<std::size_t>(expert)];
      for (std::int64_t rank = 0; rank < top; ++rank) {
        const auto expert = static_cast<std::size_t>(chosen[rank]);
        expert_ids_[times(t, top) + rank] = static_cast<float>(expert);
        expert_weights_[times(t, top) + rank] = static_cast<float>(p[expert] / sum);
      }
    }
    emit(Stage::router_logits, layer, logits, n_experts);
    emit(Stage::expert_ids, layer, expert_ids_, top);
    emit(Stage::expert_weights, layer, expert_weights_, top);
  }

  // W_down (silu(W_gate g) ⊙ W_up g) of each token's experts, in rank order: [T][k][H]. The tokens of an
  // expert run together; an expert that no token chose is not read.
  Floats expert_swiglu(const model::LayerWeights& w, int layer, const Floats& g) {
    const std::int64_t h = config_.hidden_size, f = config_.expert_ffn_size, top = config_.experts_per_token;
    std::vector<std::vector<Routed>> routed(static_cast<std::size_t>(config_.n_experts));
    for (std::int64_t t = 0; t < n_tokens_; ++t)
      for (int rank = 0; rank < top; ++rank)
        routed[static_cast<std::size_t>(expert_ids_[times(t, top) + rank])].push_back({t, rank});

    Floats act(times(n_tokens_ * top, f));
    Floats out(times(n_tokens_ * top, h));
    for (std::int64_t expert = 0; expert < config_.n_experts; ++expert) {
      const std::vector<Routed>& users = routed[static_cast<std::size_t>(expert)];
      if (users.empty()) continue;
      Floats inputs;
      for (const Routed& user : users)
        inputs.insert(inputs.end(), &g[times(user.token, h)], &g[times(user.token, h)] + h);
      Floats hidden = multiply(w.expert_gate, inputs, expert);
      const Floats up = multiply(w.expert_up, inputs, expert);
      for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] = silu(hidden[i]) * up[i];
      const Floats down = multiply(w.expert_down, hidden, expert);
      for (std::size_t i = 0; i < users.size(); ++i) {
        const std::int64_t slot = users[i].token * top + users[i].rank;
        std::copy_n(&hidden[i * f], f, &act[times(slot, f)]);
        std::copy_n(&down[i * h], h, &out[times(slot, h)]);
      }
    }
    emit(Stage::expert_act, layer, act, top * f);
    return out;
  }

  // The weighted sum of each token's experts, in rank order: [T][H].
  Floats weigh(int layer, const Floats& expert_out) {
    const std::int64_t h = config_.hidden_size, top = config_.experts_per_token;
    Floats out(x_.size());
    for (std::int64_t t = 0; t < n_tokens_; ++t) {
      std::vector<double> sum(static_cast<std::size_t>(h));
      for (std::int64_t slot = t * top; slot < (t + 1) * top; ++slot)
        for (std::int64_t i = 0; i < h; ++i)
          sum[i] += static_cast<double>(expert_weights_[slot]) * expert_out[times(slot, h) + i];
      std::copy(sum.begin(), sum.end(), &out[times(t, h)]);
    }
    emit(Stage::moe_out, layer, out, h);
    return out;
  }

  // logits = W_out rmsnorm(x)·w, of the last n_logits tokens of each part.
  Floats head() {
    const Floats normed = norm(weights_.output_norm, Stage::final_norm, -1);
    const std::int64_t h = config_.hidden_size;
    Floats asked;
    std::int64_t end = 0;
    for (const Part& part : parts_) {
      end += static_cast<std::int64_t>(part.tokens.size());
      asked.insert(asked.end(), normed.begin() + (end - part.n_logits) * h, normed.begin() + end * h);
    }
    Floats logits = multiply(weights_.output, asked);
    emit_logits(logits);
    return logits;
  }

  void emit_logits(const Floats& logits) {
    if (!trace_ || !trace_->wants(Stage::logits, -1)) return;
    const std::int64_t vocab = config_.vocab_size;
    std::int64_t end = 0, done = 0;
    for (const Part& part : parts_) {
      end += static_cast<std::int64_t>(part.tokens.size());
      if (part.n_logits > 0)
        trace_->take(Stage::logits, -1, end - part.n_logits, part.n_logits, vocab,
                     std::span(logits).subspan(times(done, vocab), times(part.n_logits, vocab)));
      done += part.n_logits;
    }
  }

  void add_to_stream(const Floats& change, Stage stage, int layer) {
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] += change[i];
    emit(stage, layer, x_, config_.hidden_size);
  }

  // in [n][columns] times the transpose of the weight: [n][rows].
  Floats multiply(const Weight& weight, const Floats& in, std::int64_t expert = 0) {
    Floats out(in.size() / static_cast<std::size_t>(weight.columns) * static_cast<std::size_t>(weight.rows));
    multiply_into(weight, expert, in, out.data(), weight.rows);
    return out;
  }

  // The same into rows that lie `stride` apart. A weight row is decoded once for all inputs.
  void multiply_into(const Weight& weight, std::int64_t expert, const Floats& in, float* out,
                     std::int64_t stride) {
    const auto n = static_cast<std::int64_t>(in.size()) / weight.columns;
    pool_.parallel_for(weight.rows, rows_per_task, [&](std::int64_t begin, std::int64_t end, int) {
      Floats row(static_cast<std::size_t>(weight.columns));
      for (std::int64_t r = begin; r < end; ++r) {
        weight.codec->decode_row(weight.row(r, expert), row.size(), row.data());
        for (std::int64_t i = 0; i < n; ++i)
          out[i * stride + r] =
              static_cast<float>(dot(row.data(), &in[times(i, weight.columns)], weight.columns));
      }
    });
  }

  // cos and sin of position · frequency for every position of this pass: [T][D/2].
  void tabulate(const model::RopeTable& rope) {
    for (std::int64_t t = 0; t < n_tokens_; ++t)
      for (double frequency : rope.frequencies) {
        const double angle = static_cast<double>(places_[t].position) * frequency;
        cos_.push_back(std::cos(angle) * rope.scale);
        sin_.push_back(std::sin(angle) * rope.scale);
      }
  }

  void emit(Stage stage, int layer, const Floats& values, std::int64_t width) {
    if (trace_ && trace_->wants(stage, layer))
      trace_->take(stage, layer, 0, static_cast<std::int64_t>(values.size()) / width, width, values);
  }

  const model::Weights& weights_;
  const model::Config& config_;
  std::span<const Part> parts_;
  ThreadPool& pool_;
  model::TraceSink* trace_;
  std::vector<Place> places_;           // of each token
  std::int64_t n_tokens_ = 0;           // T
  std::vector<double> cos_, sin_;       // [T][D/2]
  Floats x_;                            // [T][H] the residual stream
  Floats expert_ids_, expert_weights_;  // [T][k] of the layer at hand
};

Result<void> check_part(const model::Config& config, const Part& part) {
  if (part.tokens.empty()) return fail(ErrorCode::inference, "there is no token to run");
  for (std::int32_t token : part.tokens)
    if (token < 0 || token >= config.vocab_size)
      return fail({.code = ErrorCode::inference,
                   .what = "a token is outside the vocabulary",
                   .expected = fmt::format("0 to {}", config.vocab_size - 1),
                   .actual = fmt::format("{}", token)});
  const auto room = static_cast<std::size_t>(config.context_length - part.sequence->length);
  if (part.tokens.size() > room)
    return fail(
        {.code = ErrorCode::inference,
         .what = "the sequence is longer than the model's context",
         .expected = fmt::format("at most {} tokens", config.context_length),
         .actual = fmt::format("{}", static_cast<std::size_t>(part.sequence->length) + part.tokens.size()),
         .hint = "shorten the prompt"});
  if (part.n_logits < 0 || part.n_logits > static_cast<std::int64_t>(part.tokens.size()))
    return fail({.code = ErrorCode::inference,
                 .what = "logits are wanted of tokens that are not there",
                 .expected = fmt::format("0 to {}", part.tokens.size()),
                 .actual = fmt::format("{}", part.n_logits)});
  return {};
}

}  // namespace

Model::Model(const model::Weights& weights) : weights_(weights), rope_(model::rope_table(weights.config)) {}

Result<std::vector<float>> Model::forward(Sequence& sequence, std::span<const std::int32_t> tokens,
                                          bool all_logits, ThreadPool& pool, model::TraceSink* trace) const {
  const Part part{&sequence, tokens, all_logits ? static_cast<std::int64_t>(tokens.size()) : 1};
  return forward(std::span(&part, 1), pool, trace);
}

Result<std::vector<float>> Model::forward(std::span<const Part> parts, ThreadPool& pool,
                                          model::TraceSink* trace) const {
  if (parts.empty()) return fail(ErrorCode::inference, "there is no token to run");
  for (const Part& part : parts) TRINE_CHECK_OK(check_part(weights_.config, part));
  for (const Part& part : parts) {
    part.sequence->keys.resize(weights_.layers.size());
    part.sequence->values.resize(weights_.layers.size());
  }
  return Pass(weights_, rope_, parts, pool, trace).forward_qwen3_moe();
}

}  // namespace trine::reference
