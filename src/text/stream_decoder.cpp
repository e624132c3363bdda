#include "text/stream_decoder.h"

#include "text/utf8.h"

namespace trine::text {
namespace {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string StreamDecoder::push(std::string_view piece) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_;
    joined += piece;
    piece = joined;
    pending_.clear();
  }
  std::string shown;
  shown.reserve(piece.size());
  while (!piece.empty()) {
    const Utf8Unit unit = first_utf8_unit(piece);
    if (unit.kind == Utf8Unit::Kind::unfinished) {
      pending_ = piece;
      break;
    }
    shown += unit.kind == Utf8Unit::Kind::character ? piece.substr(0, unit.length) : replacement_character;
    piece.remove_prefix(unit.length);
  }
  return shown;
}

std::string StreamDecoder::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return std::string(replacement_character);
}

}  // namespace trine::text
