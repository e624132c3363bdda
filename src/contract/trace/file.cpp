#include "contract/trace/file.h"

#include "base/check.h"
#include "base/sha256.h"
#include "contract/judge/legs.h"
#include "model/device_names.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

namespace trine::contract {
namespace {

using model::Stage;
using Json = nlohmann::ordered_json;

constexpr std::size_t length_bytes = 8;
constexpr std::string_view layer_prefix = "layer.";

tl::unexpected<Error> invalid(std::string what, std::string where, std::string expected, std::string actual) {
  return fail({.code = ErrorCode::validation_failed,
               .what = std::move(what),
               .where = std::move(where),
               .expected = std::move(expected),
               .actual = std::move(actual)});
}

// Enough of a text from the file to recognise it by.
std::string shortened(std::string_view text) {
  constexpr std::size_t most = 60;
  if (text.size() <= most) return std::string(text);
  return fmt::format("{}… ({} bytes)", text.substr(0, most), text.size());
}

// A whole number written in the one way fmt writes it.
template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || stop != end || value < 0) return std::nullopt;
  if (text.front() == '-' || (text.front() == '0' && text.size() > 1)) return std::nullopt;
  return value;
}

std::optional<std::vector<std::int32_t>> parse_tokens(std::string_view text) {
  std::vector<std::int32_t> tokens;
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const auto token = parse_number<std::int32_t>(text.substr(0, comma));
    if (!token) return std::nullopt;
    tokens.push_back(*token);
    if (comma == text.size()) return tokens;
    text.remove_prefix(comma + 1);
  }
}

// ---- The header's JSON, before it is judged ----

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;
};

struct Header {
  std::map<std::string, std::string, std::less<>> metadata;
  std::vector<Entry> entries;
};

// Takes the JSON as it is parsed and stops at the first thing that does not belong, so that no header costs
// more memory than the tensors it names.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Header header;
  std::string problem;  // why it stopped

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a truth value"); }
  bool number_integer(number_integer_t value) override { return refuse(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return refuse(shortened(text)); }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::list) return refuse(fmt::format("{}", value));
    if (list_->size() == 2) return stop("an array of more than two numbers", where());
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      if (!header.metadata.emplace(key_, std::move(value)).second)
        return stop("metadata comes twice", where());
      return true;
    }
    if (place_ != Place::entry || key_ != "dtype") return refuse("a string");
    header.entries.back().dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == "__metadata__") {
      if (std::exchange(has_metadata_, true)) return stop("metadata comes twice", where());
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      header.entries.emplace_back().name = key_;
      entry_keys_.clear();
      place_ = Place::entry;
    } else {
      return refuse("an object");
    }
    return true;
  }
  bool end_object() override {
    place_ = place_ == Place::top ? Place::end : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::entry || (key_ != "shape" && key_ != "data_offsets")) return refuse("an array");
    list_ = key_ == "shape" ? &header.entries.back().shape : &header.entries.back().offsets;
    place_ = Place::list;
    return true;
  }
  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (place_ != Place::entry) return true;
    if (key_ != "dtype" && key_ != "shape" && key_ != "data_offsets") return stop("an unknown key", where());
    return entry_keys_.insert(key_).second || stop("a key comes twice", where());
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop("no JSON", fmt::format("byte {}", length_bytes + position));
  }

 private:
  enum class Place { start, top, metadata, entry, list, end };

  std::string where() const {
    if (place_ == Place::entry || place_ == Place::list)
      return fmt::format("'{}' of '{}'", shortened(key_), shortened(header.entries.back().name));
    return fmt::format("'{}'", shortened(key_));
  }
  bool stop(std::string_view what, std::string_view where) {
    problem = fmt::format("{} at {}", what, where);
    return false;
  }
  bool refuse(std::string_view what) { return stop(what, place_ == Place::start ? "its start" : where()); }

  Place place_ = Place::start;
  std::string key_;
  bool has_metadata_ = false;
  std::set<std::string, std::less<>> entry_keys_;
  std::vector<std::uint64_t>* list_ = nullptr;
};

// ---- Judging it ----

