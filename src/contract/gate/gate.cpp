#include "contract/gate/gate.h"

#include "base/index.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "contract/judge/judge.h"
#include "model/device_names.h"
#include "reference/model.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

namespace trine::contract {
namespace {

using model::Numerics;
using model::Stage;

// ---- The reference's stages of a group of prompts, and the sink that holds a backend against them ----

// Rows [first, first + rows) of all prompts, every slot.
struct ReferenceStages {
  ReferenceStages(const Slots& slots, std::int64_t first_row, std::int64_t n_rows)
      : first(first_row), rows(n_rows) {
    for (std::size_t i = 0; i < slots.size(); ++i) values.emplace_back(at(rows * slots.width(i)));
  }
  std::span<const float> row(std::size_t slot, std::int64_t row, std::int64_t width) const {
    return std::span(values[slot]).subspan(at((row - first) * width), at(width));
  }

  std::int64_t first;
  std::int64_t rows;
  std::vector<std::vector<float>> values;  // by slot
};

using CountBytes = std::function<void(std::uint64_t bytes)>;

// Where the reference first gives what nothing can be judged by, or nothing.
void note_damage(std::string& damage, Stage stage, int layer, std::span<const float> values) {
  const auto finite = [](float x) { return std::isfinite(x); };
  if (!damage.empty() || std::all_of(values.begin(), values.end(), finite)) return;
  damage = fmt::format(
      "the reference's own result is no number, first at {}: the weights are damaged, and nothing can be "
      "judged by them",
      place_text(stage, layer));
}

class ReferenceSink final : public model::TraceSink {
 public:
  ReferenceSink(const Slots& slots, ReferenceStages& out, RouterTable& routers, std::string& damage,
                const CountBytes& count)
      : slots_(slots), out_(out), routers_(routers), damage_(damage), count_(count) {}
  bool wants(Stage stage, int) override { return stage != Stage::logits; }
  void take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    note_damage(damage_, stage, layer, values);
    std::copy(values.begin(), values.end(),
              out_.values[slots_.index_of(stage, layer)].begin() + first * width);
    for (std::int64_t r = 0; r < rows; ++r)
      routers_.take(stage, layer, out_.first + first + r, values.subspan(at(r * width), at(width)));
    count_(values.size_bytes());
  }

 private:
  const Slots& slots_;
  ReferenceStages& out_;
  RouterTable& routers_;
  std::string& damage_;
  const CountBytes& count_;
};

// Compares each row of one prompt as it comes and keeps only the two figures.
class ComparingSink final : public RowSink {
 public:
  ComparingSink(const ReferenceStages& reference, ParityRun& run, const Prompt& prompt, std::int64_t offset,
                const CountBytes& count)
      : reference_(reference), run_(run), prompt_(prompt), offset_(offset), count_(count) {}
  bool wants(Stage, int) override { return true; }
  void take(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width,
            std::span<const float> values) override {
    // Judged as the step returns them, and traced for the device to say where they were computed.
    if (stage == Stage::logits) return;
    const Slots& slots = run_.scores.slots;
    const std::size_t slot = slots.index_of(stage, layer);
    const bool fits = slot < slots.size() && width == slots.width(slot) &&
                      static_cast<std::int64_t>(values.size()) == rows * width && first >= 0 &&
                      first_row + first + rows <= prompt_.size();
    if (!fits) {
      note_unequal(stage, layer, first, rows, width);
      return;
    }
    for (std::int64_t r = 0; r < rows; ++r)
      take_row({stage, layer}, slot, offset_ + first_row + first + r,
               values.subspan(at(r * width), at(width)));
    count_(values.size_bytes());
  }

 private:
  void take_row(Slot place, std::size_t slot, std::int64_t row, std::span<const float> values) {
    run_.actual.take(place.stage, place.layer, row, values);
    const std::size_t index = slot * at(run_.scores.rows) + at(row);
    run_.scores.delivered[index] = static_cast<std::uint8_t>(std::min(2, run_.scores.delivered[index] + 1));
    const auto expected = reference_.row(slot, row, static_cast<std::int64_t>(values.size()));
    Similarity& score = run_.scores.scores[index];
    if (place.stage == Stage::expert_ids) {
      score = compare_choice(values, expected);
    } else if (place.stage == Stage::expert_weights || place.stage == Stage::expert_act) {
      score = compare(in_reference_order(place.layer, row, values), expected);
    } else {
      score = compare(values, expected);
    }
  }

  // Ids have no direction: the share of the reference's experts that are among them stands for the cosine.
  static Similarity compare_choice(std::span<const float> actual, std::span<const float> expected) {
    double shared = 0;
    for (const float id : expected)
      shared += std::find(actual.begin(), actual.end(), id) != actual.end() ? 1 : 0;
    const double share = shared / static_cast<double>(expected.size());
    return {share, 1 - share};
  }

