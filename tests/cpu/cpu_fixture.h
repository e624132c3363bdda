#pragma once

#include "compare.h"
#include "cpu/model.h"
#include "loaded_model.h"
#include "trace_recorder.h"

#include <gtest/gtest.h>
#include <memory>
#include <numeric>
#include <vector>

namespace trine::test {

// One sequence on a CpuModel that owns all its pages, with the logits of every row that was asked for.
class CpuRunner {
 public:
  CpuRunner(const LoadedModel& loaded, const cpu::CpuOptions& options) {
    auto created = cpu::CpuModel::load(loaded.weights, options);
    if (!created) throw std::runtime_error(to_string(created.error()));
    model = *std::move(created);
    pages.resize(static_cast<std::size_t>(model->kv_pages()));
    std::iota(pages.begin(), pages.end(), 0);
  }

  // Appends tokens in slices of at most `slice`; returns [tokens][vocab_size].
  std::vector<float> run(const std::vector<std::int32_t>& tokens, std::size_t slice = 512,
                         model::TraceSink* trace = nullptr) {
    const std::size_t vocab = static_cast<std::size_t>(model->config().vocab_size);
    std::vector<float> all;
    for (std::size_t begin = 0; begin < tokens.size(); begin += slice) {
      const std::size_t n = std::min(slice, tokens.size() - begin);
      model::Batch batch;
      batch.page_tables.push_back(pages);
      for (std::size_t i = 0; i < n; ++i) batch.rows.push_back({tokens[begin + i], position++, 0, true});
      std::vector<float> logits(n * vocab);
      const auto done = model->forward(batch, logits, trace);
      if (!done) throw std::runtime_error(to_string(done.error()));
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  std::unique_ptr<cpu::CpuModel> model;
  std::vector<std::int32_t> pages;
  std::int32_t position = 0;
};

inline cpu::CpuOptions options(model::Numerics numerics, int threads = 2) {
  cpu::CpuOptions result;
  result.context = 512;
  result.numerics = numerics;
  result.threads = threads;
  return result;
}

// Token ids below `vocab`, the same on every machine.
inline std::vector<std::int32_t> sample_tokens(std::size_t n, std::int32_t vocab, std::uint32_t seed = 1) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<std::int32_t>((seed >> 8) % static_cast<std::uint32_t>(vocab)));
  }
  return tokens;
}

}  // namespace trine::test
