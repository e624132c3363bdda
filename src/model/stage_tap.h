#pragma once

#include "model/stage.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trine::model {

// Where a stage was computed: on the device that the backend is for, or by a host beside it. A CPU backend's
// device is the processor.
enum class Place : std::uint8_t { device, host };
std::string_view name_of(Place place);

// Where each stage ran: "device" or "host", and empty of those that no trace has had.
using StagePlaces = std::array<std::string, stage_count>;

// What a backend delivers the stages of a traced step to: the caller's sink, with a note of where each came
// from. A backend has no other way to its caller's trace, so what is noted is what ran.
class StageTap {
 public:
  // Both outlive the tap.
  StageTap(TraceSink& to, StagePlaces& places) : to_(to), places_(places) {}

  bool wants(Stage stage, int layer) { return to_.wants(stage, layer); }
  // As TraceSink::take(), of values computed at `place`. A stage that ran on the host in one layer or step
  // stays one that did.
  void take(Place place, Stage stage, int layer, std::int64_t first_row, std::int64_t rows,
            std::int64_t width, std::span<const float> values);

 private:
  TraceSink& to_;
  StagePlaces& places_;
};

}  // namespace trine::model