// "a,b"
std::vector<std::string> split_names(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

Result<TraceInfo> read_info(Header& header, const std::string& path) {
  const auto format = header.metadata.find("format");
  if (format == header.metadata.end() || format->second != trace_format)
    return invalid("this is no trace that this version reads", path, fmt::format("format {}", trace_format),
                   format == header.metadata.end() ? "no format" : shortened(format->second));
  TraceInfo info;
  std::string tokens, numerics;
  const std::array<std::pair<const char*, std::string*>, 7> required = {{{"model_sha256", &info.model_sha256},
                                                                         {"model_name", &info.model_name},
                                                                         {"tokens", &tokens},
                                                                         {"backend", &info.device.backend},
                                                                         {"device", &info.device.name},
                                                                         {"numerics", &numerics},
                                                                         {"program", &info.program}}};
  for (const auto& [key, value] : required) {
    const auto found = header.metadata.find(key);
    if (found == header.metadata.end())
      return invalid("the trace's metadata lacks a value", path, key, "nothing");
    *value = std::move(found->second);
  }
  info.device.type = std::move(header.metadata["device_type"]);
  info.device.api = std::move(header.metadata["device_api"]);
  info.device.driver = std::move(header.metadata["device_driver"]);
  info.device.left_out = split_names(header.metadata["device_left_out"]);
  info.device.switched_off = split_names(header.metadata["device_switched_off"]);

  if (!is_sha256(info.model_sha256))
    return invalid("model_sha256 of the trace is no SHA-256", path, "64 hexadecimal digits",
                   shortened(info.model_sha256));
  if (numerics != "exact" && numerics != "fast")
    return invalid("numerics of the trace are unknown", path, "exact or fast", shortened(numerics));
  info.device.numerics = numerics == "exact" ? model::Numerics::exact : model::Numerics::fast;
  auto ids = parse_tokens(tokens);
  if (!ids)
    return invalid("tokens of the trace are no token ids", path, "ids separated by commas",
                   shortened(tokens));
  info.tokens = *std::move(ids);
  return info;
}

// A slot and where its data lies, [begin, end) from the start of the data.
struct Placed {
  TraceSlot slot;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<Placed> place(const Entry& entry, std::size_t n_tokens, std::uint64_t data_bytes,
                     const std::string& path) {
  const auto wrong = [&](std::string what, std::string expected, std::string actual) {
    return invalid(std::move(what), fmt::format("{}, tensor '{}'", path, shortened(entry.name)),
                   std::move(expected), std::move(actual));
  };
  const auto slot = parse_slot_name(entry.name);
  if (!slot) return wrong("the trace names a stage that does not exist", "as 'embed' or 'layer.0.qkv'", "");
  Placed placed{*slot, 0, 0};
  if (entry.dtype != "F32") return wrong("the trace holds another type", "F32", shortened(entry.dtype));
  const auto max_width = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (entry.shape.size() != 2 || entry.shape[0] != n_tokens || entry.shape[1] == 0 ||
      entry.shape[1] > max_width)
    return wrong("the trace has an impossible shape", fmt::format("[{}, width]", n_tokens),
                 fmt::format("[{}]", fmt::join(entry.shape, ", ")));
  placed.slot.rows = static_cast<std::int64_t>(entry.shape[0]);
  placed.slot.width = static_cast<std::int64_t>(entry.shape[1]);
  std::uint64_t bytes = 0;
  const bool overflow = __builtin_mul_overflow(entry.shape[0], entry.shape[1], &bytes) ||
                        __builtin_mul_overflow(bytes, std::uint64_t{sizeof(float)}, &bytes);
  if (entry.offsets.size() != 2 || overflow || entry.offsets[1] > data_bytes ||
      entry.offsets[0] > entry.offsets[1] || entry.offsets[1] - entry.offsets[0] != bytes)
    return wrong("the trace's data does not fit its shape and the file",
                 overflow ? fmt::format("at most {} bytes", data_bytes)
                          : fmt::format("{} bytes within {}", bytes, data_bytes),
                 fmt::format("data_offsets [{}]", fmt::join(entry.offsets, ", ")));
  placed.begin = entry.offsets[0];
  placed.end = entry.offsets[1];
  return placed;
}

// Every byte of the data belongs to one tensor.
Result<void> check_cover(std::vector<Placed>& all, std::uint64_t data_bytes, const std::string& path) {
  std::sort(all.begin(), all.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  std::uint64_t end = 0;
  for (const Placed& one : all) {
    if (one.begin != end)
      return invalid(one.begin < end ? "two tensors of the trace overlap" : "the trace has a hole",
                     fmt::format("{}, tensor '{}'", path, slot_name(one.slot.stage, one.slot.layer)),
                     fmt::format("data from {}", end), fmt::format("{}", one.begin));
    end = one.end;
  }
  if (end != data_bytes)
    return invalid("the trace has bytes behind its last tensor", path, fmt::format("{} bytes of data", end),
                   fmt::format("{}", data_bytes));
  return {};
}

Result<std::string_view> header_text(std::span<const std::byte> bytes, const std::string& path) {
  const auto size = fmt::format("a file of {} bytes", bytes.size());
  if (bytes.size() < length_bytes)
    return invalid("this is no trace", path, "a header's length in 8 bytes", size);
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  if (length > max_trace_header_bytes)
    return invalid("this is no trace", path,
                   fmt::format("a header of at most {} bytes", max_trace_header_bytes),
                   fmt::format("{}", length));
  if (length > bytes.size() - length_bytes)
    return invalid("the trace is cut off in its header", path, fmt::format("a header of {} bytes", length),
                   size);
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + length_bytes, length);
}

}  // namespace

std::string slot_name(Stage stage, int layer) {
  if (!model::is_per_layer(stage)) return std::string(model::name_of(stage));
  return fmt::format("{}{}.{}", layer_prefix, layer, model::name_of(stage));
}

std::optional<TraceSlot> parse_slot_name(std::string_view name) {
  TraceSlot slot;
  if (!name.starts_with(layer_prefix)) {
    if (!model::parse_stage(name, slot.stage) || model::is_per_layer(slot.stage)) return std::nullopt;
    return slot;
  }
  name.remove_prefix(layer_prefix.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  const auto layer = parse_number<std::int32_t>(name.substr(0, dot));
  if (!layer || !model::parse_stage(name.substr(dot + 1), slot.stage) || !model::is_per_layer(slot.stage))
    return std::nullopt;
  slot.layer = *layer;
  return slot;
}

bool comes_before(const TraceSlot& a, const TraceSlot& b) {
  const auto key = [](const TraceSlot& slot) {
    const int part = slot.stage == Stage::embed ? 0 : model::is_per_layer(slot.stage) ? 1 : 2;
    return std::tuple(part, slot.layer, slot.stage);
  };
  return key(a) < key(b);
}

Result<TraceFile> TraceFile::open(const std::string& path) {
  TRINE_TRY(MappedFile mapped, MappedFile::open(path));
  TRINE_TRY(TraceFile file, parse(mapped.bytes(), path));
  file.file_ = std::move(mapped);
  return file;
}

Result<TraceFile> TraceFile::parse(std::span<const std::byte> bytes, const std::string& path) {
  TRINE_TRY(const std::string_view text, header_text(bytes, path));
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader))
    return invalid("the trace's header is not as it must be", path, {}, reader.problem);

  TraceFile file;
  file.path_ = path;
  TRINE_TRY(file.info_, read_info(reader.header, path));
  const std::span<const std::byte> data = bytes.subspan(length_bytes + text.size());
  std::vector<Placed> placed;
  for (const Entry& entry : reader.header.entries) {
    TRINE_TRY(const Placed one, place(entry, file.info_.tokens.size(), data.size(), path));
    placed.push_back(one);
  }
  TRINE_CHECK_OK(check_cover(placed, data.size(), path));
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return comes_before(a.slot, b.slot); });
  for (const Placed& one : placed) {
    if (!file.slots_.empty() && !comes_before(file.slots_.back(), one.slot))
      return invalid("two tensors of the trace have the same name", path, {},
                     slot_name(one.slot.stage, one.slot.layer));
    file.slots_.push_back(one.slot);
    file.data_.push_back(data.data() + one.begin);
  }
  return file;
}

