#include "model/stage_tap.h"

namespace trine::model {

std::string_view name_of(Place place) {
  return place == Place::device ? "device" : "host";
}

void StageTap::take(Place place, Stage stage, int layer, std::int64_t first_row, std::int64_t rows,
                    std::int64_t width, std::span<const float> values) {
  std::string& noted = places_[static_cast<std::size_t>(stage)];
  if (noted != name_of(Place::host)) noted = name_of(place);
  to_.take(stage, layer, first_row, rows, width, values);
}

}  // namespace trine::model
