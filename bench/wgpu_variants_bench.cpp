// What the variants of the WebGPU kernels cost: a token of MODEL, timed by the device's clock, with integer
// dot and without, with subgroups and without, and with checked shaders. For kernels that read weights, GB/s
// too: W_o of the 30B model is a mat-vec of Q4_K, the logits are one of Q6_K.
//   wgpu_variants_bench MODEL [DEVICE]
// Times are medians of seven runs and, for each launch, hold the timestamp between two (trine bench
// --kernels).
#include "gguf/file.h"
#include "model/open_slot.h"
#include "model/weights.h"
#include "wgpu/model.h"

#include <fmt/format.h>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace trine;

struct Variant {
  const char* name;
  model::Numerics numerics;
  bool subgroups;
  bool checked;
};

constexpr Variant variants[] = {
    {"integer dot", model::Numerics::fast, true, false},
    {"  no subgroups", model::Numerics::fast, false, false},
    {"  checked", model::Numerics::fast, true, true},
    {"f32 products", model::Numerics::exact, true, false},
    {"  no subgroups", model::Numerics::exact, false, false},
    {"  checked", model::Numerics::exact, true, true},
};

double bytes_of(const model::Weight& weight, std::int64_t experts = 1) {
  return static_cast<double>(weight.expert_bytes()) * static_cast<double>(experts);
}

// Bytes of weights that all launches of a kernel read for one token.
std::map<std::string, double> weight_bytes(const model::Weights& weights) {
  std::map<std::string, double> bytes;
  const std::int64_t k = weights.config.experts_per_token;
  for (const model::LayerWeights& w : weights.layers) {
    const double qkv = bytes_of(w.attn_q) + bytes_of(w.attn_k) + bytes_of(w.attn_v);
    bytes["qkv"] += qkv;
    bytes["norm_qkv"] += qkv;
    bytes["attn_output"] += bytes_of(w.attn_output);
    bytes["norm_router"] += bytes_of(w.router);
    bytes["expert_gate_up"] += bytes_of(w.expert_gate, k) + bytes_of(w.expert_up, k);
    bytes["expert_down"] += bytes_of(w.expert_down, k);
  }
  bytes["logits"] = bytes_of(weights.output);
  return bytes;
}

Result<void> measure(const model::Weights& weights, const std::string& device, const Variant& variant) {
  wgpu::WgpuOptions options;
  options.device = device;
  options.context = 64;
  options.numerics = variant.numerics;
  if (!variant.subgroups) options.without = {"subgroups"};
  options.checked_shaders = variant.checked;
  options.self_test = false;
  TRINE_TRY(const std::unique_ptr<wgpu::WgpuModel> model, wgpu::WgpuModel::load(weights, options));
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(*model));
  const model::Step step = {{{1, 0, slot.id(), model::Wants::token}}};
  if (!model->times_kernels()) {
    return fail({.code = ErrorCode::backend_unavailable,
                 .what = "this device times no kernels",
                 .where = model->describe().name});
  }
  model::StepTime time;
  for (int run = 0; run < 20; ++run) {  // the first come before the clocks do
    TRINE_TRY(time, model->time_step(step, true));
  }
  const std::map<std::string, double> bytes = weight_bytes(weights);
  fmt::print("{}: {:.3f} ms a token\n", variant.name, time.microseconds / 1000);
  for (const model::KernelTime& kernel : time.kernels) {
    const auto read = bytes.find(kernel.name);
    const std::string rate = read == bytes.end()
                                 ? std::string()
                                 : fmt::format("{:10.0f} GB/s", read->second / kernel.microseconds / 1e3);
    fmt::print("    {:<20}{:>9.1f} us a launch{}\n", kernel.name, kernel.microseconds / kernel.launches,
               rate);
  }
  return {};
}

Result<void> measure_all(const std::string& path, const std::string& device) {
  TRINE_TRY(const gguf::File file, gguf::File::open(path));
  TRINE_TRY(const model::Weights weights, model::load_weights(file));
  for (const Variant& variant : variants) TRINE_CHECK_OK(measure(weights, device, variant));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: {} MODEL [DEVICE]\n", argv[0]);
    return 2;
  }
  if (const auto done = measure_all(argv[1], argc > 2 ? argv[2] : ""); !done) {
    fmt::print(stderr, "{}\n", to_string(done.error()));
    return 1;
  }
  return 0;
}