std::size_t TraceFile::index_of(Stage stage, int layer) const {
  const TraceSlot wanted{stage, layer, 0, 0};
  const auto found = std::lower_bound(slots_.begin(), slots_.end(), wanted, comes_before);
  if (found == slots_.end() || comes_before(wanted, *found)) return slots_.size();
  return static_cast<std::size_t>(found - slots_.begin());
}

void TraceFile::read_row(std::size_t slot, std::int64_t row, std::vector<float>& values) const {
  check(slot < slots_.size() && row >= 0 && row < slots_[slot].rows, "a row that the trace lacks");
  const auto width = static_cast<std::size_t>(slots_[slot].width);
  values.resize(width);
  // The data of a foreign file need not be aligned.
  std::memcpy(values.data(), data_[slot] + static_cast<std::size_t>(row) * width * sizeof(float),
              width * sizeof(float));
}

std::string trace_header(const TraceInfo& info, std::span<const TraceSlot> slots) {
  Json metadata = {
      {"format", trace_format},         {"model_sha256", info.model_sha256},
      {"model_name", info.model_name},  {"tokens", fmt::format("{}", fmt::join(info.tokens, ","))},
      {"backend", info.device.backend}, {"device", info.device.name}};
  const std::array<std::pair<const char*, std::string>, 5> optional = {
      {{"device_type", info.device.type},
       {"device_api", info.device.api},
       {"device_driver", info.device.driver},
       {"device_left_out", fmt::format("{}", fmt::join(info.device.left_out, ","))},
       {"device_switched_off", fmt::format("{}", fmt::join(info.device.switched_off, ","))}}};
  for (const auto& [key, value] : optional)
    if (!value.empty()) metadata[key] = value;
  metadata["numerics"] = name_of(info.device.numerics);
  metadata["program"] = info.program;

  Json header;
  header["__metadata__"] = std::move(metadata);
  std::uint64_t begin = 0;
  for (const TraceSlot& slot : slots) {
    const std::uint64_t end = begin + slot.bytes();
    header[slot_name(slot.stage, slot.layer)] = {
        {"dtype", "F32"}, {"shape", {slot.rows, slot.width}}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string json = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string out;
  for (std::size_t i = 0; i < length_bytes; ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(json.size()) >> (8 * i) & 0xFF);
  return out + json;
}

}  // namespace trine::contract
