#include "model/device_model.h"

#include "base/check.h"
#include "base/index.h"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace trine::model {

PhaseTime& PhaseTime::operator+=(const PhaseTime& other) {
  count += other.count;
  microseconds += other.microseconds;
  idle_microseconds += other.idle_microseconds;
  bytes += other.bytes;
  flops_8bit += other.flops_8bit;
  flops_f32 += other.flops_f32;
  return *this;
}
namespace {

tl::unexpected<Error> refuse(std::string what, std::string where, std::string expected, std::int64_t actual) {
  return fail({.code = ErrorCode::inference,
               .what = std::move(what),
               .where = std::move(where),
               .expected = std::move(expected),
               .actual = fmt::format("{}", actual)});
}

tl::unexpected<Error> refuse_row(std::string what, std::size_t row, std::string expected,
                                 std::int64_t actual) {
  return refuse(std::move(what), fmt::format("row {}", row), std::move(expected), actual);
}

}  // namespace

// ---- Slots ----

Result<void> DeviceModel::check_slot(std::int32_t slot) const {
  if (slot >= 0 && at(slot) < slots_.size() && slots_[at(slot)].is_open) return {};
  return refuse("no such slot is open", "slot", fmt::format("0 to {}, opened before", limits().slots - 1),
                slot);
}

Result<void> DeviceModel::check_choosing(const Choosing& choosing) const {
  const std::int32_t vocab = config().vocab_size;
  TRINE_CHECK_OK(sampling::validate(choosing.params, vocab));
  for (const std::vector<std::int32_t>* tokens : {&choosing.prompt, &choosing.chosen}) {
    for (const std::int32_t token : *tokens) {
      if (token < 0 || token >= vocab)
        return refuse("token id out of range", "what was said before", fmt::format("0 to {}", vocab - 1),
                      token);
    }
  }
  return {};
}

Result<void> DeviceModel::check_pages(std::span<const std::int32_t> pages) const {
  std::vector<std::int32_t> sorted(pages.begin(), pages.end());
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] < 0 || sorted[i] >= limits().kv_pages)
      return refuse("KV page out of range", "page table", fmt::format("0 to {}", limits().kv_pages - 1),
                    sorted[i]);
    if (i > 0 && sorted[i] == sorted[i - 1])
      return refuse("a KV page stands twice in a page table", "page table", "each page once", sorted[i]);
  }
  return {};
}

void DeviceModel::hold_pages(std::span<const std::int32_t> pages, std::int32_t change) {
  for (const std::int32_t page : pages) page_holders_[page] += change;
}

Result<std::int32_t> DeviceModel::open_slot(const Choosing& choosing) {
  TRINE_CHECK_OK(check_choosing(choosing));
  const auto free = std::find_if(slots_.begin(), slots_.end(), [](const Slot& one) { return !one.is_open; });
  const auto slot = static_cast<std::int32_t>(free - slots_.begin());
  if (slot >= limits().slots)
    return refuse("every slot is taken", "open slots", fmt::format("at most {}", limits().slots), slot + 1);
  if (free == slots_.end()) slots_.emplace_back();
  Slot& entry = slots_[at(slot)];
  entry = Slot{};
  entry.is_open = true;
  entry.choosing = choosing;
  entry.draws = choosing.chosen.size();
  Result<void> placed = place_choosing(slot, entry);
  if (placed) placed = place_allowed(slot, entry);
  if (!placed) {
    entry.is_open = false;
    return fail(std::move(placed).error());
  }
  return slot;
}

Result<void> DeviceModel::set_choosing(std::int32_t slot, const Choosing& choosing) {
  TRINE_CHECK_OK(check_slot(slot));
  TRINE_CHECK_OK(check_choosing(choosing));
  Slot& entry = slots_[at(slot)];
  entry.choosing = choosing;
  entry.draws = choosing.chosen.size();
  return place_choosing(slot, entry);
}

