#include "contract/checks/lab.h"

#include "base/random.h"
#include "base/thread_pool.h"
#include "gguf/writer.h"
#include "model/open_slot.h"
#include "reference/model.h"

#include <fmt/format.h>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <numeric>
#include <span>
#include <system_error>
#include <utility>

namespace trine::contract {
namespace {

constexpr std::int64_t head_dim = 32;
constexpr std::int64_t n_heads = 2;
constexpr std::int64_t context_length = 512;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

// A folder that goes when this does.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> make() {
    std::error_code problem;
    const std::filesystem::path base = std::filesystem::temp_directory_path(problem);
    std::string name = (base / "trine-lab-XXXXXX").string();
    if (problem || ::mkdtemp(name.data()) == nullptr)
      return fail({.code = ErrorCode::io,
                   .what = "cannot make a temporary folder",
                   .where = name,
                   .hint = "set TMPDIR"});
    return TemporaryFolder(std::move(name));
  }
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/lab.gguf"; }

 private:
  std::string path_;
};

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> dims;  // innermost first
  std::vector<float> values;
};

std::vector<Tensor> tensors_of(const Lab& lab, const LabFile& file) {
  const std::int64_t h = Lab::hidden, q = n_heads * head_dim;
  const auto tensor = [](std::string name, std::vector<std::int64_t> dims, std::vector<float> values) {
    return Tensor{std::move(name), {dims.begin(), dims.end()}, std::move(values)};
  };
  const auto filled = [&](std::string name, std::vector<std::int64_t> dims, float value) {
    const std::int64_t n = std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
    return tensor(std::move(name), std::move(dims), std::vector<float>(size(n), value));
  };
  std::vector<Tensor> tensors = {
      tensor("token_embd.weight", {h, lab.vocab}, lab.embed),
      filled("output_norm.weight", {h}, 1),
      filled("blk.0.attn_norm.weight", {h}, 1),
      filled("blk.0.attn_q.weight", {h, q}, 0),
      filled("blk.0.attn_k.weight", {h, head_dim}, 0),
      filled("blk.0.attn_v.weight", {h, head_dim}, 0),
      filled("blk.0.attn_q_norm.weight", {head_dim}, 1),
      filled("blk.0.attn_k_norm.weight", {head_dim}, 1),
      filled("blk.0.attn_output.weight", {q, h}, 0),
      filled("blk.0.ffn_norm.weight", {h}, 1),
      tensor("blk.0.ffn_gate_inp.weight", {h, lab.n_experts}, lab.router),
      tensor("blk.0.ffn_gate_exps.weight", {h, lab.ffn, lab.n_experts}, lab.gate),
      tensor("blk.0.ffn_up_exps.weight", {h, lab.ffn, lab.n_experts}, lab.up),
      tensor("blk.0.ffn_down_exps.weight", {lab.ffn, h, lab.n_experts}, lab.down),
  };
  std::erase_if(tensors, [&](const Tensor& one) { return one.name == file.without; });
  if (!file.with.empty()) tensors.push_back(filled(file.with, {h}, 0));
  return tensors;
}

Result<void> add_metadata(gguf::Writer& writer, const Lab& lab, const LabFile& file) {
  const std::int64_t top = file.experts_per_token == 0 ? lab.experts_per_token : file.experts_per_token;
  const std::pair<const char*, std::int64_t> numbers[] = {{"block_count", 1},
                                                          {"context_length", context_length},
                                                          {"embedding_length", Lab::hidden},
                                                          {"attention.head_count", n_heads},
                                                          {"attention.head_count_kv", 1},
                                                          {"attention.key_length", head_dim},
                                                          {"expert_count", lab.n_experts},
                                                          {"expert_used_count", top},
                                                          {"expert_feed_forward_length", lab.ffn}};
  TRINE_CHECK_OK(writer.add_metadata("general.architecture", gguf::make_value(std::string("qwen3moe"))));
  for (const auto& [key, value] : numbers)
    TRINE_CHECK_OK(writer.add_metadata(fmt::format("qwen3moe.{}", key),
                                       gguf::make_value(static_cast<std::uint32_t>(value))));
  // So small that 1 + eps is 1 in fp32, and the norm of a unit embedding exact.
  TRINE_CHECK_OK(writer.add_metadata("qwen3moe.attention.layer_norm_rms_epsilon", gguf::make_value(1e-11f)));
  return writer.add_metadata("qwen3moe.rope.freq_base", gguf::make_value(1e6f));
}

Result<void> write_file(const std::string& path, const Lab& lab, const LabFile& file) {
  gguf::Writer writer(path);
  TRINE_CHECK_OK(add_metadata(writer, lab, file));
  const std::vector<Tensor> tensors = tensors_of(lab, file);
  for (const Tensor& tensor : tensors)
    TRINE_CHECK_OK(writer.add_tensor(tensor.name, tensor.dims, gguf::TensorType::F32));
  TRINE_CHECK_OK(writer.begin());
  for (std::size_t i = 0; i < tensors.size(); ++i)
    TRINE_CHECK_OK(writer.write(i, 0, std::as_bytes(std::span(tensors[i].values))));
  return writer.finish();
}

