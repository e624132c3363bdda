#include "engine/bench.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

namespace trine::engine {
namespace {

// Positions of the KV pages that any backend has, at most.
constexpr std::int32_t largest_page = 64;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Spread spread_of(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  const std::size_t middle = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return {median, rates.front(), rates.back()};
}

// The token of a sequence at a position: SplitMix64 (Steele et al. 2014) of both.
std::int32_t random_token(std::int32_t sequence, std::int32_t position, std::int32_t vocab_size) {
  const std::uint64_t place =
      (static_cast<std::uint64_t>(sequence) << 32) + static_cast<std::uint64_t>(position);
  std::uint64_t z = (place + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<std::int32_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(vocab_size));
}

// A model without numbers has no speed worth telling.
Result<void> require_tokens(const model::StepOutput& output, std::int32_t position) {
  const bool found = std::none_of(output.tokens.begin(), output.tokens.end(),
                                  [](std::int32_t token) { return token == model::no_token; });
  if (found) return {};
  return fail({.code = ErrorCode::inference,
               .what = "the logits are no numbers to choose from",
               .where = fmt::format("behind position {}", position),
               .hint = "Judge the model with 'trine verify'"});
}

std::int32_t pages_for(std::int32_t positions, std::int32_t page_size) {
  return (positions + page_size - 1) / page_size;
}

}  // namespace

std::optional<NamedSampling> find_sampling(const std::string& name) {
  NamedSampling found{name, {.temperature = 0}};
  if (name == "greedy") return found;
  found.params = {.temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .repeat_penalty = 1.05f};
  if (name == "recommended") return found;
  if (name != "penalties") return std::nullopt;
  found.params.presence_penalty = 0.5f;
  found.params.frequency_penalty = 0.5f;
  found.params.logit_bias = {{0, 1.0f}};
  return found;
}

std::int32_t BenchPlan::longest() const {
  std::int32_t most = 1;
  for (const std::int32_t tokens : prefill) most = std::max(most, tokens);
  if (decode > 0) {
    for (const std::int32_t depth : depths) most = std::max(most, depth + decode);
  }
  return most;
}

std::int32_t BenchPlan::context() const {
  return pages_for(longest(), largest_page) * largest_page * slots();
}

std::int32_t BenchPlan::slots() const {
  return decode > 0 ? *std::max_element(sequences.begin(), sequences.end()) : 1;
}

// The sequences of one measurement, each with pages of its own.
struct Bench::Sequences {
  const DecodeCase& of;
  std::vector<model::OpenSlot> slots;
};

// The rows of a prompt from `begin` on, as many as a step takes; behind its last one a token is chosen.
model::Step Bench::prompt_step(const model::OpenSlot& slot, std::int32_t sequence, std::int32_t begin,
                               std::int32_t tokens) const {
  const std::int32_t end = std::min(tokens, begin + model_.limits().rows);
  model::Step step;
  for (std::int32_t i = begin; i < end; ++i)
    step.rows.push_back({random_token(sequence, i, model_.config().vocab_size), i, slot.id()});
  if (end == tokens) step.rows.back().wants = model::Wants::token;
  return step;
}

Result<void> Bench::run_prompt(const model::OpenSlot& slot, std::int32_t sequence, std::int32_t tokens) {
  for (std::int32_t begin = 0; begin < tokens; begin += model_.limits().rows) {
    const model::Step step = prompt_step(slot, sequence, begin, tokens);
    TRINE_TRY(const model::StepOutput output, model_.run(step));
    TRINE_CHECK_OK(require_tokens(output, step.rows.back().position));
  }
  return {};
}

// Of a prompt that was run: the same steps again, each by itself.
Result<model::StepTime> Bench::time_prompt(const model::OpenSlot& slot, std::int32_t tokens) {
  model::StepTime sum;
  for (std::int32_t begin = 0; begin < tokens; begin += model_.limits().rows) {
    TRINE_TRY(const model::StepTime time, model_.time_step(prompt_step(slot, 0, begin, tokens), true));
    sum.microseconds += time.microseconds;
    if (sum.phases.empty())
      sum.phases = time.phases;
    else
      for (std::size_t i = 0; i < time.phases.size(); ++i) sum.phases[i] += time.phases[i];
  }
  return sum;
}

Result<PrefillRate> Bench::prefill(std::int32_t tokens, const BenchPlan& plan) {
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(model_));
  std::vector<double> rates;
  for (std::int32_t i = 0; i < plan.warmup + plan.repetitions; ++i) {
    const Clock::time_point start = Clock::now();
    TRINE_CHECK_OK(run_prompt(slot, 0, tokens));
    if (i >= plan.warmup) rates.push_back(tokens / seconds_since(start));
  }
  PrefillRate result{spread_of(std::move(rates)), {}};
  if (plan.parts && model_.times_phases()) {
    TRINE_TRY(result.phases, time_prompt(slot, tokens));
  }
  return result;
}

