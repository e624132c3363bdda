#include "engine/generate.h"

#include "engine/stop_filter.h"
#include "text/stream_decoder.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
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
  const std::int64_t held = std::int64_t{model.kv_pages()} * model.kv_page_size();
  const std::int64_t most = std::min<std::int64_t>(model.config().context_length, held);
  return request.context > 0 ? std::min<std::int64_t>(request.context, most) : most;
}

Result<void> check_prompt(const model::DeviceModel& model, const GenerateRequest& request) {
  const auto length = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t context = context_of(model, request);
  if (length == 0) {
    return fail({.code = ErrorCode::usage,
                 .what = "the prompt is empty",
                 .where = "prompt",
                 .expected = "at least one token",
                 .actual = "none"});
  }
  if (length <= context) return {};
  const std::int64_t most = model.config().context_length;
  const bool can_grow = context < most;
  return fail(
      {.code = ErrorCode::usage,
       .what = "the prompt does not fit the context",
       .expected = fmt::format("at most {} tokens", context),
       .actual = fmt::format("{} tokens", length),
       .hint = can_grow && length <= most
                   ? fmt::format("Use --ctx {} or more (the model takes up to {}), or shorten the prompt",
                                 length, most)
                   : fmt::format("Shorten the prompt: the model takes up to {} tokens", most)});
}

