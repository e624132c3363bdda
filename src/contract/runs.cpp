#include "contract/runs.h"

#include "base/thread_pool.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

namespace trine::contract {
namespace {

using model::Stage;

// What the interface of a device may call a GPU.
constexpr std::array<std::string_view, 3> gpu_types = {"discrete-gpu", "integrated-gpu", "virtual-gpu"};

std::vector<std::int32_t> rotated_pages(const model::DeviceModel& device, std::size_t shift) {
  std::vector<std::int32_t> pages(static_cast<std::size_t>(device.kv_pages()));
  std::iota(pages.begin(), pages.end(), 0);
  if (!pages.empty())
    std::rotate(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(shift % pages.size()),
                pages.end());
  return pages;
}

// Tokens [begin, end) as one batch; logits of those from `logits_from` on.
Result<void> run_rows(model::DeviceModel& device, const Prompt& prompt,
                      const std::vector<std::int32_t>& pages, std::int64_t begin, std::int64_t end,
                      std::int64_t logits_from, JudgedLogits& logits, RowSink* trace) {
  model::Batch batch;
  batch.page_tables.push_back(pages);
  for (std::int64_t i = begin; i < end; ++i)
    batch.rows.push_back(
        {prompt.tokens[static_cast<std::size_t>(i)], static_cast<std::int32_t>(i), 0, i >= logits_from});
  const auto vocab = static_cast<std::size_t>(device.config().vocab_size);
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(0, end - std::max(begin, logits_from)));
  const std::size_t before = logits.size();
  logits.resize(before + wanted * vocab);
  if (trace != nullptr) trace->first_row = begin;
  return device.forward(batch, std::span(logits).subspan(before), trace);
}

// In as few batches as the backend takes.
Result<void> run_span(model::DeviceModel& device, const Prompt& prompt,
                      const std::vector<std::int32_t>& pages, std::int64_t begin, std::int64_t end,
                      JudgedLogits& logits, RowSink* trace) {
  const std::int64_t most = device.max_batch_rows();
  for (; begin < end; begin += most)
    TRINE_CHECK_OK(run_rows(device, prompt, pages, begin, std::min(end, begin + most), prompt.prefill() - 1,
                            logits, trace));
  return {};
}

// Another number of threads than `threads`: results must not depend on it.
int other_threads(int threads) {
  const int now = threads == 0 ? available_cores() : threads;
  return now == 1 ? 2 : now / 2;
}

}  // namespace

std::int32_t context_for(const PromptSet& prompts) {
  return static_cast<std::int32_t>(std::max<std::int64_t>(128, 2 * prompts.longest()));
}

std::string refuse_device(const BackendSide& backend, model::Numerics numerics,
                          const model::DeviceInfo& device) {
  if (device.backend != backend.backend)
    return fmt::format("the {} backend was asked for and the device says it is '{}'", backend.backend,
                       device.backend);
  if (device.numerics != numerics)
    return fmt::format("{} numerics were asked for and the device runs {}", name_of(numerics),
                       name_of(device.numerics));
  const bool is_gpu = std::find(gpu_types.begin(), gpu_types.end(), device.type) != gpu_types.end();
  if (backend.is_gpu && !is_gpu)
    return fmt::format("'{}' is of type '{}', which is no GPU", device.name, device.type);
  if (device.name.empty() || device.type.empty() || device.api.empty())
    return "the device does not say its name, type and API";
  for (int i = 0; i < model::stage_count; ++i) {
    const std::string& place = device.stage_place[static_cast<std::size_t>(i)];
    const std::string_view stage = model::name_of(static_cast<Stage>(i));
    if (place.empty()) return fmt::format("the device does not say where it ran {}", stage);
    if (backend.is_gpu && place != "device")
      return fmt::format("{} ran on the {}, so this is not the GPU's answer alone", stage, place);
  }
  return {};
}

bool RouterSink::wants(Stage stage, int) {
  return stage == Stage::router_logits || stage == Stage::expert_ids;
}

void RouterSink::take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
                      std::span<const float> values) {
  if (static_cast<std::int64_t>(values.size()) != rows * width) return;
  for (std::int64_t r = 0; r < rows; ++r)
    table_.take(stage, layer, offset_ + first_row + first + r,
                values.subspan(static_cast<std::size_t>(r * width), static_cast<std::size_t>(width)));
}

Result<void> run_decode(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                        JudgedLogits& logits, RowSink* trace) {
  const std::vector<std::int32_t> pages = rotated_pages(device, shift);
  TRINE_CHECK_OK(run_span(device, prompt, pages, 0, prompt.prefill(), logits, trace));
  for (std::int64_t i = prompt.prefill(); i < prompt.size(); ++i)
    TRINE_CHECK_OK(run_span(device, prompt, pages, i, i + 1, logits, trace));
  return {};
}

Result<void> run_prefill(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                         JudgedLogits& logits, RowSink* trace) {
  return run_span(device, prompt, rotated_pages(device, shift), 0, prompt.size(), logits, trace);
}

Result<RepeatRun> run_repeat(const BackendSide& backend, model::Numerics numerics, int threads,
                             const std::function<void(std::int64_t rows)>& done) {
  RepeatRun run;
  run.numerics = numerics;
  const auto for_each = [&](auto body) -> Result<void> {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < backend.prompts.prompts.size(); ++i) {
      const Prompt& prompt = backend.prompts.prompts[i];
      TRINE_CHECK_OK(body(prompt, i, offset));
      offset += prompt.size();
      if (done) done(prompt.size());
    }
    return {};
  };
  const std::int64_t rows = backend.prompts.rows();
  {
    TRINE_TRY(const auto device, backend.open(numerics, threads));
    run.prefill_routers = RouterTable(device->config(), rows);
    TRINE_CHECK_OK(for_each([&](const Prompt& prompt, std::size_t i, std::int64_t) {
      return run_decode(*device, prompt, i, run.first, nullptr);
    }));
    TRINE_CHECK_OK(for_each([&](const Prompt& prompt, std::size_t i, std::int64_t offset) {
      RouterSink sink(run.prefill_routers, offset);
      return run_prefill(*device, prompt, i + 1, run.prefill, &sink);
    }));
  }
  TRINE_TRY(const auto device, backend.open(numerics, other_threads(threads)));
  run.second_routers = RouterTable(device->config(), rows);
  TRINE_CHECK_OK(for_each([&](const Prompt& prompt, std::size_t i, std::int64_t offset) {
    RouterSink sink(run.second_routers, offset);
    return run_decode(*device, prompt, i + 1, run.second, &sink);
  }));
  return run;
}

}  // namespace trine::contract
