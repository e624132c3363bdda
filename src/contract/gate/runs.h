#pragma once

#include "base/error.h"
#include "contract/judge/legs.h"
#include "contract/judge/prompts.h"
#include "model/device_model.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trine::contract {

// Running prompts on a backend: a prefill, then the last tokens one by one, as the legs want them.

// Loads the backend's model. Called more than once; never two models at a time.
using OpenBackend =
    std::function<Result<std::unique_ptr<model::DeviceModel>>(model::Numerics numerics, int threads)>;

struct BackendSide {
  std::string backend;  // the name it was asked for by
  bool is_gpu = false;  // so a device that is none is refused
  std::string model_sha256;
  const PromptSet& prompts;
  OpenBackend open;
};

// Positions of KV cache that two of the prompts need together, in pages of 64: two at least, so that prompts
// change pages.
std::int32_t context_for(const PromptSet& prompts);

// Why this device must not be judged under this name, or nothing: another backend or other numerics than
// asked for, a GPU that is none, a software adapter that says it is a GPU. A software adapter that says what
// it is may be judged (software.h).
std::string refuse_device(const BackendSide& backend, model::Numerics numerics,
                          const model::DeviceInfo& device);

// The same of a device whose every stage was traced: a stage that ran on a GPU's host, or one of which it
// does not say where it ran.
std::string refuse_places(const BackendSide& backend, const model::DeviceInfo& device);

// A trace that knows where in the prompt a batch begins: rows arrive as `first_row` + take()'s first_row.
class RowSink : public model::TraceSink {
 public:
  std::int64_t first_row = 0;
};

// Keeps router_logits and expert_ids of a prompt whose first row stands at `offset` in the table.
class RouterSink final : public RowSink {
 public:
  RouterSink(RouterTable& table, std::int64_t offset) : table_(table), offset_(offset) {}
  bool wants(model::Stage stage, int layer) override;
  void take(model::Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override;

 private:
  RouterTable& table_;
  std::int64_t offset_;
};

// Where the prefill of run_decode is cut into batches, its end included: one, two and four sevenths of a
// prompt of more than two pages, so that a chunk meets a cache that an earlier one has filled; else one
// batch.
std::vector<std::int64_t> prefill_ends(const Prompt& prompt);

// One prompt from an empty cache; logits of the judged positions are appended. `shift` rotates the KV pages,
// so that prompts overwrite each other's. `trace` may be null. Errors: those of the backend.
Result<void> run_decode(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                        JudgedLogits& logits, RowSink* trace);  // prefill, then token by token
Result<void> run_prefill(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                         JudgedLogits& logits, RowSink* trace);  // all tokens at once

// Two prompts as two sequences of the same batches, row beside row: their prefills, then token beside token.
// Appends the first one's logits, then the second one's. Returns the rows of the largest batch. Errors: those
// of the backend; inference when its cache does not hold both.
struct BatchedPrompt {
  const Prompt* prompt = nullptr;
  std::int64_t offset = 0;  // of its first row in the table; below 0: what it gives is dropped
};
Result<std::int64_t> run_side_by_side(model::DeviceModel& device, std::span<const BatchedPrompt, 2> two,
                                      std::size_t shift, JudgedLogits& logits, RouterTable& routers);

// All prompts for legs D and T, and the choices of leg S. `done` is told of rows as they are run and may be
// empty. Errors: those of the backend.
Result<RepeatRun> run_repeat(const BackendSide& backend, model::Numerics numerics, int threads,
                             const std::function<void(std::int64_t rows)>& done);

}  // namespace trine::contract