Result<void> check_request(const model::DeviceModel& model, const GenerateRequest& request) {
  TRINE_CHECK_OK(check_prompt(model, request));
  TRINE_CHECK_OK(validate(request.sampling, model.config().vocab_size));
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

// Whether a choice depends on nothing but its logits, the draw's number and the parameters a stream knows.
bool has_draw_alone(const SamplingParams& sampling) {
  return (sampling.repeat_penalty == 1 || sampling.penalty_window == 0) && sampling.presence_penalty == 0 &&
         sampling.frequency_penalty == 0 && sampling.logit_bias.empty();
}

// One sequence on the model: its KV pages are 0, 1, 2, … as it grows.
class Sequence {
 public:
  explicit Sequence(model::DeviceModel& model)
      : model_(model), logits_(static_cast<std::size_t>(model.config().vocab_size)) {}

  std::int32_t length() const { return length_; }

  // Runs `tokens`, at most max_batch_rows() of them, behind what was run before. Gives the logits of the last
  // one when they are wanted, valid until the next call.
  Result<std::span<const float>> append(std::span<const std::int32_t> tokens, bool wants_logits) {
    batch_.rows.clear();
    for (const std::int32_t token : tokens) batch_.rows.push_back({token, length_++, 0, false});
    batch_.rows.back().wants_logits = wants_logits;
    grow(batch_.page_tables[0], length_);
    const std::span<float> logits = wants_logits ? std::span<float>(logits_) : std::span<float>();
    TRINE_CHECK_OK(model_.forward(batch_, logits, nullptr));
    return logits;
  }

  // Tokens chosen on the device behind `token`, at most `steps`; null where the model has no such stream.
  Result<std::unique_ptr<model::TokenStream>> stream(std::int32_t token, std::int32_t steps,
                                                     const SamplingParams& sampling, std::uint64_t draws) {
    std::vector<std::int32_t> pages = batch_.page_tables[0];
    grow(pages, std::int64_t{length_} + steps);
    return model_.decode_stream({std::move(pages), token, length_, steps, sampling.temperature,
                                 sampling.top_k, sampling.top_p, sampling.min_p, sampling.seed, draws});
  }
  // A stream ran one more token.
  void note_streamed() { ++length_; }

 private:
  void grow(std::vector<std::int32_t>& pages, std::int64_t positions) const {
    while (static_cast<std::int64_t>(pages.size()) * model_.kv_page_size() < positions) {
      pages.push_back(static_cast<std::int32_t>(pages.size()));
    }
  }

  model::DeviceModel& model_;
  model::Batch batch_{{}, std::vector<std::vector<std::int32_t>>(1)};
  std::vector<float> logits_;
  std::int32_t length_ = 0;
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

class Generation {
 public:
  Generation(model::DeviceModel& model, const text::Tokenizer& tokenizer, const GenerateRequest& request)
      : model_(model),
        tokenizer_(tokenizer),
        request_(request),
        context_(context_of(model, request)),
        sequence_(model),
        sampler_(request.sampling),
        output_(tokenizer, request, result_.text) {}

  Result<GenerateResult> run() {
    TRINE_TRY(const std::span<const float> logits, prefill());
    if (logits.empty()) {
      result_.finish = FinishReason::cancelled;
      return std::move(result_);
    }
    result_.prefill_seconds = seconds_between(begin_, Clock::now());
    TRINE_TRY(result_.finish, decode(logits));
    output_.finish();
    if (output_.stopped()) result_.finish = FinishReason::stop_string;
    result_.decode_seconds = seconds_between(begin_, Clock::now()) - result_.first_token_seconds;
    return std::move(result_);
  }

 private:
  // Logits behind the last prompt token; an empty span when the request was cancelled first.
  Result<std::span<const float>> prefill() {
    const std::span<const std::int32_t> prompt(request_.prompt);
    const auto step = static_cast<std::size_t>(model_.max_batch_rows());
    std::span<const float> logits;
    for (std::size_t begin = 0; begin < prompt.size(); begin += step) {
      if (is_cancelled(request_)) return std::span<const float>();
      const auto slice = prompt.subspan(begin, std::min(step, prompt.size() - begin));
      TRINE_TRY(logits, sequence_.append(slice, begin + slice.size() == prompt.size()));
    }
    return logits;
  }

  Result<std::int32_t> choose(std::span<const float> logits) {
    auto token = sampler_.sample(logits);
    if (token) return token;
    Error error = std::move(token).error();
    error.where = fmt::format("logits behind token {} (prompt and output)", sequence_.length());
    error.hint = "The weights may be damaged: download the file again, or judge it with 'trine verify'";
    return fail(std::move(error));
  }

  Result<std::int32_t> run_and_choose(std::int32_t token) {
    TRINE_TRY(const std::span<const float> logits, sequence_.append({&token, 1}, true));
    return choose(logits);
  }

  // Lets the device choose what comes behind `token`, where model and request allow it.
  Result<void> start_stream(std::int32_t token) {
    if (!has_draw_alone(request_.sampling)) return {};
    std::int64_t steps = context_ - sequence_.length();
    if (request_.max_tokens >= 0)
      steps = std::min<std::int64_t>(steps, request_.max_tokens - std::ssize(result_.tokens));
    TRINE_TRY(stream_,
              sequence_.stream(token, static_cast<std::int32_t>(steps), request_.sampling, sampler_.draws()));
    return {};
  }

  // The token behind `token`, the newest, which has not been run.
  Result<std::int32_t> follow(std::int32_t token) {
    if (result_.tokens.size() == 1) TRINE_CHECK_OK(start_stream(token));
    if (stream_ == nullptr) return run_and_choose(token);
    TRINE_TRY(const std::int32_t next, stream_->next());
    if (next != model::no_token) {
      sequence_.note_streamed();
      return next;
    }
    stream_.reset();
    auto chosen = run_and_choose(token);  // for its error, which says what is wrong with the logits
    if (!chosen) return chosen;
    return fail({.code = ErrorCode::inference,
                 .what = "the device found no token to choose where the host does",
                 .where = fmt::format("logits behind token {} (prompt and output)", sequence_.length()),
                 .hint = "Run 'trine verify' on this device"});
  }

  // Tokens until something ends them.
  Result<FinishReason> decode(std::span<const float> logits) {
    sampler_.accept_prompt(request_.prompt);
    TRINE_TRY(std::int32_t token, choose(logits));
    result_.first_token_seconds = seconds_between(begin_, Clock::now());
    while (true) {
      if (tokenizer_.is_end_of_generation(token)) return FinishReason::end_of_generation;
      result_.tokens.push_back(token);
      output_.push(token);
      if (output_.stopped()) return FinishReason::stop_string;
      if (std::cmp_equal(result_.tokens.size(), request_.max_tokens)) return FinishReason::length;
      if (sequence_.length() >= context_) return FinishReason::context_full;
      if (is_cancelled(request_)) return FinishReason::cancelled;
      TRINE_TRY(token, follow(token));
    }
  }

  model::DeviceModel& model_;
  const text::Tokenizer& tokenizer_;
  const GenerateRequest& request_;
  const Clock::time_point begin_ = Clock::now();
  const std::int64_t context_;
  GenerateResult result_;
  Sequence sequence_;
  Sampler sampler_;
  std::unique_ptr<model::TokenStream> stream_;
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
  return Generation(model, tokenizer, request).run();
}

}  // namespace trine::engine
