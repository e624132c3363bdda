#include "contract/gate/choices.h"

#include "model/open_slot.h"
#include "sampling/sampler.h"

#include <fmt/format.h>
#include <algorithm>
#include <deque>
#include <set>
#include <span>
#include <utility>

namespace trine::contract {
namespace {

constexpr std::int32_t page = 64;  // positions; each slot has one
constexpr std::size_t prompt_tokens = 24, chosen_tokens = 32;

struct Setting {
  const char* name;
  sampling::SamplingParams params;
  bool is_masked = false;
  bool is_alone = false;
};

std::vector<Setting> settings(std::int32_t vocab_size) {
  const auto with_bias = [&](sampling::SamplingParams params) {
    params.logit_bias = {{3 % vocab_size, 2.0f}, {5 % vocab_size, -1.5f}, {3 % vocab_size, 0.25f}};
    return params;
  };
  return {
      {"greedy", {.temperature = 0}},
      {"recommended", {.temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .repeat_penalty = 1.05f, .seed = 1}},
      {"all penalties", with_bias({.temperature = 0.9f,
                                   .top_k = 40,
                                   .top_p = 0.95f,
                                   .min_p = 0.02f,
                                   .repeat_penalty = 1.2f,
                                   .presence_penalty = 0.6f,
                                   .frequency_penalty = 0.3f,
                                   .penalty_window = 8,
                                   .seed = 0x123456789abcdefull})},
      {"mask", {.temperature = 1.0f, .seed = 3}, true},
      {"greedy with penalties",
       {.temperature = 0, .repeat_penalty = 1.5f, .frequency_penalty = 0.7f, .penalty_window = -1}},
      {"no filter", {.temperature = 1.5f, .min_p = 0.001f, .seed = 4}},
      // Alone in its steps, where a device may choose in a way of its own.
      {"greedy alone", {.temperature = 0}, false, true}};
}

// For the n-th token of a masked slot: every second id, the even ones and the odd ones in turn.
std::vector<std::uint32_t> mask_at(std::size_t n, std::int32_t vocab) {
  return std::vector<std::uint32_t>((static_cast<std::size_t>(vocab) + 31) / 32,
                                    n % 2 == 0 ? 0x55555555u : 0xaaaaaaaau);
}

// A way of choosing in its slot.
struct Sequence {
  Setting setting;
  const Prompt* prompt;
  model::OpenSlot slot;

  std::vector<std::int32_t> beginning() const {
    const std::vector<std::int32_t>& all = prompt->tokens;
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), prompt_tokens))};
  }
};

Result<Sequence> open_sequence(model::DeviceModel& device, const Setting& setting, const Prompt& prompt,
                               std::int32_t first_page, std::int32_t pages) {
  TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open(device));
  std::vector<std::int32_t> table;
  for (std::int32_t i = 0; i < pages; ++i) table.push_back(first_page + i);
  TRINE_CHECK_OK(device.set_pages(slot.id(), std::move(table), 0));
  Sequence sequence{setting, &prompt, std::move(slot)};
  TRINE_CHECK_OK(device.set_choosing(sequence.slot.id(), {setting.params, sequence.beginning()}));
  return sequence;
}

// The rows behind which the n-th token is chosen; `token` is the one before it.
Result<void> append_rows(model::DeviceModel& device, const Sequence& sequence, std::size_t n,
                         std::int32_t token, model::Wants wants, model::Step& step) {
  const std::vector<std::int32_t> prompt = sequence.beginning();
  const std::vector<std::int32_t> tokens = n == 0 ? prompt : std::vector<std::int32_t>{token};
  auto position = static_cast<std::int32_t>(n == 0 ? 0 : prompt.size() + n - 1);
  for (const std::int32_t one : tokens) step.rows.push_back({one, position++, sequence.slot.id()});
  step.rows.back().wants = wants;
  if (!sequence.setting.is_masked) return {};
  return device.set_allowed(sequence.slot.id(), mask_at(n, device.config().vocab_size));
}

// [sequence][n]: what each chooses beside the others, several steps ahead of what was waited for.
Result<std::vector<std::vector<std::int32_t>>> decode_together(model::DeviceModel& device,
                                                               const std::vector<Sequence>& sequences) {
  std::vector<std::vector<std::int32_t>> chosen(sequences.size());
  std::deque<model::Ticket> ahead;
  for (std::size_t submitted = 0; submitted < chosen_tokens || !ahead.empty();) {
    if (submitted < chosen_tokens && std::ssize(ahead) < device.limits().steps_ahead) {
      model::Step step;
      for (const Sequence& one : sequences)
        TRINE_CHECK_OK(append_rows(device, one, submitted, model::last_choice, model::Wants::token, step));
      TRINE_TRY(const model::Ticket ticket, device.submit(step));
      ahead.push_back(ticket);
      ++submitted;
      continue;
    }
    TRINE_TRY(const model::StepOutput output, device.wait(ahead.front()));
    ahead.pop_front();
    if (output.tokens.size() != sequences.size())
      return fail(ErrorCode::inference, "the device gave another number of tokens than it was asked for");
    for (std::size_t s = 0; s < sequences.size(); ++s) chosen[s].push_back(output.tokens[s]);
  }
  return chosen;
}

