#include "contract/judge/swaps.h"

#include "base/index.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace trine::contract {
namespace {

using model::Stage;

// Softmax in fp32 makes probabilities equal whose logits differ by a rounding; then the lower id wins. More
// than this no choice may deviate from the order of its own logits.
constexpr double rounding = 1e-6;

// Ids in rising order; nothing when they are not whole, in range and distinct.
std::optional<std::vector<std::int32_t>> sorted_ids(std::span<const float> values, std::int64_t n_experts) {
  std::vector<std::int32_t> ids;
  for (const float value : values) {
    const bool is_id = value >= 0 && value < static_cast<float>(n_experts) && value == std::floor(value);
    if (!is_id) return std::nullopt;
    ids.push_back(static_cast<std::int32_t>(value));
  }
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) return std::nullopt;
  return ids;
}

// Whether the ids are those of the k largest logits.
bool follow_from(const std::vector<std::int32_t>& ids, std::span<const float> logits) {
  double lowest_chosen = std::numeric_limits<double>::infinity();
  double highest_left = -std::numeric_limits<double>::infinity();
  double scale = 1;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const double logit = logits[e];
    if (!std::isfinite(logit)) return false;
    scale = std::max(scale, std::abs(logit));
    const bool chosen = std::binary_search(ids.begin(), ids.end(), static_cast<std::int32_t>(e));
    if (chosen) lowest_chosen = std::min(lowest_chosen, logit);
    if (!chosen) highest_left = std::max(highest_left, logit);
  }
  return lowest_chosen >= highest_left - rounding * scale;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Swaps {
 public:
  Swaps(const RouterTable& expected, const RouterTable& actual, const PromptSet& prompts,
        const model::Config& config)
      : expected_(expected), actual_(actual), prompts_(prompts), config_(config), slots_(config) {
    const auto rows = at(prompts.rows());
    report_.excused_from.assign(rows, slots_.size());
    report_.swapped.assign(rows, false);
    follows_swap_from_.assign(rows, config.n_layers);
  }

  SwapReport run() {
    find();
    measure_errors();
    judge();
    std::stable_partition(report_.swaps.begin(), report_.swaps.end(),
                          [](const ExpertSwap& swap) { return !swap.excused; });
    return std::move(report_);
  }

 private:
  template <typename Visit>
  void for_each_row(Visit visit) const {
    std::int64_t first = 0;
    for (const Prompt& prompt : prompts_.prompts) {
      for (std::int64_t row = first; row < first + prompt.size(); ++row) visit(prompt, first, row);
      first += prompt.size();
    }
  }

  void find() {
    for_each_row([&](const Prompt& prompt, std::int64_t first, std::int64_t row) {
      if (row > first) follows_swap_from_[at(row)] = follows_swap_from_[at(row - 1)];
      for (int layer = 0; layer < config_.n_layers; ++layer) find_in(prompt, first, row, layer);
    });
  }

  void find_in(const Prompt& prompt, std::int64_t first, std::int64_t row, int layer) {
    const auto expected = sorted_ids(expected_.ids_of(layer, row), config_.n_experts);
    const auto actual = sorted_ids(actual_.ids_of(layer, row), config_.n_experts);
    report_.choices += static_cast<std::size_t>(config_.experts_per_token);
    const auto place = [&] {
      return fmt::format("prompt '{}', row {}, layer {}", prompt.name, row - first, layer);
    };
    if (!expected || !actual) {
      const char* whose = expected ? "the backend's" : "the reference's";
      note(fmt::format("{} expert ids are not whole, in range and distinct: {}", whose, place()));
      return;
    }
    if (!follow_from(*actual, actual_.logits_of(layer, row)))
      note(fmt::format("the expert ids do not follow from the backend's own router logits: {}", place()));
    std::vector<std::int32_t> missing, extra;
    std::set_difference(expected->begin(), expected->end(), actual->begin(), actual->end(),
                        std::back_inserter(missing));
    std::set_difference(actual->begin(), actual->end(), expected->begin(), expected->end(),
                        std::back_inserter(extra));
    if (missing.empty()) return;
    add_swaps(prompt, first, row, layer, std::move(missing), std::move(extra));
  }

  // Pairs the largest that is missing with the largest that came instead, and so on.
  void add_swaps(const Prompt& prompt, std::int64_t first, std::int64_t row, int layer,
                 std::vector<std::int32_t> missing, std::vector<std::int32_t> extra) {
    const std::span<const float> logits = expected_.logits_of(layer, row);
    const auto larger = [&](std::int32_t a, std::int32_t b) { return logits[at(a)] > logits[at(b)]; };
    std::sort(missing.begin(), missing.end(), larger);
    std::sort(extra.begin(), extra.end(), larger);
    for (std::size_t i = 0; i < missing.size(); ++i) {
      ExpertSwap swap;
      swap.prompt = prompt.name;
      swap.row = row - first;
      swap.layer = layer;
      swap.expected = missing[i];
      swap.actual = extra[i];
      swap.margin = static_cast<double>(logits[at(missing[i])]) - logits[at(extra[i])];
      swap.measured_error = largest_difference(actual_.logits_of(layer, row), logits);
      report_.swaps.push_back(std::move(swap));
      rows_of_swaps_.push_back({first + prompt.size(), row});
    }
    report_.different += missing.size();
    report_.swapped[at(row)] = true;
    // The row itself and those after it see other inputs from the next layer on.
    follows_swap_from_[at(row)] = std::min(follows_swap_from_[at(row)], layer + 1);
  }

  // follows_swap_from_ of a row is taken over from the row before it, which the order of find() has finished.
  void measure_errors() {
    const std::int64_t rows = prompts_.rows();
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      std::vector<double> errors;
      for (std::int64_t row = 0; row < rows; ++row) {
        if (follows_swap_from_[at(row)] <= layer) continue;
        const double error =
            largest_difference(actual_.logits_of(layer, row), expected_.logits_of(layer, row));
        // A NaN is reported where it is found; here it must not make a large allowance.
        if (!std::isnan(error)) errors.push_back(error);
      }
      report_.typical_error.push_back(median(std::move(errors)));
    }
  }

  void judge() {
    for (std::size_t begin = 0; begin < report_.swaps.size();) {
      std::size_t end = begin;
      while (end < report_.swaps.size() && rows_of_swaps_[end].row == rows_of_swaps_[begin].row) ++end;
      judge_row(begin, end);
      begin = end;
    }
    report_.not_excused = static_cast<std::size_t>(std::count_if(
        report_.swaps.begin(), report_.swaps.end(), [](const ExpertSwap& swap) { return !swap.excused; }));
  }

  // The swaps [begin, end) are those of one row, in the order of layers.
  void judge_row(std::size_t begin, std::size_t end) {
    const Place& place = rows_of_swaps_[begin];
    const int first_layer = report_.swaps[begin].layer;
    const bool follows =
        report_.excused_from[at(place.row)] <= slots_.index_of(Stage::router_logits, first_layer);
    bool excused = true;
    for (std::size_t i = begin; i < end; ++i) {
      ExpertSwap& swap = report_.swaps[i];
      swap.allowed = swap_allowance * report_.typical_error[at(swap.layer)];
      if (swap.layer == first_layer) excused = excused && (follows || swap.margin < swap.allowed);
      excused = excused && !breaks_tie(swap, place.row);
    }
    for (std::size_t i = begin; i < end; ++i) report_.swaps[i].excused = excused;
    if (excused) excuse(place.row, place.prompt_end, first_layer);
  }

  // The backend's own logits are equal and the higher id came: no rounding explains that.
  bool breaks_tie(const ExpertSwap& swap, std::int64_t row) const {
    const std::span<const float> logits = actual_.logits_of(swap.layer, row);
    return swap.expected < swap.actual && logits[at(swap.expected)] == logits[at(swap.actual)];
  }

  void excuse(std::int64_t row, std::int64_t prompt_end, int layer) {
    const auto lower = [](std::size_t& slot, std::size_t to) { slot = std::min(slot, to); };
    lower(report_.excused_from[at(row)], slots_.index_of(Stage::expert_ids, layer));
    for (std::int64_t later = row + 1; later < prompt_end; ++later)
      lower(report_.excused_from[at(later)], slots_.index_of(Stage::attention, layer + 1));
  }

  void note(std::string what) {
    if (report_.invalid.empty()) report_.invalid = std::move(what);
  }

  struct Place {
    std::int64_t prompt_end;
    std::int64_t row;
  };

  const RouterTable& expected_;
  const RouterTable& actual_;
  const PromptSet& prompts_;
  const model::Config& config_;
  const Slots slots_;
  SwapReport report_;
  std::vector<Place> rows_of_swaps_;    // of report_.swaps, rows over all prompts
  std::vector<int> follows_swap_from_;  // by row: from this layer on its inputs follow a swap
};

}  // namespace

