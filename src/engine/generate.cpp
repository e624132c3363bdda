#include "engine/generate.h"

#include "engine/prompt.h"
#include "engine/stop_filter.h"
#include "model/open_slot.h"
#include "text/stream_decoder.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <deque>
#include <iterator>
#include <utility>

namespace trine::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

bool is_cancelled(const GenerateRequest& request) {
  return request.cancel != nullptr && request.cancel->load(std::memory_order_relaxed);
}

std::int64_t context_of(const model::DeviceModel& model, const GenerateRequest& request) {
  const std::int64_t held = std::int64_t{model.limits().kv_pages} * model.limits().kv_page_size;
  const std::int64_t most = std::min<std::int64_t>(model.config().context_length, held);
  return request.context > 0 ? std::min<std::int64_t>(request.context, most) : most;
}

Result<void> check_prompt(const model::DeviceModel& model, const GenerateRequest& request) {
  if (request.prompt.empty()) {
    return fail({.code = ErrorCode::usage,
                 .what = "the prompt is empty",
                 .where = "prompt",
                 .expected = "at least one token",
                 .actual = "none"});
  }
  return require_fit(request.prompt.size(), context_of(model, request), model.config().context_length);
}

Result<void> check_request(const model::DeviceModel& model, const GenerateRequest& request) {
  TRINE_CHECK_OK(check_prompt(model, request));
  TRINE_CHECK_OK(sampling::validate(request.sampling, model.config().vocab_size));
  if (request.max_tokens < -1) {
    return fail({.code = ErrorCode::usage,
                 .what = "max_tokens is out of range",
                 .expected = "-1 (until the context is full) or more",
                 .actual = fmt::format("{}", request.max_tokens)});
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty())
      return fail(
          {.code = ErrorCode::usage, .what = "a stop string is empty", .expected = "at least one character"});
    // Text is cut before a stop string, and only ever between characters.
    if ((static_cast<unsigned char>(stop.front()) & 0xC0) == 0x80) {
      return fail({.code = ErrorCode::usage,
                   .what = "a stop string begins inside a character",
                   .expected = "UTF-8 text"});
    }
  }
  return {};
}

// One sequence on the model, in a slot of its own; its KV pages are 0, 1, 2, … as it grows.
class Sequence {
 public:
  static Result<Sequence> open(model::DeviceModel& model, const GenerateRequest& request) {
    TRINE_TRY(model::OpenSlot slot, model::OpenSlot::open(model, {request.sampling, request.prompt}));
    return Sequence(model, std::move(slot));
  }

  std::int32_t length() const { return model_.length_of(slot_.id()); }

  // Submits `tokens`, at most limits().rows of them, behind what was submitted before.
  Result<model::Ticket> submit(std::span<const std::int32_t> tokens, model::Wants wants) {
    std::int32_t position = length();
    TRINE_CHECK_OK(grow(position + std::ssize(tokens)));
    model::Step step;
    for (const std::int32_t token : tokens) step.rows.push_back({token, position++, slot_.id()});
    step.rows.back().wants = wants;
    return model_.submit(step);
  }
  // Runs the last of `length` positions again for its logits.
  Result<std::vector<float>> logits_of(std::int32_t token, std::int32_t position) {
    TRINE_TRY(model::StepOutput output, model_.run({{{token, position, slot_.id(), model::Wants::logits}}}));
    return std::move(output.logits);
  }

 private:
  Sequence(model::DeviceModel& model, model::OpenSlot slot) : model_(model), slot_(std::move(slot)) {}

  Result<void> grow(std::int64_t positions) {
    std::vector<std::int32_t> more;
    while (std::int64_t{pages_} * model_.limits().kv_page_size < positions) more.push_back(pages_++);
    return more.empty() ? Result<void>() : model_.add_pages(slot_.id(), more);
  }

  model::DeviceModel& model_;
  model::OpenSlot slot_;
  std::int32_t pages_ = 0;
};

// From token bytes to what the caller may see.
class TextOutput {
 public:
  TextOutput(const text::Tokenizer& tokenizer, const GenerateRequest& request, std::string& text)
      : tokenizer_(tokenizer), request_(request), filter_(request.stop), text_(text) {}

  void push(std::int32_t token) {
    if (!tokenizer_.is_special(token)) show(filter_.push(decoder_.push(tokenizer_.piece(token))));
  }
  void finish() {
    show(filter_.push(decoder_.finish()));
    show(filter_.finish());
  }
  bool stopped() const { return filter_.stopped(); }

 private:
  void show(const std::string& shown) {
    if (shown.empty()) return;
    text_ += shown;
    if (request_.on_text) request_.on_text(shown);
  }

  const text::Tokenizer& tokenizer_;
  const GenerateRequest& request_;
  text::StreamDecoder decoder_;
  StopFilter filter_;
  std::string& text_;
};

// Steps run ahead of the tokens that were taken: while one is shown, the next ones are on the device. What
// ran past the end is dropped.
class Generation {
 public:
  Generation(model::DeviceModel& model, Sequence sequence, const text::Tokenizer& tokenizer,
             const GenerateRequest& request)
      : model_(model),
        tokenizer_(tokenizer),
        request_(request),
        context_(context_of(model, request)),
        sequence_(std::move(sequence)),
        output_(tokenizer, request, result_.text) {}
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;
  ~Generation() {
    for (const model::Ticket ticket : ahead_) static_cast<void>(model_.wait(ticket));
  }