Result<Bench::Sequences> Bench::open(const DecodeCase& one, const BenchPlan& plan) {
  Sequences sequences{one, {}};
  const std::int32_t pages_each = pages_for(one.depth + plan.decode, model_.limits().kv_page_size);
  for (std::int32_t s = 0; s < one.sequences; ++s) {
    TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open(model_));
    std::vector<std::int32_t> pages(static_cast<std::size_t>(pages_each));
    std::iota(pages.begin(), pages.end(), s * pages_each);
    TRINE_CHECK_OK(model_.set_pages(slot.id(), std::move(pages), 0));
    if (one.depth > 0) TRINE_CHECK_OK(run_prompt(slot, s, one.depth));
    sequences.slots.push_back(std::move(slot));
  }
  return sequences;
}

// Step `index` of a repetition: its first tokens are random, and those behind them what was chosen.
Result<void> Bench::submit(const Sequences& sequences, std::int32_t index, HostCost& cost,
                           std::deque<model::Ticket>& ahead) {
  model::Step step;
  for (std::size_t s = 0; s < sequences.slots.size(); ++s) {
    const std::int32_t position = sequences.of.depth + index;
    const std::int32_t first =
        random_token(static_cast<std::int32_t>(s), position, model_.config().vocab_size);
    step.rows.push_back(
        {index == 0 ? first : model::last_choice, position, sequences.slots[s].id(), model::Wants::token});
  }
  const Clock::time_point start = Clock::now();
  TRINE_TRY(const model::Ticket ticket, model_.submit(step));
  cost.submit_seconds += seconds_since(start);
  ahead.push_back(ticket);
  ++cost.steps;
  return {};
}

// The same positions are written in every repetition, so the cache below them stays as it is. Returns the
// seconds from the first step to the last token.
Result<double> Bench::decode_once(const Sequences& sequences, const BenchPlan& plan, HostCost& cost) {
  for (std::size_t s = 0; s < sequences.slots.size(); ++s) {
    model::Choosing choosing{sequences.of.sampling.params};
    choosing.params.seed = s;
    for (std::int32_t i = 0; i < sequences.of.depth; ++i)
      choosing.prompt.push_back(random_token(static_cast<std::int32_t>(s), i, model_.config().vocab_size));
    TRINE_CHECK_OK(model_.set_choosing(sequences.slots[s].id(), choosing));
  }
  std::deque<model::Ticket> ahead;
  const Clock::time_point start = Clock::now();
  for (std::int32_t taken = 0, next = 0; taken < plan.decode; ++taken) {
    while (next < plan.decode && std::ssize(ahead) < model_.limits().steps_ahead)
      TRINE_CHECK_OK(submit(sequences, next++, cost, ahead));
    const Clock::time_point waiting = Clock::now();
    TRINE_TRY(const model::StepOutput output, model_.wait(ahead.front()));
    ahead.pop_front();
    cost.wait_seconds += seconds_since(waiting);
    cost.launches += output.launches;
    TRINE_CHECK_OK(require_tokens(output, sequences.of.depth + taken));
  }
  return seconds_since(start);
}

Result<DecodeRate> Bench::decode(const DecodeCase& one, const BenchPlan& plan) {
  TRINE_TRY(const Sequences sequences, open(one, plan));
  DecodeRate result;
  std::vector<double> rates;
  for (std::int32_t i = 0; i < plan.warmup + plan.repetitions; ++i) {
    HostCost uncounted;
    TRINE_TRY(const double seconds, decode_once(sequences, plan, i < plan.warmup ? uncounted : result.host));
    if (i >= plan.warmup) rates.push_back(one.sequences * plan.decode / seconds);
  }
  result.rate = spread_of(std::move(rates));
  if (!model_.times_kernels() && !(plan.parts && model_.times_phases())) return result;
  const std::int32_t middle = one.depth + plan.decode / 2;
  model::Step step;
  for (std::size_t s = 0; s < sequences.slots.size(); ++s) {
    const std::int32_t token = random_token(static_cast<std::int32_t>(s), middle, model_.config().vocab_size);
    step.rows.push_back({token, middle, sequences.slots[s].id(), model::Wants::token});
  }
  TRINE_TRY(result.step, model_.time_step(step, plan.parts));
  return result;
}

}  // namespace trine::engine
