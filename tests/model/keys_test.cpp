// Every key that other engines read for this architecture, at values that change nothing and at values that
// would: what happens is what docs/gguf.md says. What is honoured is compared with an independent computation
// in tests/reference/variants_test.cpp.

#include "model/config.h"

#include "model/fake_model.h"
#include "temporary_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <functional>
#include <set>

namespace trine::model {
namespace {

using test::GgufBuilder;
using testing::HasSubstr;
using Put = std::function<void(GgufBuilder&, const std::string&)>;

Put u(std::uint32_t value) {
  return [=](GgufBuilder& b, const std::string& key) { b.u32(key, value); };
}
Put i(std::int32_t value) {
  return [=](GgufBuilder& b, const std::string& key) { b.i32(key, value); };
}
Put f(float value) {
  return [=](GgufBuilder& b, const std::string& key) { b.f32(key, value); };
}
Put flag(bool value) {
  return [=](GgufBuilder& b, const std::string& key) { b.boolean(key, value); };
}
Put text(const std::string& value) {
  return [=](GgufBuilder& b, const std::string& key) { b.string(key, value); };
}
Put us(const std::vector<std::uint32_t>& values) {
  return [=](GgufBuilder& b, const std::string& key) { b.u32s(key, values); };
}
Put fs(const std::vector<float>& values) {
  return [=](GgufBuilder& b, const std::string& key) {
    std::string payload = GgufBuilder::raw(std::uint32_t{6}) + GgufBuilder::raw(std::uint64_t{values.size()});
    for (const float value : values) payload += GgufBuilder::raw(value);
    b.entry(key, 9, payload);
  };
}

struct Row {
  std::string suffix;
  std::vector<Put> changes_nothing;
  std::vector<Put> refused;
  std::string says;  // the refusal, beside the key
};

// The fake model has 2 layers, 4 heads of 16 on 2 KV heads, 4 experts of 64 of which 2 are used.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      // What the model is made of, as one number for each layer.
      {"attention.head_count", {us({4, 4}), i(4)}, {us({4, 2}), us({}), text("4")}, ""},
      {"attention.head_count_kv", {us({2, 2}), u(2)}, {us({2, 1}), us({2, 0})}, "differ by layer"},
      {"attention.key_length", {us({16, 16}), u(16)}, {us({16, 8}), f(16)}, ""},
      {"attention.value_length", {us({16, 16}), u(16)}, {u(8)}, "values of another size"},
      {"expert_feed_forward_length", {us({64, 64}), u(0)}, {us({64, 32})}, "differ by layer"},
      {"expert_used_count", {us({2, 2})}, {us({2, 1}), u(5), u(0)}, ""},
      {"feed_forward_length", {u(0), u(1000), us({7, 8})}, {}, ""},
      {"vocab_size", {u(10)}, {u(11)}, ""},
      {"rope.dimension_count", {u(16)}, {u(8), u(32)}, "a part of the head"},
      {"rope.freq_base", {fs({10000, 10000})}, {fs({10000, 500}), f(0), text("x")}, ""},
      // Scaling of rotary embedding.
      {"rope.scaling.type", {text("none"), text("linear")}, {text("longrope"), text(""), u(1)}, ""},
      {"rope.scaling.factor", {f(0), f(1)}, {f(-1), f(0.5f), text("4")}, ""},
      {"rope.scale_linear", {f(0), f(1)}, {f(-1)}, ""},
      {"rope.scaling.attn_factor", {f(1)}, {f(0), f(-1), text("1")}, ""},
      {"rope.scaling.yarn_ext_factor", {f(-1), f(0)}, {f(1), f(0.5f)}, "extrapolation factor"},
      {"rope.scaling.yarn_attn_factor", {f(1), f(-1)}, {f(1.5f), f(0)}, "attention factor"},
      {"rope.scaling.yarn_beta_fast", {f(32), f(3)}, {}, ""},
      {"rope.scaling.yarn_beta_slow", {f(1), f(3)}, {}, ""},
      {"rope.scaling.yarn_log_multiplier", {f(0)}, {f(0.1f)}, "log multiplier"},
      {"rope.scaling.original_context_length", {u(0), u(4096)}, {}, ""},
      {"rope.scaling.finetuned", {flag(false), flag(true)}, {}, ""},
      {"rope.scaling.alpha", {f(0), f(1)}, {f(2)}, "alpha"},
      {"rope.dimension_sections", {us({0, 0, 0, 0})}, {us({8, 4, 4})}, "rotary"},
      // Attention.
      {"attention.scale", {f(0)}, {f(0.5f)}, "attention scale"},
      {"attention.output_scale", {f(0), f(1)}, {f(2)}, "attention output"},
      {"attention.value_scale", {f(0), f(1)}, {f(2)}, "scaled values"},
      {"attention.temperature_scale", {f(0)}, {f(0.1f)}, "temperature"},
      {"attention.temperature_length", {u(0)}, {u(8192)}, "temperature"},
      {"attention.clamp_kqv", {f(0)}, {f(8)}, "clamped"},
      {"attention.max_alibi_bias", {f(0)}, {f(8)}, "ALiBi"},
      {"attention.causal", {flag(true)}, {flag(false)}, "not causal"},
      {"attention.sliding_window", {u(0)}, {u(4096)}, "sliding-window"},
      {"attention.sliding_window_pattern", {us({0, 0})}, {us({1, 0}), u(4)}, "sliding-window"},
      {"attention.shared_kv_layers", {u(0)}, {u(1)}, "share keys"},
      {"attn_logit_softcapping", {f(0), f(50)}, {f(20)}, "soft-capped attention"},
      // Experts.
      {"expert_weights_scale", {f(0), f(1)}, {f(2.5f)}, "scaled expert weights"},
      {"expert_weights_norm", {flag(true), flag(false)}, {}, ""},
      {"expert_gating_func", {u(0), u(1)}, {u(2), u(3)}, "without softmax"},
      {"expert_group_count", {u(0), u(1)}, {u(2)}, "expert groups"},
      {"expert_group_used_count", {u(0), u(1)}, {u(2)}, "expert groups"},
      {"expert_group_scale", {f(0), f(0.05f), f(1)}, {f(2)}, "expert groups"},
      {"experts_per_group", {u(0)}, {u(2)}, "expert groups"},
      {"expert_shared_count", {u(0)}, {u(1)}, "shared experts"},
      {"expert_shared_feed_forward_length", {u(0)}, {u(64)}, "shared experts"},
      {"router_logit_softcapping", {f(0), f(30)}, {f(20)}, "soft-capped router"},
      {"swiglu_clamp_exp", {fs({0, 0}), f(0)}, {fs({0, 7}), fs({7, 7})}, "clamped activations"},
      {"swiglu_clamp_shexp", {fs({0, 0})}, {fs({7, 7})}, "clamped activations"},
      {"moe_every_n_layers", {u(0), u(1)}, {u(2)}, "dense layers"},
      {"interleave_moe_layer_step", {u(0), u(1)}, {u(2)}, "dense layers"},
      {"leading_dense_block_count", {u(0)}, {u(1)}, "dense layers"},
      // The rest of the model.
      {"logit_scale", {f(0), f(1)}, {f(0.5f)}, "scaled logits"},
      {"final_logit_softcapping", {f(0), f(30)}, {f(20)}, "soft-capped logits"},
      {"embedding_scale", {f(0), f(1)}, {f(12)}, "scaled embeddings"},
      {"residual_scale", {f(0), f(1)}, {f(0.2f)}, "scaled residuals"},
      {"use_parallel_residual", {flag(false)}, {flag(true)}, "parallel residuals"},
      {"pooling_type", {u(0), u(4294967295)}, {u(1)}, "pooled"},
      {"nextn_predict_layers", {u(0)}, {u(1)}, "next-token prediction"},
  };
  return all;
}

