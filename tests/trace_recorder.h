#pragma once

#include "model/stage.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace trine::test {

// Keeps every stage of a pass: all rows of (stage, layer), in row order, whatever slices they came in.
class TraceRecorder final : public model::TraceSink {
 public:
  bool wants(model::Stage, int) override { return true; }
  void take(model::Stage stage, int layer, std::int64_t, std::int64_t, std::int64_t,
            std::span<const float> values) override {
    std::vector<float>& all = stages[{stage, layer}];
    all.insert(all.end(), values.begin(), values.end());
  }

  std::map<std::pair<model::Stage, int>, std::vector<float>> stages;
};

}  // namespace trine::test