class Recorder final : public model::TraceSink {
 public:
  explicit Recorder(Observed& out) : out_(out) {}
  bool wants(model::Stage, int layer) override { return layer == 0; }
  void take(model::Stage stage, int, std::int64_t, std::int64_t, std::int64_t,
            std::span<const float> values) override {
    std::vector<float>& all = out_.stages[stage];
    all.insert(all.end(), values.begin(), values.end());
  }

 private:
  Observed& out_;
};

Result<void> run_reference(const CheckContext& context, const LabModel& model,
                           const std::vector<std::int32_t>& tokens, Recorder& recorder) {
  ThreadPool pool(context.threads);
  reference::Sequence sequence;
  TRINE_CHECK_OK(reference::Model(model.weights).forward(sequence, tokens, false, pool, &recorder));
  return {};
}

Result<std::unique_ptr<model::DeviceModel>> open_backend(const CheckContext& context,
                                                         model::Numerics numerics,
                                                         const model::Weights& weights) {
  model::LoadOptions options;
  options.threads = context.threads;
  options.context = context_length;
  options.numerics = numerics;
  options.device = context.device;
  options.without = context.without;
  return context.load ? context.load(weights, options)
                      : backend::load_model(context.backend, weights, options);
}

Result<void> run_backend(model::DeviceModel& device, const std::vector<std::int32_t>& tokens,
                         Recorder& recorder) {
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(device));
  model::Step step;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    step.rows.push_back({tokens[i], static_cast<std::int32_t>(i), slot.id()});
  TRINE_CHECK_OK(device.run(step, &recorder));
  return {};
}

}  // namespace

Lab::Lab(std::int64_t n_experts, std::int64_t experts_per_token, std::int64_t ffn, std::int64_t vocab)
    : n_experts(n_experts),
      experts_per_token(experts_per_token),
      ffn(ffn),
      vocab(vocab),
      embed(size(vocab * hidden)),
      router(size(n_experts * hidden)),
      gate(size(n_experts * ffn * hidden)),
      up(gate.size()),
      down(gate.size()) {
  for (std::int64_t t = 0; t < vocab && t < hidden; ++t) embed[size(t * hidden + t)] = 8;
}

void Lab::fill(std::vector<float>& matrix, std::uint64_t seed, float scale) {
  for (std::size_t i = 0; i < matrix.size(); ++i)
    matrix[i] = static_cast<float>(2 * uniform_at(seed, i) - 1) * scale;
}

Result<LabModel> make_model(const Lab& lab, const LabFile& file) {
  TRINE_TRY(const TemporaryFolder folder, TemporaryFolder::make());
  TRINE_CHECK_OK(write_file(folder.file(), lab, file));
  LabModel model;
  TRINE_TRY(gguf::File opened, gguf::File::open(folder.file()));
  model.file = std::make_unique<gguf::File>(std::move(opened));
  TRINE_TRY(model.weights, model::load_weights(*model.file));
  return model;
}

std::vector<float> Observed::row(model::Stage stage, std::int64_t row, std::int64_t width) const {
  const auto at = stages.find(stage);
  if (at == stages.end() || at->second.size() < size((row + 1) * width))
    return std::vector<float>(size(width), std::numeric_limits<float>::quiet_NaN());
  return {at->second.begin() + row * width, at->second.begin() + (row + 1) * width};
}

std::vector<std::int64_t> Observed::ids(std::int64_t row, std::int64_t experts_per_token) const {
  std::vector<std::int64_t> ids;
  for (const float id : this->row(model::Stage::expert_ids, row, experts_per_token)) {
    const bool whole = id >= 0 && id < 1e6f && id == std::floor(id);
    ids.push_back(whole ? static_cast<std::int64_t>(id) : -1);
  }
  return ids;
}

Result<Observed> observe(const CheckContext& context, model::Numerics numerics, const LabModel& model,
                         const std::vector<std::int32_t>& tokens) {
  Observed observed;
  Recorder recorder(observed);
  if (context.backend == "reference") {
    TRINE_CHECK_OK(run_reference(context, model, tokens, recorder));
    return observed;
  }
  TRINE_TRY(const auto device, open_backend(context, numerics, model.weights));
  TRINE_CHECK_OK(run_backend(*device, tokens, recorder));
  return observed;
}

std::vector<model::Numerics> numerics_of(const CheckContext& context) {
  if (context.backend == "reference") return {model::Numerics::exact};
  return {model::Numerics::exact, model::Numerics::fast};
}

CheckResult judge_lab(const CheckContext& context, const Lab& lab,
                      const std::function<void(const Observed&, Judge&)>& judge_run) {
  const auto model = make_model(lab);
  if (!model) return not_run("the check's model could not be made: " + to_string(model.error()));
  std::vector<std::int32_t> tokens(size(lab.vocab));
  std::iota(tokens.begin(), tokens.end(), 0);
  Judge judge;
  for (const model::Numerics numerics : numerics_of(context)) {
    const auto observed = observe(context, numerics, *model, tokens);
    if (!observed) return failed_with(observed.error());
    judge_run(*observed, judge);
  }
  return judge.result();
}

}  // namespace trine::contract
