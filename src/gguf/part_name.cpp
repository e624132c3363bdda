#include "gguf/part_name.h"

#include <fmt/format.h>
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>

namespace trine::gguf {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

// Takes the digits off the end of `text`; none, or more than any count of parts has: nothing.
std::string_view take_digits(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[text.size() - 1 - digits])) ++digits;
  if (digits > 9) return {};
  const std::string_view taken = text.substr(text.size() - digits);
  text.remove_suffix(digits);
  return taken;
}

std::uint64_t to_number(std::string_view digits) {
  std::uint64_t number = 0;
  for (const char c : digits) number = number * 10 + static_cast<std::uint64_t>(c - '0');
  return number;
}

// Takes "-of-" or ".gguf" off the end of `text`, in whatever case it is spelt there.
std::string take_word(std::string_view& text, std::string_view word) {
  if (text.size() < word.size()) return {};
  const std::string_view taken = text.substr(text.size() - word.size());
  if (lower(taken) != word) return {};
  text.remove_suffix(word.size());
  return std::string(taken);
}

}  // namespace

std::optional<PartName> part_name(const std::string& path) {
  PartName name;
  std::string_view rest = path;
  name.extension = take_word(rest, ".gguf");
  const std::string_view count = take_digits(rest);
  name.of = take_word(rest, "-of-");
  const std::string_view number = take_digits(rest);
  if (name.extension.empty() || count.empty() || name.of.empty() || number.empty()) return std::nullopt;
  if (rest.size() < 2 || rest.back() != '-') return std::nullopt;
  rest.remove_suffix(1);
  name.prefix = rest;
  name.number = to_number(number);
  name.count = to_number(count);
  name.number_digits = number.size();
  name.count_digits = count.size();
  return name;
}

std::string path_of_part(const PartName& name, std::uint64_t number) {
  return fmt::format("{}-{:0{}}{}{:0{}}{}", name.prefix, number, name.number_digits, name.of, name.count,
                     name.count_digits, name.extension);
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+,:@%=";
  if (!text.empty() && text[0] != '-' && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = text[0] == '-' ? "./'" : "'";
  for (const char c : text) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

// ---- pieces of a file, for cat ----

namespace {

struct Piece {
  std::string before;    // the path up to the piece's own letters or number
  std::string id;        // those
  std::string of_count;  // "of2", when the name says so
  std::uint64_t count = 0;
};

std::string_view skip(std::string_view text, std::string_view any_of) {
  return !text.empty() && any_of.find(text[0]) != std::string_view::npos ? text.substr(1) : text;
}

// Of two letters, and put behind the name of a model: what split(1) comes to only after 160 pieces.
bool is_usual_extension(std::string_view letters) {
  constexpr std::string_view usual[] = {"gz", "xz", "lz", "br", "bz", "md"};
  return std::find(std::begin(usual), std::end(usual), letters) != std::end(usual);
}

// `tail` is what follows ".gguf": "-split-a", ".part1of2", ".001", "aa". Plain letters and numbers are fewer
// than what they could be, since ".bak" and wget's ".1" are no pieces.
std::optional<Piece> read_piece(const std::string& path, std::string_view tail) {
  constexpr std::string_view separators = ".-_";
  std::string_view rest = skip(tail, separators);
  const bool is_word = rest.starts_with("split") || rest.starts_with("part");
  if (is_word) rest = skip(rest.substr(rest[0] == 's' ? 5 : 4), separators);
  Piece piece;
  piece.before = path.substr(0, path.size() - rest.size());
  const auto end_of = [&](bool (*is_one)(char)) {
    return static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_one) - rest.begin());
  };
  if (const std::size_t letters = end_of(is_lower); letters == rest.size()) {
    if ((letters == 2 && !is_usual_extension(rest)) || (letters == 1 && is_word) ||
        (letters == 3 && rest.starts_with("aa"))) {
      piece.id = rest;
      return piece;
    }
    return std::nullopt;
  }
  const std::size_t digits = end_of(is_digit);
  if (digits == 0 || digits > 5 || (digits == 1 && !is_word)) return std::nullopt;
  piece.id = rest.substr(0, digits);
  piece.of_count = rest.substr(digits);
  std::string_view count = skip(piece.of_count, separators);
  if (count.empty()) return piece;
  if (!count.starts_with("of")) return std::nullopt;
  count = skip(count.substr(2), separators);
  if (count.empty() || count.size() > 5 || !std::all_of(count.begin(), count.end(), is_digit))
    return std::nullopt;
  piece.count = to_number(count);
  return piece;
}

// In the order in which cat must have them. A pattern of a shell is in order where all numbers are of one
// width.
std::string names_of_pieces(const Piece& piece) {
  if (piece.count < 1 || piece.count > 20) {
    // Not ??, which model.gguf.gz beside them would answer to.
    const bool is_early = piece.id.size() == 2 && (piece.id[0] == 'a' || piece.id[0] == 'b');
    return shell_word(piece.before) + (is_early ? "[ab]?" : std::string(piece.id.size(), '?')) +
           (piece.of_count.empty() ? "" : shell_word(piece.of_count));
  }
  std::string names;
  for (std::uint64_t i = 1; i <= piece.count; ++i) {
    if (i > 1) names += ' ';
    names += shell_word(fmt::format("{}{:0{}}{}", piece.before, i, piece.id.size(), piece.of_count));
  }
  return names;
}

}  // namespace

std::string how_to_join_pieces(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::size_t extension = lower(path).rfind(".gguf");
  if (extension == std::string::npos || (slash != std::string::npos && extension < slash)) return {};
  const std::size_t end = extension + 5;
  if (end == path.size()) return {};
  const auto piece = read_piece(path, std::string_view(path).substr(end));
  if (!piece) return {};
  // What has the name of the whole may be a model that is whole.
  std::string whole = path.substr(0, end);
  if (std::error_code ignored; std::filesystem::exists(whole, ignored)) whole.insert(extension, "-joined");
  return fmt::format("By its name this is a piece of a file that was cut up; join the pieces: cat {} > {}",
                     names_of_pieces(*piece), shell_word(whole));
}

}  // namespace trine::gguf