std::string numbers_of(const Config& c) {
  const RopeScaling& r = c.rope_scaling;
  const bool yarn = r.kind == RopeScaling::Kind::yarn;
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} / {} {} {}", c.n_layers, c.hidden_size, c.n_heads,
                     c.n_kv_heads, c.head_dim, c.n_experts, c.experts_per_token, c.expert_ffn_size,
                     c.vocab_size, c.context_length, c.rms_norm_eps, c.rope_theta, yarn, r.factor,
                     r.attention_factor);
}

Result<Config> read_with(const std::string& suffix, const Put& put) {
  GgufBuilder builder = test::fake_model();
  put(builder, "qwen3moe." + suffix);
  const std::string bytes = builder.build();
  const auto file = gguf::File::parse(test::as_bytes(bytes), "fake.gguf");
  if (!file) return fail(file.error());
  return read_config(*file);
}

TEST(Keys, ChangeNothingOrAreRefusedByName) {
  const auto plain = read_with("general.nothing", u(0));
  ASSERT_TRUE(plain.has_value());
  for (const Row& row : rows()) {
    for (std::size_t n = 0; n < row.changes_nothing.size(); ++n) {
      const auto config = read_with(row.suffix, row.changes_nothing[n]);
      ASSERT_TRUE(config.has_value()) << row.suffix << " value " << n << ": " << to_string(config.error());
      EXPECT_EQ(numbers_of(*config), numbers_of(*plain)) << row.suffix << " value " << n;
      EXPECT_TRUE(config->warnings.empty()) << row.suffix;
    }
    for (std::size_t n = 0; n < row.refused.size(); ++n) {
      const auto config = read_with(row.suffix, row.refused[n]);
      ASSERT_FALSE(config.has_value()) << row.suffix << " value " << n;
      const std::string error = to_string(config.error());
      EXPECT_THAT(error, HasSubstr("qwen3moe." + row.suffix));
      EXPECT_THAT(error, HasSubstr(row.says));
    }
  }
}

