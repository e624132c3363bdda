#include "contract/gate/runs.h"

#include "base/thread_pool.h"
#include "base/topology.h"
#include "contract/gate/choices.h"
#include "model/device_names.h"
#include "model/open_slot.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

namespace trine::contract {
namespace {

using model::Stage;

constexpr std::int64_t usual_page = 64;  // positions

std::vector<std::int32_t> rotated_pages(const model::DeviceModel& device, std::size_t shift) {
  std::vector<std::int32_t> pages(static_cast<std::size_t>(device.limits().kv_pages));
  std::iota(pages.begin(), pages.end(), 0);
  if (!pages.empty())
    std::rotate(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(shift % pages.size()),
                pages.end());
  return pages;
}

// A slot with all pages, rotated, in which a prompt is run.
Result<model::OpenSlot> open_rotated(model::DeviceModel& device, std::size_t shift) {
  TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open(device));
  TRINE_CHECK_OK(device.set_pages(slot.id(), rotated_pages(device, shift), 0));
  return slot;
}

// Tokens [begin, end) as one step; logits of those from `logits_from` on.
Result<void> run_rows(model::DeviceModel& device, const Prompt& prompt, const model::OpenSlot& slot,
                      std::int64_t begin, std::int64_t end, std::int64_t logits_from, JudgedLogits& logits,
                      RowSink* trace) {
  model::Step step;
  for (std::int64_t i = begin; i < end; ++i)
    step.rows.push_back({prompt.tokens[static_cast<std::size_t>(i)], static_cast<std::int32_t>(i), slot.id(),
                         i >= logits_from ? model::Wants::logits : model::Wants::nothing});
  if (trace != nullptr) trace->first_row = begin;
  TRINE_TRY(const model::StepOutput output, device.run(step, trace));
  logits.insert(logits.end(), output.logits.begin(), output.logits.end());
  return {};
}

// In as few steps as the backend takes.
Result<void> run_span(model::DeviceModel& device, const Prompt& prompt, const model::OpenSlot& slot,
                      std::int64_t begin, std::int64_t end, JudgedLogits& logits, RowSink* trace) {
  const std::int64_t most = device.limits().rows;
  for (; begin < end; begin += most)
    TRINE_CHECK_OK(run_rows(device, prompt, slot, begin, std::min(end, begin + most), prompt.prefill() - 1,
                            logits, trace));
  return {};
}

// ---- Two prompts in one batch ----

// Keeps the router stages of a batch whose row r is row places[r] of the table, or of none below 0.
class BatchRouterSink final : public model::TraceSink {
 public:
  explicit BatchRouterSink(RouterTable& table) : table_(table) {}
  bool wants(Stage stage, int) override {
    return stage == Stage::router_logits || stage == Stage::expert_ids;
  }
  void take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    const bool fits = first >= 0 && first + rows <= static_cast<std::int64_t>(places.size()) &&
                      static_cast<std::int64_t>(values.size()) == rows * width;
    for (std::int64_t r = 0; fits && r < rows; ++r)
      table_.take(stage, layer, places[static_cast<std::size_t>(first + r)],
                  values.subspan(static_cast<std::size_t>(r * width), static_cast<std::size_t>(width)));
  }

  std::vector<std::int64_t> places;

 private:
  RouterTable& table_;
};

// The pages of two sequences, in turn, so that neither's lie together.
Result<std::vector<std::vector<std::int32_t>>> shared_pages(const model::DeviceModel& device,
                                                            std::span<const BatchedPrompt, 2> two,
                                                            std::size_t shift) {
  const std::vector<std::int32_t> pool = rotated_pages(device, shift);
  const std::int64_t page = device.limits().kv_page_size;
  std::vector<std::vector<std::int32_t>> tables(2);
  std::size_t next = 0;
  for (bool more = true; more;) {
    more = false;
    for (std::size_t s = 0; s < 2; ++s) {
      if (static_cast<std::int64_t>(tables[s].size()) * page >= two[s].prompt->size()) continue;
      if (next == pool.size())
        return fail(ErrorCode::inference, "the device's KV cache does not hold two prompts at a time");
      tables[s].push_back(pool[next++]);
      more = true;
    }
  }
  return tables;
}

