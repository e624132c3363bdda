#pragma once

#include "half_fields.h"
#include "model/weights.h"

#include <cmath>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace trine::test {

inline double root_mean_square(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

// Makes `weight` point at random blocks of another type, of super-blocks with one half each, whose values are
// about as large as its own. They live as long as what is returned.
inline std::shared_ptr<std::vector<std::byte>> randomise_weight(model::Weight& weight, gguf::TensorType type,
                                                                unsigned seed) {
  const auto columns = static_cast<std::uint64_t>(weight.columns);
  std::vector<float> row(columns);
  weight.codec->decode_row(weight.row(0), columns, row.data());
  const double size = root_mean_square(row);

  weight.codec = *quant::find_codec(type);
  weight.row_bytes = weight.codec->row_bytes(columns);
  weight.expert_stride = weight.expert_bytes();
  const auto bytes = std::make_shared<std::vector<std::byte>>(
      static_cast<std::size_t>(weight.experts * weight.rows) * weight.row_bytes);
  std::mt19937 random(seed);
  for (std::byte& byte : *bytes) byte = static_cast<std::byte>(random());
  const auto set_scales = [&](auto&& scale) {
    for (std::size_t at = 0; at < bytes->size(); at += weight.codec->block_bytes)
      set_half(type, half_fields(type).front(), bits_of(quant::to_half(static_cast<float>(scale()))),
               bytes->data() + at);
  };
  set_scales([] { return 1.0; });
  weight.codec->decode_row(bytes->data(), columns, row.data());
  std::uniform_real_distribution<double> spread(0.75, 1.25);
  set_scales([&, unit = root_mean_square(row)] { return size / unit * spread(random); });
  weight.data = bytes->data();
  return bytes;
}

}  // namespace trine::test
