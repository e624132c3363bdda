#include "contract/trace/diff.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace trine::contract {
namespace {

using model::Stage;
using Floats = std::vector<float>;

tl::unexpected<Error> refuse(std::string what, std::string expected, std::string actual, std::string hint) {
  return fail({.code = ErrorCode::validation_failed,
               .what = std::move(what),
               .expected = std::move(expected),
               .actual = std::move(actual),
               .hint = std::move(hint)});
}

std::string text_of(std::span<const std::int32_t> tokens) {
  constexpr std::size_t most = 8;
  return fmt::format("{} tokens: {}{}", tokens.size(),
                     fmt::join(tokens.first(std::min(tokens.size(), most)), ", "),
                     tokens.size() > most ? ", …" : "");
}

Result<void> check_comparable(const TraceFile& a, const TraceFile& b) {
  if (a.info().model_sha256 != b.info().model_sha256)
    return refuse("the traces are of different models",
                  fmt::format("SHA-256 {} ({})", b.info().model_sha256, b.info().model_name),
                  fmt::format("SHA-256 {} ({})", a.info().model_sha256, a.info().model_name),
                  "Trace both with the same file");
  if (a.info().tokens != b.info().tokens)
    return refuse("the traces are of different prompts", text_of(b.info().tokens), text_of(a.info().tokens),
                  "Trace both with the same --prompt or --tokens");
  return {};
}

bool all_finite(const Floats& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

// Whole, not negative, and no two alike.
bool are_experts(Floats ids) {
  if (!all_finite(ids)) return false;
  std::sort(ids.begin(), ids.end());
  return std::all_of(ids.begin(), ids.end(), [](float id) { return id >= 0 && id == std::floor(id); }) &&
         std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

bool has(const Floats& ids, float id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Keeps the worst value and where it stands; NaN is worse than anything.
void keep_worst(double value, bool is_worse, std::int64_t row, double& worst, std::int64_t& worst_row) {
  if (std::isnan(worst) || !(is_worse || std::isnan(value))) return;
  worst = value;
  worst_row = row;
}

class Comparison {
 public:
  Comparison(const TraceFile& a, const TraceFile& b, const TraceTolerance& tolerance)
      : a_(a), b_(b), tolerance_(tolerance) {}

  Result<TraceDiff> run() {
    for (std::size_t i = 0; i < a_.slots().size(); ++i) {
      const TraceSlot& slot = a_.slots()[i];
      const std::size_t j = b_.index_of(slot.stage, slot.layer);
      if (j == b_.slots().size()) {
        diff_.only_a.push_back(slot);
        continue;
      }
      if (b_.slots()[j].width != slot.width)
        return refuse(fmt::format("{} has another width", slot_name(slot.stage, slot.layer)),
                      fmt::format("{}", b_.slots()[j].width), fmt::format("{}", slot.width), {});
      compare_slot(i, j);
    }
    for (const TraceSlot& slot : b_.slots())
      if (a_.index_of(slot.stage, slot.layer) == a_.slots().size()) diff_.only_b.push_back(slot);
    if (diff_.slots.empty())
      return refuse("the traces have no stage in common", {}, {},
                    "Trace both with the same --stages and --layers");
    return std::move(diff_);
  }

 private:
  void compare_slot(std::size_t i, std::size_t j) {
    SlotDiff out;
    out.slot = a_.slots()[i];
    for (std::int64_t row = 0; row < out.slot.rows; ++row) {
      a_.read_row(i, row, row_a_);
      b_.read_row(j, row, row_b_);
      const bool is_ids = out.slot.stage == Stage::expert_ids;
      const Similarity similarity = is_ids ? compare_ids(out.slot.layer, row) : compare(row_a_, row_b_);
      const double cosine = similarity.cosine, relative_l2 = similarity.relative_l2;
      keep_worst(cosine, cosine < out.worst_cosine, row, out.worst_cosine, out.worst_cosine_row);
      keep_worst(relative_l2, relative_l2 > out.worst_relative_l2, row, out.worst_relative_l2,
                 out.worst_relative_l2_row);
      const bool within = is_ids ? row_a_ == row_b_ && !std::isnan(cosine)
                                 : cosine >= tolerance_.cosine && relative_l2 <= tolerance_.relative_l2;
      if (within) continue;
      ++out.rows_outside;
      if (!diff_.first)
        diff_.first = {out.slot, row, a_.info().tokens[static_cast<std::size_t>(row)], cosine, relative_l2};
    }
    diff_.slots.push_back(out);
  }

  Similarity compare_ids(int layer, std::int64_t row) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    if (!are_experts(row_a_) || !are_experts(row_b_)) return {nan, nan};
    if (row_a_ != row_b_) note_swap(layer, row);
    return {1, 0};
  }

  // The highest expert of b that a did not choose, and the highest of a that b did not; when the experts are
  // the same, the first rank at which they differ.
  void note_swap(int layer, std::int64_t row) {
    TraceSwap swap{layer, row, 0, 0, false, {}, 0};
    const auto in_b_only =
        std::find_if(row_b_.begin(), row_b_.end(), [&](float id) { return !has(row_a_, id); });
    const auto in_a_only =
        std::find_if(row_a_.begin(), row_a_.end(), [&](float id) { return !has(row_b_, id); });
    swap.same_experts = in_b_only == row_b_.end() || in_a_only == row_a_.end();
    const auto [ranked_a, ranked_b] = std::mismatch(row_a_.begin(), row_a_.end(), row_b_.begin());
    swap.a = swap.same_experts ? *ranked_a : *in_a_only;
    swap.b = swap.same_experts ? *ranked_b : *in_b_only;
    measure(swap);
    diff_.swaps.push_back(swap);
  }

  void measure(TraceSwap& swap) {
    const std::size_t i = a_.index_of(Stage::router_logits, swap.layer);
    const std::size_t j = b_.index_of(Stage::router_logits, swap.layer);
    if (i == a_.slots().size() || j == b_.slots().size()) return;
    a_.read_row(i, swap.row, router_a_);
    b_.read_row(j, swap.row, router_b_);
    const auto experts = static_cast<double>(router_b_.size());
    const auto is_expert = [&](double id) { return id >= 0 && id < experts && id == std::floor(id); };
    if (!is_expert(swap.a) || !is_expert(swap.b)) return;
    swap.margin = static_cast<double>(router_b_[static_cast<std::size_t>(swap.b)]) -
                  router_b_[static_cast<std::size_t>(swap.a)];
    swap.router_error = largest_difference(router_a_, router_b_);
  }

  const TraceFile& a_;
  const TraceFile& b_;
  const TraceTolerance tolerance_;
  TraceDiff diff_;
  Floats row_a_, row_b_, router_a_, router_b_;
};

}  // namespace

Result<TraceDiff> diff_traces(const TraceFile& a, const TraceFile& b, const TraceTolerance& tolerance) {
  TRINE_CHECK_OK(check_comparable(a, b));
  return Comparison(a, b, tolerance).run();
}

}  // namespace trine::contract
