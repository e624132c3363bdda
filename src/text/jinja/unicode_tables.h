#pragma once

#include <span>

namespace trine::jinja {

// Characters past ASCII in ascending order: first, first + step, … last.
struct CharacterRow {
  char32_t first, last, step;
};
// The same, and what to add to a character to have its image.
struct ImageRow {
  char32_t first, last, step;
  int distance;
};
// A character whose image is several; 0 ends it early.
struct ImagesRow {
  char32_t character;
  char32_t image[3];
};

extern const std::span<const CharacterRow> unprintable_characters, alphabetic_characters, decimal_characters,
    digit_characters, numeric_characters, lowercase_characters, uppercase_characters, titlecase_characters;
extern const std::span<const ImageRow> upper_images, lower_images, title_images;
extern const std::span<const ImagesRow> upper_several, lower_several, title_several;

}  // namespace trine::jinja