struct SharedRow {
  std::size_t sequence;
  std::int64_t position;
};

// Positions [begin(s), end(s)) of both, row beside row while both last.
template <typename Begin, typename End>
std::vector<SharedRow> side_by_side(Begin begin, End end) {
  std::vector<SharedRow> rows;
  for (std::int64_t i = 0;; ++i) {
    const std::size_t before = rows.size();
    for (std::size_t s = 0; s < 2; ++s)
      if (begin(s) + i < end(s)) rows.push_back({s, begin(s) + i});
    if (rows.size() == before) return rows;
  }
}

// The batches of a run of both: the prefills in as few as the backend takes, then a token of each.
std::vector<std::vector<SharedRow>> shared_batches(std::span<const BatchedPrompt, 2> two, std::size_t most) {
  const auto prefill = [&](std::size_t s) { return two[s].prompt->prefill(); };
  const std::vector<SharedRow> rows = side_by_side([](std::size_t) { return std::int64_t{0}; }, prefill);
  std::vector<std::vector<SharedRow>> batches;
  for (std::size_t begin = 0; begin < rows.size(); begin += most) {
    const auto part = std::span(rows).subspan(begin, std::min(most, rows.size() - begin));
    batches.emplace_back(part.begin(), part.end());
  }
  for (std::int64_t i = 0; i < decode_positions; ++i)
    batches.push_back(side_by_side([&](std::size_t s) { return prefill(s) + i; },
                                   [&](std::size_t s) { return prefill(s) + i + 1; }));
  return batches;
}

// Another number of threads than `threads`: results must not depend on it.
int other_threads(int threads) {
  const int now = threads == 0 ? default_threads() : threads;
  return now == 1 ? 2 : now / 2;
}

}  // namespace

std::int32_t context_for(const PromptSet& prompts) {
  const std::int64_t pages = std::max<std::int64_t>(1, (prompts.longest() + usual_page - 1) / usual_page);
  return std::max(static_cast<std::int32_t>(2 * pages * usual_page), context_for_choices());
}

std::string refuse_device(const BackendSide& backend, model::Numerics numerics,
                          const model::DeviceInfo& device) {
  if (device.backend != backend.backend)
    return fmt::format("the {} backend was asked for and the device says it is '{}'", backend.backend,
                       device.backend);
  if (device.numerics != numerics)
    return fmt::format("{} numerics were asked for and the device runs {}", name_of(numerics),
                       name_of(device.numerics));
  const bool is_gpu = model::is_gpu_type(device.type);
  if (backend.is_gpu && !is_gpu && !is_software(device))
    return fmt::format("'{}' is of type '{}', which is no GPU", device.name, device.type);
  if (const std::string_view given_away = named_software(device); is_gpu && !given_away.empty())
    return fmt::format("'{}' claims to be of type '{}', and {} is a software adapter", device.name,
                       device.type, given_away);
  if (device.name.empty() || device.type.empty() || device.api.empty())
    return "the device does not say its name, type and API";
  return {};
}