// Decodes `chosen` again, and has the host choose from the logits of every row.
Result<ChoiceFigures> judge_alone(model::DeviceModel& device, const Sequence& sequence,
                                  std::span<const std::int32_t> chosen) {
  ChoiceFigures figures{sequence.setting.name, sequence.prompt->name};
  sampling::Sampler sampler(sequence.setting.params);
  sampler.accept_prompt(sequence.beginning());
  for (std::size_t n = 0; n < chosen.size() && figures.first < 0; ++n) {
    if (n > 0 && chosen[n - 1] == model::no_token) break;
    model::Step step;
    TRINE_CHECK_OK(append_rows(device, sequence, n, n == 0 ? 0 : chosen[n - 1], model::Wants::both, step));
    TRINE_TRY(const model::StepOutput output, device.run(step));
    if (sequence.setting.is_masked) sampler.allow(mask_at(n, device.config().vocab_size));
    sampling::Sampler before = sampler;
    ++figures.tokens;
    const auto chosen_by_rules = sampler.sample(output.logits);
    if (!chosen_by_rules) {  // no numbers to choose from, of which leg X says more
      figures.different = 1;
      figures.first = static_cast<std::int64_t>(n);
      break;
    }
    const std::int32_t expected = *chosen_by_rules;
    const bool alone = output.tokens.front() == expected, together = chosen[n] == expected;
    if (alone && together) continue;
    TRINE_TRY(const std::set<std::int32_t> possible,
              sampling::Sampler(before).possible(output.logits, choice_share));
    if (possible.contains(chosen[n]) && possible.contains(output.tokens.front())) {
      // The sequence goes on with what the device chose.
      ++figures.excused;
      sampler = std::move(before);
      sampler.accept_chosen(chosen.subspan(n, 1));
      continue;
    }
    figures.different += together ? 0 : 1;
    figures.different_alone += alone ? 0 : 1;
    figures.first = static_cast<std::int64_t>(n);
  }
  return figures;
}

}  // namespace

std::int32_t context_for_choices() {
  return static_cast<std::int32_t>(settings(1).size()) * page;
}

Result<ChoiceRun> run_choices(model::DeviceModel& device, const PromptSet& prompts) {
  const std::vector<Setting> all = settings(device.config().vocab_size);
  const std::int32_t pages = (page + device.limits().kv_page_size - 1) / device.limits().kv_page_size;
  const std::int32_t together = std::min(
      {static_cast<std::int32_t>(all.size()), device.limits().slots, device.limits().kv_pages / pages});
  if (together < 2) return fail(ErrorCode::inference, "the device holds no two sequences at a time");
  ChoiceRun run;
  run.numerics = device.describe().numerics;
  run.slots = together;
  run.steps_ahead = device.limits().steps_ahead;
  for (std::size_t begin = 0, next = 0; begin < all.size(); begin = next) {
    std::size_t end = begin + 1;
    while (end < all.size() && end - begin < static_cast<std::size_t>(together) && !all[begin].is_alone &&
           !all[end].is_alone)
      ++end;
    next = end;
    const auto prompt_of = [&](std::size_t i) -> const Prompt& {
      return prompts.prompts[i % prompts.prompts.size()];
    };
    std::vector<std::vector<std::int32_t>> chosen;
    {
      std::vector<Sequence> sequences;
      for (std::size_t i = begin; i < end; ++i) {
        const auto first_page = static_cast<std::int32_t>(i - begin) * pages;
        TRINE_TRY(Sequence one, open_sequence(device, all[i], prompt_of(i), first_page, pages));
        sequences.push_back(std::move(one));
      }
      TRINE_TRY(chosen, decode_together(device, sequences));
    }
    for (std::size_t i = begin; i < end; ++i) {
      TRINE_TRY(const Sequence one, open_sequence(device, all[i], prompt_of(i), 0, pages));
      TRINE_TRY(ChoiceFigures figures, judge_alone(device, one, chosen[i - begin]));
      run.settings.push_back(std::move(figures));
    }
  }
  return run;
}

}  // namespace trine::contract
