#pragma once

#include "base/error.h"
#include "gguf/file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trine::model {

// Reads the keys of one architecture, "<arch>.<suffix>"; every error names the file and the key. An array
// whose values are all equal counts as that value: some tools write one for each layer. Not used outside this
// folder.
class Keys {
 public:
  Keys(const gguf::File& file, std::string architecture);

  const gguf::File& file() const { return file_; }
  std::string full(std::string_view suffix) const;
  const gguf::Value* find(std::string_view suffix) const { return file_.metadata().find(full(suffix)); }
  bool has(std::string_view suffix) const { return find(suffix) != nullptr; }
  // The number, flag or array of equal ones under the key; empty for any other value. The key is there.
  std::optional<double> find_number(std::string_view suffix) const;
  // That number as text, or what kind of value is there: for errors.
  std::string text(std::string_view suffix) const;

  tl::unexpected<Error> refuse(ErrorCode code, std::string what, std::string_view suffix,
                               std::string expected, std::string actual) const;
  // For a value that no model of this kind can have.
  tl::unexpected<Error> impossible(std::string_view suffix, std::string expected, std::string actual) const;

  // An integer from 1 to `max`.
  Result<std::int32_t> count(std::string_view suffix, std::int64_t max) const;
  // A finite number from `low` to `high`.
  Result<double> number(std::string_view suffix, double low, double high) const;
  Result<double> number_or(std::string_view suffix, double low, double high, double absent) const;

 private:
  Result<gguf::Value> scalar(std::string_view suffix) const;

  const gguf::File& file_;
  std::string architecture_;
};

// Errors: unsupported, for a key of another model's feature at a value that would change the answer.
Result<void> refuse_foreign_keys(const Keys& keys);

}  // namespace trine::model
