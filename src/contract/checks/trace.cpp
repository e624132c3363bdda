#include "contract/checks/gate_bench.h"
#include "contract/checks/lab.h"
#include "contract/judge/judge.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace trine::contract {
namespace {

using model::Numerics;
using model::Stage;

// What a trace must be: every stage of every layer, once per row, in the order of the model, with its width.
// Judged as it arrives; the numbers are not looked at.
class OrderSink final : public RowSink {
 public:
  OrderSink(const model::Config& config, Judge& judge) : config_(config), slots_(config), judge_(judge) {}

  void start(std::int64_t rows) {
    rows_ = rows;
    delivered_.assign(slots_.size() * static_cast<std::size_t>(rows), 0);
    last_slot_ = 0;
  }

  bool wants(Stage, int) override { return true; }
  void take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    judge_.require(
        width == stage_width(config_, stage) && static_cast<std::int64_t>(values.size()) == rows * width,
        place_text(stage, layer) + " has another width than the model's");
    if (stage != Stage::logits) note_slot(stage, layer, first, rows);
  }

  void finish() {
    judge_.require(std::all_of(delivered_.begin(), delivered_.end(), [](int times) { return times == 1; }),
                   "not every stage of every layer came once for each row");
  }

 private:
  void note_slot(Stage stage, int layer, std::int64_t first, std::int64_t rows) {
    const std::size_t slot = slots_.index_of(stage, layer);
    judge_.require(slot < slots_.size(), place_text(stage, layer) + " is no stage of this model");
    if (slot >= slots_.size()) return;
    // embed opens a batch.
    if (slot == 0) last_slot_ = 0;
    judge_.require(slot >= last_slot_, place_text(stage, layer) + " comes out of its turn");
    last_slot_ = slot;
    for (std::int64_t r = first_row + first; r < first_row + first + rows; ++r) {
      judge_.require(r >= 0 && r < rows_, "a row came that the prompt does not have");
      if (r >= 0 && r < rows_)
        ++delivered_[slot * static_cast<std::size_t>(rows_) + static_cast<std::size_t>(r)];
    }
  }

  const model::Config& config_;
  const Slots slots_;
  Judge& judge_;
  std::int64_t rows_ = 0;
  std::size_t last_slot_ = 0;
  std::vector<int> delivered_;  // [slot][row]
};

// What the numbers of a trace must be, whichever stages it holds: as many as the stage's shape says, finite,
// and routing that routes.
class NumbersSink final : public RowSink {
 public:
  NumbersSink(const model::Config& config, Judge& judge) : config_(config), judge_(judge) {}

  void start(std::int64_t) {}
  bool wants(Stage, int) override { return true; }
  void take(Stage stage, int layer, std::int64_t, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    const bool fits = width > 0 && width == stage_width(config_, stage) &&
                      static_cast<std::int64_t>(values.size()) == rows * width;
    judge_.require(fits, place_text(stage, layer) + " has another shape than the model's");
    judge_.require(std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }),
                   place_text(stage, layer) + " is not finite");
    for (std::int64_t r = 0; fits && r < rows; ++r)
      audit_row(stage, layer,
                values.subspan(static_cast<std::size_t>(r * width), static_cast<std::size_t>(width)));
  }
  // Without samples this fails, so a trace without routing is no pass.
  void finish() { judge_.hold("expert weights off 1", "<=", 1e-6); }

 private:
  void audit_row(Stage stage, int layer, std::span<const float> row) {
    if (stage == Stage::expert_weights) {
      double sum = 0;
      for (const float weight : row) sum += weight;
      judge_.sample("expert weights off 1", std::abs(sum - 1));
      judge_.require(
          std::is_sorted(row.rbegin(), row.rend()) && row.back() >= 0,
          fmt::format("expert weights of layer {} do not fall with rank, or are less than 0", layer));
    } else if (stage == Stage::expert_ids) {
      std::vector<float> ids(row.begin(), row.end());
      std::sort(ids.begin(), ids.end());
      const bool sound =
          std::adjacent_find(ids.begin(), ids.end()) == ids.end() &&
          std::all_of(ids.begin(), ids.end(), [&](float id) {
            return id >= 0 && id < static_cast<float>(config_.n_experts) && id == std::floor(id);
          });
      judge_.require(sound,
                     fmt::format("expert ids of layer {} are not whole, in range and distinct", layer));
    }
  }

  const model::Config& config_;
  Judge& judge_;
};

