#pragma once

#include "compare.h"
#include "cpu/model.h"
#include "loaded_model.h"
#include "sample_tokens.h"
#include "step_helpers.h"
#include "trace_recorder.h"

#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <vector>

namespace trine::test {

// One sequence on a CpuModel that owns all its pages, with the logits of every row that was asked for.
class CpuRunner {
 public:
  CpuRunner(const LoadedModel& loaded, const model::LoadOptions& options) {
    model = value_of(cpu::CpuModel::load(loaded.weights, options));
    slot.emplace(value_of(model::OpenSlot::open_whole(*model)));
  }

  // Appends tokens in slices of at most `slice`; returns [tokens][vocab_size].
  std::vector<float> run(const std::vector<std::int32_t>& tokens, std::size_t slice = 512,
                         model::TraceSink* trace = nullptr) {
    std::vector<float> all;
    for (std::size_t begin = 0; begin < tokens.size(); begin += slice) {
      const auto n = static_cast<std::ptrdiff_t>(std::min(slice, tokens.size() - begin));
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
      const model::StepOutput output =
          value_of(model->run(rows_of({first, first + n}, position, slot->id()), trace));
      position += static_cast<std::int32_t>(n);
      all.insert(all.end(), output.logits.begin(), output.logits.end());
    }
    return all;
  }

  std::unique_ptr<cpu::CpuModel> model;
  std::optional<model::OpenSlot> slot;
  std::int32_t position = 0;
};

inline model::LoadOptions options(model::Numerics numerics, int threads = 2) {
  model::LoadOptions result;
  result.context = 512;
  result.numerics = numerics;
  result.threads = threads;
  return result;
}

}  // namespace trine::test