  // Experts of nearly equal weight may come in another order of rank, which their sum does not see.
  std::vector<float> in_reference_order(int layer, std::int64_t row, std::span<const float> values) const {
    const auto actual = run_.actual.ids_of(layer, row), expected = run_.expected.ids_of(layer, row);
    const std::size_t width = values.size() / expected.size();
    std::vector<float> ordered;
    for (std::size_t rank = 0; rank < expected.size(); ++rank) {
      const auto found = std::find(actual.begin(), actual.end(), expected[rank]);
      const auto from = found == actual.end() ? rank : static_cast<std::size_t>(found - actual.begin());
      ordered.insert(ordered.end(), values.begin() + static_cast<std::ptrdiff_t>(from * width),
                     values.begin() + static_cast<std::ptrdiff_t>((from + 1) * width));
    }
    return ordered;
  }

  void note_unequal(Stage stage, int layer, std::int64_t first, std::int64_t rows, std::int64_t width) {
    if (!run_.scores.unequal.empty()) return;
    run_.scores.unequal = fmt::format(
        "the sides have unequal numbers of rows or values: {} came with rows {} to {} of width {}, and "
        "prompt "
        "'{}' has {} tokens",
        place_text(stage, layer), first_row + first, first_row + first + rows, width, prompt_.name,
        prompt_.size());
  }

  const ReferenceStages& reference_;
  ParityRun& run_;
  const Prompt& prompt_;
  std::int64_t offset_;
  const CountBytes& count_;
};

// ---- The run ----

// Why the two sides must not be compared, or nothing.
std::string refuse_sides(const ReferenceSide& reference, const BackendSide& backend) {
  if (backend.backend == "reference") return "the reference compared with itself says nothing";
  if (!is_sha256(reference.model_sha256) || !is_sha256(backend.model_sha256))
    return "a side does not say which model file it ran (SHA-256)";
  if (reference.model_sha256 != backend.model_sha256)
    return fmt::format("the sides ran different model files: {} and {}", reference.model_sha256,
                       backend.model_sha256);
  const std::string ours = reference.prompts.sha256(), theirs = backend.prompts.sha256();
  if (ours != theirs) return fmt::format("the sides ran different prompts: {} and {}", ours, theirs);
  if (auto sound = reference.prompts.check(reference.weights.config); !sound) return to_string(sound.error());
  return {};
}

std::string refuse_config(const model::Config& reference, const model::Config& backend) {
  const auto shape = [](const model::Config& c) {
    return fmt::format("{} layers, hidden {}, heads {}/{} of {}, experts {} of {}, vocabulary {}", c.n_layers,
                       c.hidden_size, c.n_heads, c.n_kv_heads, c.head_dim, c.experts_per_token, c.n_experts,
                       c.vocab_size);
  };
  if (shape(reference) == shape(backend)) return {};
  return fmt::format("the sides have different models: {}; {}", shape(reference), shape(backend));
}

// One open model at a time, opened anew only when other numerics are asked for.
class OpenModel {
 public:
  OpenModel(const BackendSide& backend, int threads) : backend_(backend), threads_(threads) {}
  Result<model::DeviceModel*> get(Numerics numerics) {
    if (device_ && numerics_ == numerics) return device_.get();
    device_.reset();
    TRINE_TRY(device_, backend_.open(numerics, threads_));
    numerics_ = numerics;
    return device_.get();
  }
  void close() { device_.reset(); }

 private:
  const BackendSide& backend_;
  int threads_;
  std::unique_ptr<model::DeviceModel> device_;
  Numerics numerics_ = Numerics::exact;
};

class Gate {
 public:
  Gate(const ReferenceSide& reference, const BackendSide& backend, const GateOptions& options)
      : reference_(reference),
        backend_(backend),
        options_(options),
        config_(reference.weights.config),
        slots_(config_),
        rows_(reference.prompts.rows()),
        pool_(options.threads),
        open_(backend, options.threads),
        count_([this](std::uint64_t bytes) { done(bytes); }) {
    // The reference once; each mode once against it, and four times for D and T.
    total_ = static_cast<std::uint64_t>(rows_) * slots_.row_bytes() * (1 + 5 * options.numerics.size());
  }

  GateResult run() {
    if (std::string reason = refuse_sides(reference_, backend_); !reason.empty()) {
      stop(Verdict::refused, reason);
      return std::move(result_);
    }
    const auto admitted = admit();
    if (!admitted) {
      const CheckResult failed = failed_with(admitted.error());
      stop(failed.verdict, failed.reason);
    } else if (*admitted) {
      // A device that was there and is gone, or lacks half-way what it said it had, has failed.
      if (const auto measured = measure(); !measured) stop(Verdict::fail, to_string(measured.error()));
    }
    return std::move(result_);
  }