// Beside yarn, two keys have other neutral values.
TEST(Keys, OfYarn) {
  const auto with = [](const std::string& suffix, float value) {
    return read_with(suffix, [&](GgufBuilder& b, const std::string& key) {
      b.string("qwen3moe.rope.scaling.type", "yarn").f32("qwen3moe.rope.scaling.factor", 4).f32(key, value);
    });
  };
  for (const float neutral : {1.0f, -1.0f}) {
    const auto config = with("rope.scaling.yarn_ext_factor", neutral);
    ASSERT_TRUE(config.has_value()) << to_string(config.error());
    EXPECT_DOUBLE_EQ(config->rope_scaling.attention_factor, 1.138629436111989);
  }
  for (const float other : {0.0f, 0.5f, 2.0f}) EXPECT_FALSE(with("rope.scaling.yarn_ext_factor", other));
  for (const float same : {1.1386294f, -1.0f}) {
    const auto config = with("rope.scaling.yarn_attn_factor", same);
    ASSERT_TRUE(config.has_value()) << to_string(config.error());
    EXPECT_TRUE(config->warnings.empty());
  }
  const auto saved_again = with("rope.scaling.yarn_attn_factor", 1);
  ASSERT_TRUE(saved_again.has_value());
  EXPECT_THAT(saved_again->warnings, testing::ElementsAre(HasSubstr("1.1386")));
  for (const float other : {1.2f, 0.0f}) EXPECT_FALSE(with("rope.scaling.yarn_attn_factor", other));
}

// Every key of this table is in the documentation's, and the other way round.
TEST(Keys, AreAllDocumented) {
  std::set<std::string> tested;
  for (const Row& row : rows()) tested.insert(row.suffix);
  for (const std::string required : {"block_count", "embedding_length", "expert_count", "context_length",
                                     "attention.layer_norm_rms_epsilon"})
    tested.insert(required);  // tests/model/config_test.cpp
  std::set<std::string> documented;
  std::istringstream page(test::file_bytes(TRINE_SOURCE_DIR "/docs/gguf.md"));
  for (std::string line; std::getline(page, line);) {
    const std::string start = "| `<arch>.";
    if (!line.starts_with(start)) continue;
    documented.insert(line.substr(start.size(), line.find('`', start.size()) - start.size()));
  }
  EXPECT_EQ(documented, tested);
}

}  // namespace
}  // namespace trine::model
