#include "text/pretokenizer.h"

#include "base/check.h"
#include "text/utf8.h"

#include <cstdint>
#include <limits>
#include <new>

#include <pcre2.h>

namespace trine::text {
namespace {

// Unicode's White_Space, spelled out because PCRE2's \s also takes U+180E, which left White_Space in
// Unicode 6.3.
#define TRINE_SPACE \
  "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

constexpr const char* qwen2_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    "|\\p{N}"
    "| ?[^" TRINE_SPACE
    "\\p{L}\\p{N}]+[\\r\\n]*"
    "|[" TRINE_SPACE
    "]*[\\r\\n]+"
    "|[" TRINE_SPACE "]+(?![^" TRINE_SPACE
    "])"
    "|[" TRINE_SPACE "]+";

#undef TRINE_SPACE

// One byte, as what it replaces, so that offsets stay; a control character is no letter, digit or white
// space.
constexpr char stand_in = '\x1A';

}  // namespace

void Pretokenizer::Free::operator()(pcre2_code* code) const {
  pcre2_code_free(code);
}
void Pretokenizer::Free::operator()(pcre2_match_context* limits) const {
  pcre2_match_context_free(limits);
}
void WordSplitter::Free::operator()(pcre2_match_data* match) const {
  pcre2_match_data_free(match);
}

Pretokenizer::Pretokenizer() {
  int error = 0;
  std::size_t offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(qwen2_pattern), PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr));
  check(code_ != nullptr, "PCRE2 (which needs Unicode support) compiles the pre-tokenizer's pattern");
  // Limits guard against patterns that explode; this one is linear, and a long run of spaces is legitimate.
  limits_.reset(pcre2_match_context_create(nullptr));
  if (!limits_) throw std::bad_alloc();
  constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();
  pcre2_set_match_limit(limits_.get(), unlimited);
  pcre2_set_depth_limit(limits_.get(), unlimited);
  pcre2_set_heap_limit(limits_.get(), unlimited);
  jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
}

WordSplitter::WordSplitter(const Pretokenizer& pretokenizer)
    : pretokenizer_(&pretokenizer), match_(pcre2_match_data_create(1, nullptr)) {
  if (!match_) throw std::bad_alloc();
}

void WordSplitter::start(std::string_view text) {
  text_ = text;
  subject_ = text;
  at_ = 0;
  std::size_t bad = find_ill_formed(text, 0);
  if (bad == text.size()) return;
  repaired_ = text;
  while (bad < text.size()) {
    const std::size_t length = first_utf8_unit(text.substr(bad)).length;
    repaired_.replace(bad, length, length, stand_in);
    bad = find_ill_formed(text, bad + length);
  }
  subject_ = repaired_;
}

std::string_view WordSplitter::next() {
  if (at_ == text_.size()) return {};
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(subject_.data());
  // The subject was checked once in start(); letting PCRE2 check it for every word would be quadratic.
  const auto match = pretokenizer_->jit_ ? pcre2_jit_match : pcre2_match;
  const int matched = match(pretokenizer_->code_.get(), subject, subject_.size(), at_, PCRE2_NO_UTF_CHECK,
                            match_.get(), pretokenizer_->limits_.get());
  if (matched == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  check(matched == 1, "the pre-tokenizer's pattern matches at every character");
  const std::size_t begin = at_;
  at_ = pcre2_get_ovector_pointer(match_.get())[1];
  return text_.substr(begin, at_ - begin);
}

}  // namespace trine::text
