#pragma once

#include "model/stage.h"

#include <map>
#include <span>
#include <utility>
#include <vector>

namespace trine::reference {

// Keeps every stage of one forward pass, and the order in which they came.
class Recorder : public model::TraceSink {
 public:
  struct Values {
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t width = 0;
    std::vector<float> data;
    std::span<const float> row(std::int64_t r) const {
      return std::span(data).subspan(static_cast<std::size_t>((r - first_row) * width),
                                     static_cast<std::size_t>(width));
    }
    std::span<const float> last_row() const { return row(first_row + rows - 1); }
  };
  using Key = std::pair<int, model::Stage>;  // layer, stage

  bool wants(model::Stage, int) override { return true; }
  void take(model::Stage stage, int layer, std::int64_t first_row, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    order.emplace_back(layer, stage);
    stages[{layer, stage}] = {first_row, rows, width, {values.begin(), values.end()}};
  }
  const Values& at(model::Stage stage, int layer = -1) const { return stages.at({layer, stage}); }

  std::vector<Key> order;
  std::map<Key, Values> stages;
};

}  // namespace trine::reference
