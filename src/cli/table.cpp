#include "cli/table.h"

#include "base/check.h"

#include <algorithm>

namespace trine::cli {
namespace {

// Characters, not bytes: UTF-8 continuation bytes take no column.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
    widths_.push_back(0);
  }
  add(std::move(headings));
}

void Table::add(std::vector<std::string> row) {
  check(row.size() == widths_.size(), "a table row has one cell per column");
  for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], width(row[i]));
  rows_.push_back(std::move(row));
}

std::string Table::cell(const std::string& text, std::size_t column) const {
  std::string padded = text;
  padded.insert(right_[column] ? 0 : text.size(), widths_[column] - width(text), ' ');
  return padded;
}

std::string Table::text() const {
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line.append(i == 0 ? "" : "  ").append(cell(row[i], i));
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string Table::markdown() const {
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t i = 0; i < rows_[r].size(); ++i)
      out.append("| ").append(cell(rows_[r][i], i)).append(" ");
    out += "|\n";
    if (r > 0) continue;
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      out.append("|").append(widths_[i] + 1, '-').append(right_[i] ? ":" : "-");
    }
    out += "|\n";
  }
  return out;
}

}  // namespace trine::cli