 private:
  Result<void> measure() {
    for (const Numerics numerics : options_.numerics) {
      ParityRun run;
      run.numerics = numerics;
      run.scores = StageScores(config_, rows_);
      run.expected = RouterTable(config_, rows_);
      run.actual = RouterTable(config_, rows_);
      runs_.push_back(std::move(run));
    }
    TRINE_CHECK_OK(compare_in_groups());
    if (!unfit_.empty()) {
      stop(Verdict::refused, unfit_);
      return {};
    }
    const std::vector<JudgedLogits> judged = judge_parity();
    open_.close();
    if (options_.stop_at_failure && any_failed()) {
      stop(Verdict::not_run, "an earlier leg failed");
      return {};
    }
    for (std::size_t i = 0; i < judged.size(); ++i) {
      const Numerics numerics = options_.numerics[i];
      doing_ = fmt::format("{} twice, {}", backend_.backend, name_of(numerics));
      TRINE_TRY(const RepeatRun repeat,
                run_repeat(backend_, numerics, options_.threads, [this](std::int64_t rows) {
                  done(static_cast<std::uint64_t>(rows) * slots_.row_bytes());
                }));
      result_.prompts.largest_batch = std::max(result_.prompts.largest_batch, repeat.largest_batch);
      result_.legs.push_back(judge_decode(context(), repeat));
      result_.legs.push_back(judge_repeat(context(), repeat, &judged[i]));
      result_.legs.push_back(judge_choices(repeat.choices));
    }
    return {};
  }

  // Opens every mode once before any work is done, so that what must be refused is refused at once.
  Result<bool> admit() {
    for (const Numerics numerics : options_.numerics) {
      TRINE_TRY(const model::DeviceModel* device, open_.get(numerics));
      result_.devices.push_back(device->describe());
      std::string reason = refuse_device(backend_, numerics, result_.devices.back());
      if (reason.empty()) reason = refuse_config(config_, device->config());
      if (reason.empty()) continue;
      stop(Verdict::refused, reason);
      return false;
    }
    return true;
  }

  // Prompts go in groups whose reference stages fit into options.trace_bytes.
  Result<void> compare_in_groups() {
    const auto row_limit = static_cast<std::int64_t>(options_.trace_bytes / slots_.row_bytes());
    const std::vector<Prompt>& prompts = reference_.prompts.prompts;
    std::int64_t first_row = 0;
    for (std::size_t begin = 0; begin < prompts.size() && unfit_.empty();) {
      std::size_t end = begin + 1;
      std::int64_t rows = prompts[begin].size();
      for (; end < prompts.size() && rows + prompts[end].size() <= row_limit; ++end)
        rows += prompts[end].size();
      TRINE_CHECK_OK(compare_group(begin, end, first_row, rows));
      first_row += rows;
      begin = end;
    }
    if (!unfit_.empty()) return {};
    Sha256 sum;
    sum.add(std::as_bytes(std::span(runs_.front().expected_logits)));
    result_.reference_sha256 = sum.hex();
    return {};
  }

  Result<void> compare_group(std::size_t begin, std::size_t end, std::int64_t first_row, std::int64_t rows) {
    ReferenceStages stages(slots_, first_row, rows);
    TRINE_CHECK_OK(run_reference(begin, end, stages));
    if (!unfit_.empty()) return {};
    for (std::size_t mode = 0; mode < runs_.size(); ++mode) {
      ParityRun& run = runs_[mode];
      doing_ = fmt::format("{} {}", backend_.backend, name_of(run.numerics));
      TRINE_TRY(model::DeviceModel* const device, open_.get(run.numerics));
      std::int64_t offset = first_row;
      for (std::size_t i = begin; i < end; ++i) {
        const Prompt& prompt = backend_.prompts.prompts[i];
        ComparingSink sink(stages, run, prompt, offset, count_);
        TRINE_CHECK_OK(run_decode(*device, prompt, i, run.actual_logits, &sink));
        offset += prompt.size();
      }
      model::DeviceInfo& described = result_.devices[mode];
      described.stage_place = device->describe().stage_place;
      unfit_ = refuse_places(backend_, described);
      if (!unfit_.empty()) return {};
    }
    return {};
  }

  Result<void> run_reference(std::size_t begin, std::size_t end, ReferenceStages& stages) {
    doing_ = "reference";
    std::vector<reference::Sequence> sequences(end - begin);
    std::vector<reference::Part> parts;
    for (std::size_t i = begin; i < end; ++i)
      parts.push_back({&sequences[i - begin], reference_.prompts.prompts[i].tokens, judged_positions});
    ReferenceSink sink(slots_, stages, runs_.front().expected, unfit_, count_);
    TRINE_TRY(const std::vector<float> logits,
              reference::Model(reference_.weights).forward(parts, pool_, &sink));
    note_damage(unfit_, Stage::logits, -1, logits);
    for (ParityRun& run : runs_) {
      run.expected = runs_.front().expected;
      run.expected_logits.insert(run.expected_logits.end(), logits.begin(), logits.end());
    }
    return {};
  }

