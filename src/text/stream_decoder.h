#pragma once

#include "text/tokenizer.h"

#include <string>
#include <string_view>

namespace trine::text {

// Turns a stream of token bytes into text that is valid UTF-8 at every step: a character whose bytes are
// spread over several tokens comes out whole or not yet. Bytes that can never become valid are replaced by
// U+FFFD, as the Unicode standard's "maximal subpart" practice says.
class StreamDecoder {
 public:
  // Returns what can be shown now (often the piece itself, sometimes nothing).
  std::string push(std::string_view piece);
  // The end of the stream: an unfinished character becomes U+FFFD.
  std::string finish();

 private:
  std::string pending_;  // an incomplete character, at most 3 bytes
};

}  // namespace trine::text
