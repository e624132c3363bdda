// What sums a result up for a person.
#include "base/number_text.h"
#include "contract/gate/gate.h"
#include "model/device_names.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

namespace trine::contract {
namespace {

using model::Numerics;

std::string legs_of(const GateResult& result, Verdict verdict) {
  std::string names;
  for (const LegResult& leg : result.legs)
    if (leg.result.verdict == verdict)
      names += fmt::format("{}{} {}", names.empty() ? "" : ", ", leg.leg, name_of(leg.numerics));
  return names;
}

// "worst stage cosine 0.999997 at layer 31, attention", over rows that follow no swap.
std::string worst_stage(const LegResult& leg) {
  const StageCell* worst = nullptr;
  for (const StageCell& cell : leg.cells)
    if (cell.rows > 0 && (worst == nullptr || !(cell.worst_cosine >= worst->worst_cosine))) worst = &cell;
  if (worst == nullptr) return "no stage compared";
  const std::string layer = worst->layer < 0 ? "" : fmt::format("layer {}, ", worst->layer);
  return fmt::format("worst stage cosine {} at {}{}", cosine_text(worst->worst_cosine), layer,
                     model::name_of(worst->stage));
}

struct Positions {
  std::size_t judged = 0, excused = 0;
  double worst = 1, worst_excused = 1;
};

Positions positions_of(const LegResult& leg) {
  Positions all;
  for (const PromptFigures& prompt : leg.prompts) {
    all.judged += prompt.positions;
    all.excused += prompt.excused;
    all.worst = std::fmin(all.worst, prompt.worst_cosine);
    all.worst_excused = std::fmin(all.worst_excused, prompt.worst_excused_cosine);
  }
  return all;
}

std::string choices_text(const LegResult& leg) {
  const std::string_view why = leg.choices_different > 0 ? ", all near-ties or following one" : "";
  return fmt::format("{} of {} expert choices differ{}", grouped_text(leg.choices_different),
                     grouped_text(leg.choices), why);
}

// "Fast: worst logits cosine …", of a leg that passed.
std::string leg_text(const LegResult& leg) {
  const Positions positions = positions_of(leg);
  std::string text = leg.leg == 'X' ? "Exact: " + worst_stage(leg)
                                    : "Fast: worst logits cosine " + cosine_text(positions.worst);
  text += "; " + choices_text(leg);
  if (positions.excused > 0)
    text += fmt::format("; {} of {} positions miss a bound because of them ({:g} % allowed), worst {}",
                        positions.excused, positions.judged + positions.excused,
                        100 * leg_bounds().most_excused_positions, cosine_text(positions.worst_excused));
  return text + ".";
}

// " for the first 3 of 8 layers on 4 prompts only", or nothing.
std::string scope_of(const GateResult& result) {
  std::string text;
  if (result.model.layers_run < result.model.layers_in_file)
    text +=
        fmt::format(" for the first {} of {} layers", result.model.layers_run, result.model.layers_in_file);
  if (result.prompts.count > 0 && result.prompts.count < full_prompt_count)
    text += fmt::format(" on {} prompt{} only", result.prompts.count, result.prompts.count == 1 ? "" : "s");
  return text;
}

// Why neither leg that could say that the device is right has passed.
std::string why_not_run(const GateResult& result) {
  const LegResult* const exact = result.find('X', Numerics::exact);
  const LegResult* const fast = result.find('F', Numerics::fast);
  if (exact == nullptr && fast != nullptr && result.model.random_weights)
    return "exact numerics were not asked for (leg X), and fast numerics are not judged on random weights "
           "(leg F). Use --numerics both";
  for (const LegResult* leg : {exact, fast})
    if (leg != nullptr && leg->result.verdict == Verdict::not_run)
      return fmt::format("{} (leg {})", leg->result.reason, leg->leg);
  return result.reason;
}

// A reference that is not right itself says nothing of a device.
bool is_reference_wrong(const GateResult& result) {
  const LegResult* const leg = result.find('R', Numerics::exact);
  return leg != nullptr && leg->result.verdict == Verdict::fail;
}

}  // namespace

std::string summarise(const GateResult& result) {
  if (result.verdict == Verdict::refused) return "Not judged: " + result.reason + ".";
  if (result.verdict == Verdict::not_run) return "No verdict: " + why_not_run(result) + ".";
  if (is_reference_wrong(result))
    return fmt::format(
        "The reference itself does not match the golden logits beside the model, so it cannot judge this "
        "device: {}.",
        result.find('R', Numerics::exact)->result.reason);
  const bool software = std::any_of(result.devices.begin(), result.devices.end(), model::is_software);
  const std::string note = software ? fmt::format(" It is a {}.", model::software_note) : "";
  if (result.verdict == Verdict::fail)
    return fmt::format("This device does NOT give the reference's answer{}: {}.{}", scope_of(result),
                       result.reason, note);
  std::string text = fmt::format("This device gives the reference's answer{}.{}", scope_of(result), note);
  for (const LegResult& leg : result.legs)
    if ((leg.leg == 'X' || leg.leg == 'F') && leg.result.verdict == Verdict::pass)
      text.append(1, ' ').append(leg_text(leg));
  if (const std::string names = legs_of(result, Verdict::not_run); !names.empty())
    text += fmt::format(" Not run: {}.", names);
  return text;
}

}  // namespace trine::contract
