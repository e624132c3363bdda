#pragma once

#include <string>
#include <vector>

namespace trine::cli {

// Rows of text in aligned columns. A column whose heading starts with '>' is aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> row);  // as many cells as headings

  std::string text() const;      // two spaces between columns, headings first
  std::string markdown() const;  // a GitHub table

 private:
  std::string cell(const std::string& text, std::size_t column) const;  // padded
  std::vector<std::size_t> widths_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // headings first
};

}  // namespace trine::cli