  Result<GenerateResult> run() {
    TRINE_TRY(result_.finish, run_to_end());
    output_.finish();
    if (output_.stopped()) result_.finish = FinishReason::stop_string;
    if (result_.first_token_seconds > 0)
      result_.decode_seconds = seconds_between(begin_, Clock::now()) - result_.first_token_seconds;
    return std::move(result_);
  }

 private:
  Result<FinishReason> run_to_end() {
    TRINE_TRY(const bool is_running, prefill());
    if (!is_running) return FinishReason::cancelled;
    TRINE_TRY(std::int32_t token, next());
    result_.first_token_seconds = seconds_between(begin_, Clock::now());
    while (true) {
      if (tokenizer_.is_end_of_generation(token)) return FinishReason::end_of_generation;
      result_.tokens.push_back(token);
      output_.push(token);
      if (output_.stopped()) return FinishReason::stop_string;
      if (std::cmp_equal(result_.tokens.size(), request_.max_tokens)) return FinishReason::length;
      if (held() >= context_) return FinishReason::context_full;
      if (is_cancelled(request_)) return FinishReason::cancelled;
      TRINE_TRY(token, next());
    }
  }

  // Positions up to the newest token that was taken, without it.
  std::int64_t held() const { return std::ssize(request_.prompt) + std::ssize(result_.tokens) - 1; }

  // Submits the prompt; the last slice wants a token. False when the request was cancelled first.
  Result<bool> prefill() {
    const std::span<const std::int32_t> prompt(request_.prompt);
    const auto rows = static_cast<std::size_t>(model_.limits().rows);
    for (std::size_t begin = 0; begin < prompt.size(); begin += rows) {
      if (is_cancelled(request_)) return false;
      const auto slice = prompt.subspan(begin, std::min(rows, prompt.size() - begin));
      const bool is_last = begin + slice.size() == prompt.size();
      TRINE_CHECK_OK(submit(slice, is_last ? model::Wants::token : model::Wants::nothing));
      // Slices are waited for, so that a prompt can be cancelled between them.
      if (!is_last) TRINE_CHECK_OK(wait_for_oldest());
    }
    choosing_ = 1;
    return true;
  }

  Result<void> submit(std::span<const std::int32_t> tokens, model::Wants wants) {
    TRINE_TRY(const model::Ticket ticket, sequence_.submit(tokens, wants));
    ahead_.push_back(ticket);
    return {};
  }

  Result<model::StepOutput> wait_for_oldest() {
    const model::Ticket ticket = ahead_.front();
    ahead_.pop_front();
    return model_.wait(ticket);
  }

  // Keeps steps on their way, as far as tokens may be wanted.
  Result<void> run_ahead() {
    const std::int64_t room = context_ - std::ssize(request_.prompt) + 1;
    const std::int64_t most =
        request_.max_tokens < 0 ? room : std::min<std::int64_t>(room, request_.max_tokens);
    while (std::ssize(ahead_) < model_.limits().steps_ahead && choosing_ < most) {
      TRINE_CHECK_OK(submit({&model::last_choice, 1}, model::Wants::token));
      ++choosing_;
    }
    return {};
  }

  // The token behind those that were taken.
  Result<std::int32_t> next() {
    TRINE_CHECK_OK(run_ahead());
    TRINE_TRY(const model::StepOutput output, wait_for_oldest());
    const std::int32_t token = output.tokens.front();
    return token == model::no_token ? explain() : Result<std::int32_t>(token);
  }

  // Why there is no token: the row is run once more for its logits, and the rules say what is wrong with
  // them.
  Result<std::int32_t> explain() {
    while (!ahead_.empty()) TRINE_CHECK_OK(wait_for_oldest());
    const std::int32_t last = result_.tokens.empty() ? request_.prompt.back() : result_.tokens.back();
    const auto position = static_cast<std::int32_t>(held());
    TRINE_TRY(const std::vector<float> logits, sequence_.logits_of(last, position));
    auto token = sampling::Sampler(request_.sampling).sample(logits);
    Error error = token ? Error{.code = ErrorCode::inference,
                                .what = "the device found no token to choose where the host does",
                                .hint = "Run 'trine verify' on this device"}
                        : std::move(token).error();
    error.where = fmt::format("logits behind token {} (prompt and output)", position + 1);
    if (error.hint.empty())
      error.hint = "The weights may be damaged: download the file again, or judge it with 'trine verify'";
    return fail(std::move(error));
  }

  model::DeviceModel& model_;
  const text::Tokenizer& tokenizer_;
  const GenerateRequest& request_;
  const Clock::time_point begin_ = Clock::now();
  const std::int64_t context_;
  GenerateResult result_;
  Sequence sequence_;
  std::deque<model::Ticket> ahead_;  // oldest first
  std::int64_t choosing_ = 0;        // tokens chosen or on their way
  TextOutput output_;
};

}  // namespace

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_of_generation:
      return "end_of_generation";
    case FinishReason::length:
      return "length";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::context_full:
      return "context_full";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<GenerateResult> generate(model::DeviceModel& model, const text::Tokenizer& tokenizer,
                                const GenerateRequest& request) {
  TRINE_CHECK_OK(check_request(model, request));
  if (request.max_tokens == 0) return GenerateResult{};
  TRINE_TRY(Sequence sequence, Sequence::open(model, request));
  return Generation(model, std::move(sequence), tokenizer, request).run();
}

}  // namespace trine::engine
