#include "text/jinja/text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace trine::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_line_break(char32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

// Where the last character before `end` starts.
std::size_t character_before(std::string_view text, std::size_t end) {
  for (std::size_t length = std::min<std::size_t>(4, end); length > 1; --length)
    if (character_at(text.substr(0, end), end - length).length == length) return end - length;
  return end - 1;
}

std::string backwards(std::string_view text) {
  return {text.rbegin(), text.rend()};
}

std::vector<std::string_view> split_at_spaces(std::string_view text, long long limit) {
  std::vector<std::string_view> parts;
  text = strip(text, std::nullopt, true, false);
  while (!text.empty()) {
    std::size_t end = 0;
    if (limit >= 0 && static_cast<long long>(parts.size()) >= limit) {
      parts.push_back(text);
      break;
    }
    while (end < text.size()) {
      const auto [code, length] = character_at(text, end);
      if (is_space(code)) break;
      end += length;
    }
    parts.push_back(text.substr(0, end));
    text = strip(text.substr(end), std::nullopt, true, false);
  }
  return parts;
}
std::vector<std::string_view> split_at_spaces_from_right(std::string_view text, long long limit) {
  std::vector<std::string_view> parts;
  text = strip(text, std::nullopt, false, true);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<long long>(parts.size()) >= limit) {
      parts.push_back(text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      const std::size_t before = character_before(text, begin);
      if (is_space(character_at(text, before).code)) break;
      begin = before;
    }
    parts.push_back(text.substr(begin));
    text = strip(text.substr(0, begin), std::nullopt, false, true);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

bool is_ascii(std::string_view text) {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & 0x8080808080808080u) != 0) return false;
  }
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
std::size_t count_characters(std::string_view text) {
  if (is_ascii(text)) return text.size();
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); at += character_at(text, at).length) ++count;
  return count;
}
std::size_t offset_of(std::string_view text, std::size_t number) {
  if (number >= text.size()) return text.size();
  if (is_ascii(text)) return number;
  std::size_t at = 0;
  for (; number > 0 && at < text.size(); --number) at += character_at(text, at).length;
  return at;
}
std::vector<char32_t> characters(std::string_view text) {
  std::vector<char32_t> codes;
  codes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    codes.push_back(code);
    at += length;
  }
  return codes;
}
std::string from_characters(const std::vector<char32_t>& characters) {
  std::string text;
  text.reserve(characters.size());
  for (const char32_t code : characters) append_character(text, code);
  return text;
}
std::string reversed(std::string_view text) {
  if (is_ascii(text)) return backwards(text);
  auto codes = characters(text);
  std::reverse(codes.begin(), codes.end());
  return from_characters(codes);
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chosen, bool left, bool right) {
  std::vector<char32_t> set;
  if (chosen) {
    set = characters(*chosen);
    std::sort(set.begin(), set.end());
  }
  const auto goes = [&](char32_t code) {
    return chosen ? std::binary_search(set.begin(), set.end(), code) : is_space(code);
  };
  while (left && !text.empty()) {
    const auto [code, length] = character_at(text, 0);
    if (!goes(code)) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const std::size_t last = character_before(text, text.size());
    if (!goes(character_at(text, last).code)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::size_t find_text(std::string_view text, std::string_view what, std::size_t from) {
  if (from > text.size()) return npos;
  if (what.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  return found == nullptr ? npos : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}
std::size_t find_last(std::string_view text, std::string_view what) {
  if (what.empty()) return text.size();
  const std::size_t at = find_text(backwards(text), backwards(what));
  return at == npos ? npos : text.size() - at - what.size();
}
std::size_t count_text(std::string_view text, std::string_view what) {
  if (what.empty()) return count_characters(text) + 1;
  std::size_t count = 0;
  for (std::size_t at = 0; (at = find_text(text, what, at)) != npos; at += what.size()) ++count;
  return count;
}

std::string replace_text(std::string_view text, std::string_view old, std::string_view with,
                         long long limit) {
  std::string out;
  if (old.empty()) {  // before each character, and at the end
    std::size_t at = 0;
    for (; limit != 0 && at < text.size(); --limit) {
      const std::size_t length = character_at(text, at).length;
      out.append(with).append(text.substr(at, length));
      at += length;
    }
    if (limit != 0) out.append(with);
    return out.append(text.substr(at));
  }
  std::size_t at = 0;
  for (; limit != 0; --limit) {
    const std::size_t found = find_text(text, old, at);
    if (found == npos) break;
    out.append(text.substr(at, found - at)).append(with);
    at = found + old.size();
  }
  return out.append(text.substr(at));
}

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    long long limit) {
  if (!separator) return split_at_spaces(text, limit);
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  while (limit < 0 || static_cast<long long>(parts.size()) < limit) {
    const std::size_t found = find_text(text, *separator, at);
    if (found == npos) break;
    parts.push_back(text.substr(at, found - at));
    at = found + separator->size();
  }
  parts.push_back(text.substr(at));
  return parts;
}
std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator, long long limit) {
  if (!separator) return split_at_spaces_from_right(text, limit);
  const std::string mirror = backwards(text), mirrored_separator = backwards(*separator);
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(mirror, mirrored_separator, limit)) {
    const auto from_end = static_cast<std::size_t>(part.data() - mirror.data());
    parts.push_back(text.substr(text.size() - from_end - part.size(), part.size()));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = character_at(text, at);
    const std::size_t end = at;
    at += length;
    if (!is_line_break(code)) continue;
    if (code == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace trine::jinja