RouterTable::RouterTable(const model::Config& config, std::int64_t n_rows)
    : n_experts(config.n_experts), top(config.experts_per_token), rows(n_rows) {
  constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
  const auto layers = static_cast<std::size_t>(config.n_layers);
  logits.assign(layers, std::vector<float>(at(rows * n_experts), nothing));
  ids.assign(layers, std::vector<float>(at(rows * top), nothing));
}

std::span<const float> RouterTable::logits_of(int layer, std::int64_t row) const {
  return std::span(logits[at(layer)]).subspan(at(row * n_experts), at(n_experts));
}

std::span<const float> RouterTable::ids_of(int layer, std::int64_t row) const {
  return std::span(ids[at(layer)]).subspan(at(row * top), at(top));
}

void RouterTable::take(Stage stage, int layer, std::int64_t row, std::span<const float> values) {
  if (stage != Stage::router_logits && stage != Stage::expert_ids) return;
  const bool is_logits = stage == Stage::router_logits;
  const std::int64_t width = is_logits ? n_experts : top;
  const bool fits = row >= 0 && row < rows && layer >= 0 && at(layer) < ids.size() &&
                    static_cast<std::int64_t>(values.size()) == width;
  if (!fits) return;
  std::vector<float>& table = is_logits ? logits[at(layer)] : ids[at(layer)];
  std::copy(values.begin(), values.end(), table.begin() + row * width);
}

double SwapReport::swapped_share() const {
  const auto count = std::count(swapped.begin(), swapped.end(), true);
  return swapped.empty() ? 0 : static_cast<double>(count) / static_cast<double>(swapped.size());
}

SwapReport judge_swaps(const RouterTable& expected, const RouterTable& actual, const PromptSet& prompts,
                       const model::Config& config) {
  return Swaps(expected, actual, prompts, config).run();
}

}  // namespace trine::contract