// Opens the context's backend in each of its modes and hands it to `run`.
using RunDevice = std::function<Result<void>(model::DeviceModel&, const PromptSet&, Judge&)>;

CheckResult judge_device(const CheckContext& context, const RunDevice& run) {
  if (const auto absent = backend_absent(context)) return *absent;
  const auto bench = open_bench(context);
  if (!bench) return no_bench(bench.error());
  const PromptSet prompts = quick_subset((*bench)->prompts);
  const BackendSide side = backend_side(context, **bench, prompts);
  Judge judge;
  for (const Numerics numerics : numerics_of(context)) {
    const auto device = open_device(side, numerics, context.threads);
    if (!device && device.error().code == ErrorCode::validation_failed) return refused(device.error().what);
    if (!device) return failed_with(device.error());
    if (const auto ran = run(**device, prompts, judge); !ran) return failed_with(ran.error());
    if (std::string reason = refuse_places(side, (*device)->describe()); !reason.empty())
      return refused(std::move(reason));
  }
  return judge.result();
}

template <typename Sink>
CheckResult audit(const CheckContext& context) {
  return judge_device(
      context, [](model::DeviceModel& device, const PromptSet& prompts, Judge& judge) -> Result<void> {
        Sink sink(device.config(), judge);
        for (std::size_t i = 0; i < prompts.prompts.size(); ++i) {
          sink.start(prompts.prompts[i].size());
          JudgedLogits logits;
          TRINE_CHECK_OK(run_decode(device, prompts.prompts[i], i, logits, &sink));
          sink.finish();
          judge.require(std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }),
                        "logits are not finite");
        }
        return {};
      });
}

CheckResult production_unchanged(const CheckContext& context) {
  return judge_device(
      context, [](model::DeviceModel& device, const PromptSet& prompts, Judge& judge) -> Result<void> {
        Judge ignored;
        OrderSink everything(device.config(), ignored);
        for (std::size_t i = 0; i < prompts.prompts.size(); ++i) {
          JudgedLogits plain, traced;
          TRINE_CHECK_OK(run_decode(device, prompts.prompts[i], i, plain, nullptr));
          everything.start(prompts.prompts[i].size());
          TRINE_CHECK_OK(run_decode(device, prompts.prompts[i], i, traced, &everything));
          judge.require(std::none_of(plain.begin(), plain.end(), [](float x) { return std::isnan(x); }),
                        "logits hold a value that is no number");
          std::size_t different = 0;
          for (std::size_t j = 0; j < plain.size(); ++j)
            different += std::memcmp(&plain[j], &traced[j], sizeof(float)) != 0 ? sizeof(float) : 0;
          judge.sample("logits bytes that tracing changes", static_cast<double>(different));
        }
        judge.hold("logits bytes that tracing changes", "==", 0);
        return {};
      });
}

}  // namespace

void register_trace_checks(CheckRegistry& registry) {
  registry.add({"gate.invariants",
                "every stage has its shape and is finite; expert ids are distinct, their weights sum to 1",
                audit<NumbersSink>});
  registry.add({"trace.stage-names", "a trace holds every stage of every layer once per row, in order",
                audit<OrderSink>});
  registry.add({"trace.production-unchanged",
                "the logits of a traced run are those of an untraced one, to the byte",
                production_unchanged});
}

}  // namespace trine::contract