Result<void> DeviceModel::set_pages(std::int32_t slot, std::vector<std::int32_t> pages, std::int32_t held) {
  TRINE_CHECK_OK(check_slot(slot));
  TRINE_CHECK_OK(check_pages(pages));
  const std::int64_t capacity = static_cast<std::int64_t>(pages.size()) * limits().kv_page_size;
  if (held < 0 || held > capacity)
    return refuse("more positions are said to be held than there are pages", fmt::format("slot {}", slot),
                  fmt::format("0 to {}", capacity), held);
  Slot& entry = slots_[at(slot)];
  hold_pages(entry.pages, -1);
  entry.pages = std::move(pages);
  entry.length = held;
  hold_pages(entry.pages, 1);
  return place_pages(slot, entry);
}

Result<void> DeviceModel::add_pages(std::int32_t slot, std::span<const std::int32_t> pages) {
  TRINE_CHECK_OK(check_slot(slot));
  std::vector<std::int32_t> all = slots_[at(slot)].pages;
  all.insert(all.end(), pages.begin(), pages.end());
  return set_pages(slot, std::move(all), slots_[at(slot)].length);
}

Result<void> DeviceModel::set_allowed(std::int32_t slot, std::vector<std::uint32_t> allowed) {
  TRINE_CHECK_OK(check_slot(slot));
  const std::size_t words = (at(config().vocab_size) + 31) / 32;
  if (!allowed.empty() && allowed.size() != words)
    return refuse("a mask of allowed tokens has the wrong length", fmt::format("slot {}", slot),
                  fmt::format("{} words, or none", words), static_cast<std::int64_t>(allowed.size()));
  Slot& entry = slots_[at(slot)];
  entry.allowed = std::move(allowed);
  return place_allowed(slot, entry);
}

Result<void> DeviceModel::close_slot(std::int32_t slot) {
  TRINE_CHECK_OK(check_slot(slot));
  hold_pages(slots_[at(slot)].pages, -1);
  slots_[at(slot)] = Slot{};
  release_slot(slot);
  return {};
}

std::int32_t DeviceModel::length_of(std::int32_t slot) const {
  check(check_slot(slot).has_value(), "length_of() is asked of open slots");
  return slots_[at(slot)].length;
}

// ---- Steps ----

Result<void> DeviceModel::check_row(const Row& row, std::size_t n) const {
  const std::int32_t vocab = config().vocab_size;
  if (row.slot < 0 || at(row.slot) >= slots_.size() || !slots_[at(row.slot)].is_open)
    return refuse_row("slot is not open", n, fmt::format("an open one of 0 to {}", limits().slots - 1),
                      row.slot);
  const Slot& slot = slots_[at(row.slot)];
  if (row.token == last_choice && !slot.has_choice)
    return refuse_row("a slot that chose no token yet is asked for it", n, "an id", row.token);
  if (row.token != last_choice && (row.token < 0 || row.token >= vocab))
    return refuse_row("token id out of range", n, fmt::format("0 to {}", vocab - 1), row.token);
  const std::int64_t capacity = static_cast<std::int64_t>(slot.pages.size()) * limits().kv_page_size;
  if (row.position < 0 || row.position >= capacity)
    return refuse_row("position outside the slot's KV pages", n, fmt::format("below {}", capacity),
                      row.position);
  const std::int32_t page = slot.pages[at(row.position / limits().kv_page_size)];
  if (page_holders_.at(page) > 1)
    return refuse_row("a KV page that several slots hold would be written", n, "a page of this slot alone",
                      page);
  return {};
}

