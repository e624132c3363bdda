#include "cli/bench_measure.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>

namespace trine::cli {
namespace {

using Clock = std::chrono::steady_clock;

Spread spread_of(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  const std::size_t middle = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return {median, rates.front(), rates.back()};
}

// The token at a position: SplitMix64 (Steele et al. 2014) of the position.
std::int32_t random_token(std::int32_t position, std::int32_t vocab_size) {
  std::uint64_t z = (static_cast<std::uint64_t>(position) + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<std::int32_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(vocab_size));
}

// Repeats `body`, which is told whether it counts and returns Result<void>, and turns the time of each
// counted repetition into tokens per second.
template <typename Body>
Result<Spread> repeat(const BenchPlan& plan, std::int32_t tokens, Body body) {
  std::vector<double> rates;
  for (std::int32_t i = 0; i < plan.warmup + plan.repetitions; ++i) {
    const Clock::time_point start = Clock::now();
    TRINE_CHECK_OK(body(i >= plan.warmup));
    const std::chrono::duration<double> seconds = Clock::now() - start;
    if (i >= plan.warmup) rates.push_back(tokens / seconds.count());
  }
  return spread_of(std::move(rates));
}

tl::unexpected<Error> no_numbers(std::int32_t position) {
  return fail({.code = ErrorCode::inference,
               .what = "the logits are no numbers to choose from",
               .where = fmt::format("behind position {}", position),
               .hint = "Judge the model with 'trine verify'"});
}

}  // namespace

std::int32_t BenchPlan::context() const {
  std::int32_t most = 1;
  for (const std::int32_t tokens : prefill) most = std::max(most, tokens);
  if (decode > 0) {
    for (const std::int32_t depth : depths) most = std::max(most, depth + decode);
  }
  return most;
}

Bench::Bench(model::DeviceModel& model)
    : model_(model), logits_(static_cast<std::size_t>(model.config().vocab_size)) {
  std::vector<std::int32_t> pages(static_cast<std::size_t>(model.kv_pages()));
  std::iota(pages.begin(), pages.end(), 0);
  batch_.page_tables.push_back(std::move(pages));
}

Result<void> Bench::forward(std::int32_t first, std::int32_t count) {
  const std::int32_t end = first + count;
  for (std::int32_t begin = first; begin < end;) {
    const std::int32_t stop = std::min(end, begin + model_.max_batch_rows());
    batch_.rows.clear();
    for (std::int32_t position = begin; position < stop; ++position) {
      batch_.rows.push_back(
          {random_token(position, model_.config().vocab_size), position, 0, position == end - 1});
    }
    const std::span<float> logits(logits_);
    TRINE_CHECK_OK(model_.forward(batch_, stop == end ? logits : logits.first(0), nullptr));
    begin = stop;
  }
  return {};
}

// A model without numbers has no speed worth telling.
Result<void> Bench::require_numbers(std::int32_t position) const {
  if (std::all_of(logits_.begin(), logits_.end(), [](float logit) { return std::isfinite(logit); }))
    return {};
  return no_numbers(position);
}

Result<Spread> Bench::prefill(std::int32_t tokens, const BenchPlan& plan) {
  TRINE_TRY(const Spread rate, repeat(plan, tokens, [&](bool) { return forward(0, tokens); }));
  TRINE_CHECK_OK(require_numbers(tokens - 1));
  return rate;
}

// Nothing where the model has no stream.
Result<std::optional<model::StreamCost>> Bench::stream(std::int32_t depth, std::int32_t tokens) {
  model::StreamRequest request;
  request.page_table = batch_.page_tables.front();
  request.token = random_token(depth, model_.config().vocab_size);
  request.position = depth;
  request.steps = tokens;
  TRINE_TRY(const std::unique_ptr<model::TokenStream> stream, model_.decode_stream(request));
  if (stream == nullptr) return std::nullopt;
  for (std::int32_t i = 0; i < tokens; ++i) {
    TRINE_TRY(const std::int32_t token, stream->next());
    if (token == model::no_token) return no_numbers(depth + i);
  }
  return stream->cost();
}

Result<DecodeRate> Bench::decode(std::int32_t depth, const BenchPlan& plan) {
  if (depth > 0) TRINE_CHECK_OK(forward(0, depth));
  DecodeRate result;
  // Each repetition writes the same positions again, so the cache below them stays as it is.
  const auto body = [&](bool counts) -> Result<void> {
    TRINE_TRY(const std::optional<model::StreamCost> cost, stream(depth, plan.decode));
    for (std::int32_t i = 0; i < plan.decode && !cost; ++i) TRINE_CHECK_OK(forward(depth + i, 1));
    if (!counts || !cost) return {};
    if (!result.stream) result.stream.emplace();
    result.stream->steps += cost->steps;
    result.stream->encode_seconds += cost->encode_seconds;
    result.stream->wait_seconds += cost->wait_seconds;
    result.stream->dispatches += cost->dispatches;
    return {};
  };
  TRINE_TRY(result.rate, repeat(plan, plan.decode, body));
  if (!result.stream) TRINE_CHECK_OK(require_numbers(depth + plan.decode - 1));
  if (model_.times_passes()) {
    const std::int32_t middle = depth + plan.decode / 2;
    batch_.rows = {{random_token(middle, model_.config().vocab_size), middle, 0, true}};
    TRINE_TRY(result.device, model_.time_pass(batch_, plan.kernels));
  }
  return result;
}

}  // namespace trine::cli
