#pragma once

#include "model/device_model.h"

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace trine::model {

// A slot of a model, closed with this object.
class OpenSlot {
 public:
  // Errors: those of DeviceModel::open_slot().
  static Result<OpenSlot> open(DeviceModel& model, const Choosing& choosing = {}) {
    TRINE_TRY(const std::int32_t id, model.open_slot(choosing));
    return OpenSlot(model, id);
  }
  // With every page of the KV cache, in order: for one sequence that has the model to itself.
  // Errors: those of DeviceModel::open_slot() and set_pages().
  static Result<OpenSlot> open_whole(DeviceModel& model, const Choosing& choosing = {}) {
    TRINE_TRY(OpenSlot slot, open(model, choosing));
    std::vector<std::int32_t> pages(static_cast<std::size_t>(model.limits().kv_pages));
    std::iota(pages.begin(), pages.end(), 0);
    TRINE_CHECK_OK(model.set_pages(slot.id(), std::move(pages), 0));
    return slot;
  }

  OpenSlot(OpenSlot&& other) noexcept : model_(other.model_), id_(std::exchange(other.id_, -1)) {}
  OpenSlot& operator=(OpenSlot&&) = delete;
  ~OpenSlot() {
    if (id_ >= 0) static_cast<void>(model_.close_slot(id_));
  }

  std::int32_t id() const { return id_; }

 private:
  OpenSlot(DeviceModel& model, std::int32_t id) : model_(model), id_(id) {}

  DeviceModel& model_;
  std::int32_t id_;
};

}  // namespace trine::model