Result<StepPlan> DeviceModel::plan_of(const Step& step) const {
  if (step.rows.empty()) return fail(ErrorCode::inference, "a step needs at least one row");
  if (step.rows.size() > at(limits().rows))
    return refuse("too many rows in a step", "step", fmt::format("at most {}", limits().rows),
                  static_cast<std::int64_t>(step.rows.size()));
  StepPlan plan{.rows = step.rows, .slots = slots_};
  plan.one_each = true;
  std::vector<const Row*> previous(slots_.size(), nullptr);
  for (std::size_t n = 0; n < step.rows.size(); ++n) {
    const Row& row = step.rows[n];
    TRINE_CHECK_OK(check_row(row, n));
    const Slot& slot = plan.slot_of(row);
    const Row*& before = previous[at(row.slot)];
    if (before != nullptr && row.position != before->position + 1)
      return refuse_row("positions of a slot must be gap-free", n, fmt::format("{}", before->position + 1),
                        row.position);
    if (before == nullptr && row.position > slot.length)
      return refuse_row("an earlier position of the slot was never run", n,
                        fmt::format("at most {}", slot.length), row.position);
    if (before != nullptr && wants_token(before->wants))
      return refuse_row("a row follows the one whose token is to be chosen", n, "the slot's last row",
                        row.position);
    if (before != nullptr) plan.one_each = false;
    before = &row;
    const auto index = static_cast<std::int32_t>(n);
    if (row.wants != Wants::nothing) plan.head_rows.push_back(index);
    if (wants_logits(row.wants)) plan.logits_rows.push_back(index);
    if (wants_token(row.wants)) {
      plan.token_rows.push_back(index);
      plan.draws.push_back(slot.draws);
    }
    plan.positions = std::max(plan.positions, row.position + 1);
  }
  return plan;
}

// The lowest that no step has.
std::optional<std::int32_t> DeviceModel::free_ring_index() {
  on_their_way_.resize(at(limits().steps_ahead));
  const auto found = std::find(on_their_way_.begin(), on_their_way_.end(), std::nullopt);
  if (found == on_their_way_.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - on_their_way_.begin());
}

bool DeviceModel::is_idle() const {
  return std::none_of(on_their_way_.begin(), on_their_way_.end(),
                      [](const std::optional<Ticket>& ticket) { return ticket.has_value(); });
}

Result<Ticket> DeviceModel::submit(const Step& step, TraceSink* trace) {
  const std::optional<std::int32_t> ring_index = free_ring_index();
  if (!ring_index)
    return refuse("too many steps are on their way", "submit",
                  fmt::format("at most {}", limits().steps_ahead), std::int64_t{limits().steps_ahead} + 1);
  if (trace != nullptr && !is_idle())
    return fail(ErrorCode::inference, "a step is traced while others are on their way");
  TRINE_TRY(StepPlan plan, plan_of(step));
  plan.ring_index = *ring_index;
  std::optional<StageTap> tap;
  if (trace != nullptr) tap.emplace(*trace, stage_places_);
  TRINE_CHECK_OK(submit_plan(plan, tap ? &*tap : nullptr));
  for (const Row& row : step.rows) {
    Slot& slot = slots_[at(row.slot)];
    slot.length = row.position + 1;
    if (!wants_token(row.wants)) continue;
    ++slot.draws;
    slot.has_choice = true;
  }
  on_their_way_[at(*ring_index)] = ++last_ticket_;
  return last_ticket_;
}

Result<StepOutput> DeviceModel::wait(Ticket ticket) {
  const auto found = std::find(on_their_way_.begin(), on_their_way_.end(), std::optional(ticket));
  if (found == on_their_way_.end())
    return refuse("no such step is on its way", "wait", "a ticket that was not waited for",
                  static_cast<std::int64_t>(ticket));
  found->reset();
  return take_output(static_cast<std::int32_t>(found - on_their_way_.begin()));
}

Result<StepOutput> DeviceModel::run(const Step& step, TraceSink* trace) {
  TRINE_TRY(const Ticket ticket, submit(step, trace));
  return wait(ticket);
}

// ---- Benchmarks ----

Result<StepTime> DeviceModel::time_step(const Step& step, bool in_parts) {
  if (!is_idle()) return fail(ErrorCode::inference, "a step is timed while others are on their way");
  TRINE_TRY(const StepPlan plan, plan_of(step));
  return time_plan(plan, in_parts);
}

Result<StepTime> DeviceModel::time_plan(const StepPlan& /*plan*/, bool /*in_parts*/) {
  return fail(ErrorCode::inference, "this device has no clock to time a step by");
}

Result<std::optional<MemoryRate>> DeviceModel::measure_memory() {
  return std::nullopt;
}

Result<std::optional<ArithmeticRate>> DeviceModel::measure_arithmetic() {
  return std::nullopt;
}

}  // namespace trine::model
