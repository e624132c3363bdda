#pragma once

#include <memory>
#include <string>
#include <string_view>

// What pcre2_code, pcre2_match_context and pcre2_match_data name; pcre2.h stays out of this header.
struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace trine::text {

// The split of Qwen2 and Qwen3 that comes before byte-pair merging: no merge crosses the border between two
// words. Source: PRETOKENIZE_REGEX in transformers' models/qwen2/tokenization_qwen2.py, which the models'
// tokenizer.json repeats. Letters and numbers are those of the linked PCRE2's Unicode (14 in release 10.42);
// characters that Unicode added later split like symbols.
// Immutable after construction, shared between threads; each thread walks with a WordSplitter of its own.
class Pretokenizer {
 public:
  Pretokenizer();

 private:
  friend class WordSplitter;
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
    void operator()(pcre2_real_match_context_8* limits) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
  std::unique_ptr<pcre2_real_match_context_8, Free> limits_;
  bool jit_ = false;  // compiled to machine code; the interpreter gives the same matches, slower
};

// Walks over the words of one text after another. Every byte of a text belongs to exactly one word.
class WordSplitter {
 public:
  explicit WordSplitter(const Pretokenizer& pretokenizer);

  // `text` must outlive the walk. A byte that is no part of well-formed UTF-8 counts as a symbol: neither
  // letter, digit, nor white space.
  void start(std::string_view text);
  // The next word, a view into the text; empty at the end.
  std::string_view next();

 private:
  struct Free {
    void operator()(pcre2_real_match_data_8* match) const;
  };
  const Pretokenizer* pretokenizer_;
  std::unique_ptr<pcre2_real_match_data_8, Free> match_;
  std::string_view text_;
  std::string repaired_;      // the text with stand-ins, only when it is not well-formed UTF-8
  std::string_view subject_;  // what is matched: text_ or repaired_, of equal length
  std::size_t at_ = 0;
};

}  // namespace trine::text