std::string refuse_places(const BackendSide& backend, const model::DeviceInfo& device) {
  for (int i = 0; i < model::stage_count; ++i) {
    const std::string& place = device.stage_place[static_cast<std::size_t>(i)];
    const std::string_view stage = model::name_of(static_cast<Stage>(i));
    if (place.empty()) return fmt::format("the device does not say where it ran {}", stage);
    if (backend.is_gpu && place != model::name_of(model::Place::device))
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

std::vector<std::int64_t> prefill_ends(const Prompt& prompt) {
  const std::int64_t all = prompt.prefill();
  if (prompt.size() <= 2 * usual_page) return {all};
  return {all / 7, all * 3 / 7, all};
}

Result<void> run_decode(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                        JudgedLogits& logits, RowSink* trace) {
  TRINE_TRY(const model::OpenSlot slot, open_rotated(device, shift));
  std::int64_t begin = 0;
  for (const std::int64_t end : prefill_ends(prompt)) {
    TRINE_CHECK_OK(run_span(device, prompt, slot, begin, end, logits, trace));
    begin = end;
  }
  for (std::int64_t i = prompt.prefill(); i < prompt.size(); ++i)
    TRINE_CHECK_OK(run_span(device, prompt, slot, i, i + 1, logits, trace));
  return {};
}

Result<void> run_prefill(model::DeviceModel& device, const Prompt& prompt, std::size_t shift,
                         JudgedLogits& logits, RowSink* trace) {
  TRINE_TRY(const model::OpenSlot slot, open_rotated(device, shift));
  return run_span(device, prompt, slot, 0, prompt.size(), logits, trace);
}

Result<std::int64_t> run_side_by_side(model::DeviceModel& device, std::span<const BatchedPrompt, 2> two,
                                      std::size_t shift, JudgedLogits& logits, RouterTable& routers) {
  const auto vocab = static_cast<std::size_t>(device.config().vocab_size);
  TRINE_TRY(std::vector<std::vector<std::int32_t>> tables, shared_pages(device, two, shift));
  std::vector<model::OpenSlot> slots;
  for (std::vector<std::int32_t>& table : tables) {
    TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open(device));
    TRINE_CHECK_OK(device.set_pages(slot.id(), std::move(table), 0));
    slots.push_back(std::move(slot));
  }
  BatchRouterSink sink(routers);
  std::array<JudgedLogits, 2> own;
  std::size_t largest = 0;
  for (const auto& rows : shared_batches(two, static_cast<std::size_t>(device.limits().rows))) {
    model::Step step;
    sink.places.clear();
    for (const auto& [s, position] : rows) {
      const bool is_judged = position >= two[s].prompt->prefill() - 1;
      step.rows.push_back({two[s].prompt->tokens[static_cast<std::size_t>(position)],
                           static_cast<std::int32_t>(position), slots[s].id(),
                           is_judged ? model::Wants::logits : model::Wants::nothing});
      sink.places.push_back(two[s].offset < 0 ? -1 : two[s].offset + position);
    }
    TRINE_TRY(const model::StepOutput output, device.run(step, &sink));
    auto next = output.logits.begin();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!model::wants_logits(step.rows[i].wants)) continue;
      JudgedLogits& to = own[rows[i].sequence];
      to.insert(to.end(), next, next + static_cast<std::ptrdiff_t>(vocab));
      next += static_cast<std::ptrdiff_t>(vocab);
    }
    largest = std::max(largest, rows.size());
  }
  for (std::size_t s = 0; s < 2; ++s)
    if (two[s].offset >= 0) logits.insert(logits.end(), own[s].begin(), own[s].end());
  return static_cast<std::int64_t>(largest);
}

namespace {

// Every prompt beside the next; the last of an odd number beside the first, which has its place already.
Result<void> run_all_side_by_side(model::DeviceModel& device, const std::vector<Prompt>& prompts,
                                  RepeatRun& run, const std::function<void(std::int64_t rows)>& done) {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < prompts.size(); i += 2) {
    const bool is_pair = i + 1 < prompts.size();
    const Prompt &a = prompts[i], &b = prompts[is_pair ? i + 1 : 0];
    const BatchedPrompt two[] = {{&a, offset}, {&b, is_pair ? offset + a.size() : -1}};
    TRINE_TRY(const std::int64_t largest, run_side_by_side(device, two, i, run.batched, run.batched_routers));
    run.largest_batch = std::max(run.largest_batch, largest);
    const std::int64_t rows = a.size() + (is_pair ? b.size() : 0);
    offset += rows;
    if (done) done(rows);
  }
  return {};
}

}  // namespace

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
    run.largest_batch = std::min<std::int64_t>(backend.prompts.longest(), device->limits().rows);
    run.batched_routers = RouterTable(device->config(), rows);
    TRINE_CHECK_OK(run_all_side_by_side(*device, backend.prompts.prompts, run, done));
    TRINE_TRY(run.choices, run_choices(*device, backend.prompts));
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