  // Keeps what was judged, by mode: what runs untraced must be that.
  std::vector<JudgedLogits> judge_parity() {
    std::vector<JudgedLogits> judged;
    for (ParityRun& run : runs_) {
      result_.legs.push_back(run.numerics == Numerics::exact ? judge_exact(context(), run)
                                                             : judge_fast(context(), run));
      judged.push_back(std::move(run.actual_logits));
    }
    runs_.clear();
    return judged;
  }

  bool any_failed() const {
    return std::any_of(result_.legs.begin(), result_.legs.end(),
                       [](const LegResult& leg) { return leg.result.verdict == Verdict::fail; });
  }

  LegContext context() const { return {config_, reference_.prompts, says_random(config_)}; }

  // Legs that have no result yet get this one.
  void stop(Verdict verdict, const std::string& reason) {
    for (const Numerics numerics : options_.numerics)
      for (const char leg : {numerics == Numerics::exact ? 'X' : 'F', 'D', 'T', 'S'})
        if (result_.find(leg, numerics) == nullptr)
          result_.legs.push_back(leg_without(leg, numerics, verdict, reason));
  }

  void done(std::uint64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(std::min(done_, total_), total_, doing_);
  }

  const ReferenceSide& reference_;
  const BackendSide& backend_;
  const GateOptions& options_;
  const model::Config& config_;
  const Slots slots_;
  const std::int64_t rows_;
  ThreadPool pool_;
  OpenModel open_;
  CountBytes count_;
  std::vector<ParityRun> runs_;
  GateResult result_;
  std::string unfit_;  // why what has run must not be judged: a damaged reference, a stage on the host
  std::string doing_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

const LegResult* GateResult::find(char leg, Numerics numerics) const {
  for (const LegResult& one : legs)
    if (one.leg == leg && one.numerics == numerics) return &one;
  return nullptr;
}

GateResult run_gate(const ReferenceSide& reference, const BackendSide& backend, const GateOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  GateResult result = Gate(reference, backend, options).run();
  result.prompts.sha256 = reference.prompts.sha256();
  result.prompts.count = reference.prompts.prompts.size();
  result.prompts.tokens = reference.prompts.rows();
  result.prompts.longest = reference.prompts.longest();
  result.model.sha256 = reference.model_sha256;
  result.model.layers_run = reference.weights.config.n_layers;
  result.model.random_weights = says_random(reference.weights.config);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  conclude(result);
  return result;
}

void conclude(GateResult& result) {
  const auto any = [&](Verdict verdict) {
    return std::find_if(result.legs.begin(), result.legs.end(),
                        [&](const LegResult& leg) { return leg.result.verdict == verdict; });
  };
  for (const Verdict verdict : {Verdict::fail, Verdict::refused}) {
    const auto leg = any(verdict);
    if (leg == result.legs.end()) continue;
    result.verdict = verdict;
    result.reason = fmt::format("leg {} ({}, {}): {}", leg->leg, title_of(leg->leg), name_of(leg->numerics),
                                leg->result.reason);
    return;
  }
  // R judges the reference and T compares a run with itself: neither says that the backend is right. Only R,
  // where nothing judges the reference, and F, on random weights, may be left out of a pass.
  const auto passed = [&](char leg) {
    return std::any_of(result.legs.begin(), result.legs.end(), [&](const LegResult& one) {
      return one.leg == leg && one.result.verdict == Verdict::pass;
    });
  };
  const auto left = std::find_if(result.legs.begin(), result.legs.end(), [](const LegResult& leg) {
    return leg.result.verdict == Verdict::not_run && leg.leg != 'R' && leg.leg != 'F';
  });
  if (left == result.legs.end() && (passed('X') || passed('F'))) {
    result.verdict = Verdict::pass;
    result.reason.clear();
    return;
  }
  const auto leg = left != result.legs.end() ? left : any(Verdict::not_run);
  result.verdict = Verdict::not_run;
  result.reason = leg == result.legs.end() ? "no leg was run" : leg->result.reason;
}

model::Weights cut_layers(const model::Weights& weights, std::int32_t layers) {
  model::Weights cut = weights;
  if (layers <= 0 || layers >= weights.config.n_layers) return cut;
  cut.layers.resize(static_cast<std::size_t>(layers));
  cut.config.n_layers = layers;
  return cut;
}

bool says_random(const model::Config& config) {
  std::string name = config.name;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find("random") != std::string::npos;
}

}  // namespace trine::contract
