#pragma once

#include "model/weights.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace trine::test {

// Makes `weight` point at its own values times `factor`, in F32. They live as long as what is returned.
inline std::shared_ptr<std::vector<float>> scale_weight(model::Weight& weight, float factor) {
  const auto values = std::make_shared<std::vector<float>>();
  const std::int64_t rows = weight.experts * weight.rows;
  values->resize(static_cast<std::size_t>(rows * weight.columns));
  for (std::int64_t row = 0; row < rows; ++row)
    weight.codec->decode_row(weight.row(row), static_cast<std::uint64_t>(weight.columns),
                             values->data() + row * weight.columns);
  for (float& value : *values) value *= factor;
  weight.codec = *quant::find_codec(gguf::TensorType::F32);
  weight.data = reinterpret_cast<const std::byte*>(values->data());
  weight.row_bytes = static_cast<std::uint64_t>(weight.columns) * sizeof(float);
  weight.expert_stride = weight.expert_bytes();
  return values;
}

}  // namespace trine::test
