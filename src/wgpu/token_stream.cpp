#include "wgpu/token_stream.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <utility>

namespace trine::wgpu {
namespace {

using Clock = std::chrono::steady_clock;

// Steps on the device or on their way to it: one that runs, one behind it, and one to spare for the time in
// which the host shows a token.
constexpr std::int32_t steps_ahead = 3;

constexpr std::uint32_t nothing_chosen = 0xffffffff;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool is_greedy(const model::StreamRequest& request) {
  return request.temperature == 0 || request.top_k == 1;
}

// As sample.wgsl's Sampling.
std::array<std::uint32_t, 8> sampler_words(const model::StreamRequest& request) {
  const auto low = [](std::uint64_t word) { return static_cast<std::uint32_t>(word); };
  const auto high = [](std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); };
  return {std::bit_cast<std::uint32_t>(request.temperature),
          static_cast<std::uint32_t>(request.top_k),
          std::bit_cast<std::uint32_t>(request.top_p),
          std::bit_cast<std::uint32_t>(request.min_p),
          low(request.seed),
          high(request.seed),
          low(request.draws),
          high(request.draws)};
}

class DeviceStream final : public model::TokenStream {
 public:
  DeviceStream(Gpu& gpu, const ChooseOps& ops, const model::StreamRequest& request, RecordStep record,
               bool& is_busy)
      : gpu_(gpu),
        ops_(ops),
        record_(std::move(record)),
        greedy_(is_greedy(request)),
        position_(request.position),
        steps_(request.steps),
        is_busy_(is_busy) {
    is_busy_ = true;
  }
  ~DeviceStream() override { is_busy_ = false; }
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  Result<void> make_ring() {
    for (Slot& slot : ring_) {
      TRINE_TRY(slot.token, gpu_.create_readback("token", sizeof(std::uint32_t)));
    }
    return {};
  }

  Result<std::int32_t> next() override {
    if (taken_ == steps_)
      return fail(ErrorCode::inference, "a stream was asked for more tokens than it was made for");
    while (cost_.steps < steps_ && cost_.steps - taken_ < steps_ahead) TRINE_CHECK_OK(submit_step());
    const Clock::time_point start = Clock::now();
    Slot& slot = slot_of(taken_);
    TRINE_CHECK_OK(gpu_.wait(slot.submission, submission_patience));
    std::uint32_t token = 0;
    TRINE_CHECK_OK(slot.token.take(std::as_writable_bytes(std::span(&token, 1))));
    cost_.wait_seconds += seconds_since(start);
    ++taken_;
    return token == nothing_chosen ? model::no_token : static_cast<std::int32_t>(token);
  }

  model::StreamCost cost() const override { return cost_; }

 private:
  struct Slot {
    Readback token;
    Submission submission = 0;
  };

  Slot& slot_of(std::int32_t step) { return ring_[static_cast<std::size_t>(step % steps_ahead)]; }

  Result<void> submit_step() {
    const Clock::time_point start = Clock::now();
    TRINE_TRY(Pass pass, record_(static_cast<std::uint32_t>(position_ + cost_.steps + 1)));
    pass.run(ops_.argmax);
    pass.run(greedy_ ? ops_.merge : ops_.sample);
    Slot& slot = slot_of(cost_.steps);
    pass.commands.copy(ops_.token, 0, slot.token, 0, sizeof(std::uint32_t));
    const std::size_t dispatches = pass.commands.dispatches();
    TRINE_TRY(slot.submission, gpu_.submit(std::move(pass.commands)));
    TRINE_CHECK_OK(slot.token.start());
    cost_.dispatches += dispatches;
    cost_.encode_seconds += seconds_since(start);
    ++cost_.steps;
    return {};
  }

  Gpu& gpu_;
  const ChooseOps& ops_;
  const RecordStep record_;
  const bool greedy_;
  const std::int32_t position_;  // of the first step
  const std::int32_t steps_;
  bool& is_busy_;
  std::array<Slot, steps_ahead> ring_;
  std::int32_t taken_ = 0;
  model::StreamCost cost_;
};

}  // namespace

Result<ChooseOps> make_choose(const Builder& builder) {
  constexpr std::uint32_t workgroup = 256;
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  Gpu& gpu = kernels.gpu();
  const auto vocab = static_cast<std::uint32_t>(builder.config.vocab_size);
  const std::uint32_t parts = std::clamp(vocab / (8 * workgroup), 1u, 64u);
  ChooseOps ops;
  TRINE_TRY(ops.best, gpu.create_buffer("best logits", parts * 2 * sizeof(std::uint32_t)));
  TRINE_TRY(ops.sampler, gpu.create_buffer("sampler", sizeof(std::array<std::uint32_t, 8>)));
  TRINE_TRY(ops.token, gpu.create_buffer("token", sizeof(std::uint32_t)));
  TRINE_TRY(const Bound params, kernels.params({1}));

  ShaderSource argmax;
  argmax.constants = {{"WORKGROUP", workgroup}, {"VOCAB", vocab}, {"PARTS", parts}};
  argmax.files = {"argmax.wgsl"};
  TRINE_TRY(ops.argmax,
            kernels.make("argmax", argmax, {reads(work.step), reads(work.logits), writes(ops.best)}, parts));

  ShaderSource merge;
  merge.constants = {{"PARTS", parts}};
  merge.flags = {{"ADVANCE", true}};
  merge.files = {"argmax_merge.wgsl"};
  TRINE_TRY(ops.merge,
            kernels.make("argmax_merge", merge,
                         {params, reads(work.step), reads(ops.best), writes(ops.token), writes(work.rows)}));

  // One workgroup reads all of the vocabulary, so it is as large as they come.
  ShaderSource sample;
  sample.constants = {{"WORKGROUP", std::min(1024u, gpu.limits().max_workgroup_invocations)},
                      {"VOCAB", vocab},
                      {"PARTS", parts}};
  sample.flags = {{"ADVANCE", true}};
  sample.files = {"sample.wgsl"};
  TRINE_TRY(ops.sample, kernels.make("sample", sample,
                                     {params, reads(work.step), reads(work.logits), reads(ops.best),
                                      writes(ops.sampler), writes(ops.token), writes(work.rows)}));
  return ops;
}

Result<std::unique_ptr<model::TokenStream>> start_stream(Gpu& gpu, const ChooseOps& ops,
                                                         const model::StreamRequest& request,
                                                         RecordStep record, bool& is_busy) {
  const std::array<std::uint32_t, 8> sampler = sampler_words(request);
  TRINE_CHECK_OK(gpu.write(ops.sampler, 0, std::as_bytes(std::span(sampler))));
  auto stream = std::make_unique<DeviceStream>(gpu, ops, request, std::move(record), is_busy);
  TRINE_CHECK_OK(stream->make_ring());
  return std::unique_ptr<model::TokenStream>(std::move(stream));
}

}  // namespace trine::wgpu
