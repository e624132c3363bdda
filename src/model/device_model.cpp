#include "model/device_model.h"

#include <fmt/format.h>

namespace trine::model {
namespace {

tl::unexpected<Error> refuse(std::string what, std::size_t row, std::string expected, std::int64_t actual) {
  return fail({.code = ErrorCode::inference,
               .what = std::move(what),
               .where = fmt::format("batch row {}", row),
               .expected = std::move(expected),
               .actual = fmt::format("{}", actual)});
}

Result<void> check_row(const Row& row, std::size_t n, const Batch& batch, const DeviceModel& model) {
  const std::int32_t vocab = model.config().vocab_size;
  if (row.token < 0 || row.token >= vocab)
    return refuse("token id out of range", n, fmt::format("0 to {}", vocab - 1), row.token);
  if (row.sequence < 0 || static_cast<std::size_t>(row.sequence) >= batch.page_tables.size())
    return refuse("sequence out of range", n, fmt::format("below {}", batch.page_tables.size()),
                  row.sequence);
  const std::vector<std::int32_t>& pages = batch.page_tables[static_cast<std::size_t>(row.sequence)];
  const std::int64_t capacity = static_cast<std::int64_t>(pages.size()) * model.kv_page_size();
  if (row.position < 0 || row.position >= capacity)
    return refuse("position outside the sequence's KV pages", n, fmt::format("below {}", capacity),
                  row.position);
  return {};
}

}  // namespace

Result<std::unique_ptr<TokenStream>> DeviceModel::decode_stream(const StreamRequest& /*request*/) {
  return nullptr;
}

Result<PassTime> DeviceModel::time_pass(const Batch& /*batch*/, bool /*by_kernel*/) {
  return fail(ErrorCode::inference, "this device has no clock of its own");
}

Result<std::optional<MemoryRate>> DeviceModel::measure_memory() {
  return std::nullopt;
}

Result<void> check_batch(const Batch& batch, const DeviceModel& model) {
  if (batch.rows.empty()) return fail(ErrorCode::inference, "a batch needs at least one row");
  if (batch.rows.size() > static_cast<std::size_t>(model.max_batch_rows())) {
    return fail({.code = ErrorCode::inference,
                 .what = "too many rows in a batch",
                 .expected = fmt::format("at most {}", model.max_batch_rows()),
                 .actual = fmt::format("{}", batch.rows.size())});
  }
  for (std::size_t s = 0; s < batch.page_tables.size(); ++s) {
    for (const std::int32_t page : batch.page_tables[s]) {
      if (page < 0 || page >= model.kv_pages()) {
        return fail({.code = ErrorCode::inference,
                     .what = "KV page out of range",
                     .where = fmt::format("sequence {}", s),
                     .expected = fmt::format("0 to {}", model.kv_pages() - 1),
                     .actual = fmt::format("{}", page)});
      }
    }
  }
  std::vector<std::int32_t> last(batch.page_tables.size(), -1);
  for (std::size_t n = 0; n < batch.rows.size(); ++n) {
    const Row& row = batch.rows[n];
    TRINE_CHECK_OK(check_row(row, n, batch, model));
    std::int32_t& previous = last[static_cast<std::size_t>(row.sequence)];
    if (previous >= 0 && row.position != previous + 1)
      return refuse("positions of a sequence must be gap-free", n, fmt::format("{}", previous + 1),
                    row.position);
    previous = row.position;
  }
  return {};
}

}  // namespace trine::model
