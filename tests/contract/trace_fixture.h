#pragma once

#include "contract/gate/reference_device.h"
#include "contract/trace/file.h"
#include "contract/trace/writer.h"
#include "gate_fixture.h"
#include "temporary_folder.h"

#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <stdexcept>

namespace trine::test {

using contract::TraceFile;
using contract::TraceInfo;
using contract::TraceSelection;
using contract::TraceSlot;
using contract::TraceWriter;
using model::Numerics;
using model::Stage;

inline const std::string sha(64, 'a');

class Trace : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::size_t files() const { return folder_.files(); }
  std::string bytes(const std::string& name) const {
    std::ifstream stream(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  TemporaryFolder folder_;
};

inline TraceFile parsed(const std::string& bytes) {
  auto file = TraceFile::parse(std::as_bytes(std::span(bytes)), "test.trace");
  if (!file) throw std::runtime_error(to_string(file.error()));
  return *std::move(file);
}

// A file made by hand: the header's length in eight little-endian bytes, the JSON, the data.
inline std::string file_of(const std::string& json, const std::string& data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(json.size() >> (8 * i) & 0xFF);
  return out + json + data;
}

inline const std::string metadata =
    R"("__metadata__":{"format":"trine-trace-1","model_sha256":")" + sha +
    R"(","model_name":"hand made","tokens":"7,8","backend":"cpu","device":"a processor","numerics":"exact",)"
    R"("program":"a test"})";

inline std::string floats(const std::vector<float>& values) {
  std::string out(values.size() * sizeof(float), '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

inline std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}";
}

inline const model::Weights& tied() {
  static const LoadedModel loaded(tied_path);
  return loaded.weights;
}

// Longer than one batch.
inline std::vector<std::int32_t> long_prompt() {
  std::vector<std::int32_t> tokens(contract::trace_batch_rows + 2);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 37 % 509);
  return tokens;
}

inline std::unique_ptr<model::DeviceModel> device_of(const std::string& backend, Numerics numerics,
                                                     int threads) {
  constexpr std::int32_t context = 192;
  if (backend == "reference") return std::make_unique<contract::ReferenceDevice>(tied(), context, 1, threads);
  model::LoadOptions options;
  options.numerics = numerics;
  options.threads = threads;
  options.context = context;
  auto device = backend::load_model(backend, tied(), options);
  if (!device) throw std::runtime_error(to_string(device.error()));
  return *std::move(device);
}

inline TraceInfo info_of(const model::DeviceModel& device, const std::vector<std::int32_t>& tokens) {
  return {sha, "tied", tokens, device.describe(), "a test"};
}

// Returns the logits of the last batch.
inline std::vector<float> record(const std::string& path, model::DeviceModel& device,
                                 const std::vector<std::int32_t>& tokens,
                                 const TraceSelection& selection = {}) {
  auto writer = TraceWriter::create(
      path, info_of(device, tokens),
      contract::trace_slots(device.config(), selection, static_cast<std::int64_t>(tokens.size())), {});
  if (!writer) throw std::runtime_error(to_string(writer.error()));
  auto logits = contract::run_traced(device, tokens, selection.has(Stage::logits, -1), writer->get());
  if (!logits) throw std::runtime_error(to_string(logits.error()));
  if (const auto finished = (*writer)->finish(); !finished)
    throw std::runtime_error(to_string(finished.error()));
  return *std::move(logits);
}

inline bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace trine::test
