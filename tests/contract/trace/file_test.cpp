// A trace is on disk what the pass delivered, and a damaged one is refused.
#include "contract/trace/diff.h"
#include "step_helpers.h"
#include "trace_fixture.h"
#include "trace_recorder.h"

#include <sys/resource.h>
#include <cmath>
#include <csignal>

namespace trine::test {
namespace {

// ---- The format ----

TEST(TraceName, IsTheStageAndItsLayer) {
  for (int i = 0; i < model::stage_count; ++i) {
    const auto stage = static_cast<Stage>(i);
    const int layer = model::is_per_layer(stage) ? 47 : -1;
    const std::string name = contract::slot_name(stage, layer);
    const auto slot = contract::parse_slot_name(name);
    ASSERT_TRUE(slot) << name;
    EXPECT_EQ(slot->stage, stage);
    EXPECT_EQ(slot->layer, layer);
  }
  EXPECT_EQ(contract::slot_name(Stage::moe_out, 3), "layer.3.moe_out");
  EXPECT_EQ(contract::slot_name(Stage::logits, -1), "logits");
  for (const char* name : {"", "qkv", "layer", "layer.", "layer.0", "layer.0.", "layer..qkv", "layer.03.qkv",
                           "layer.-1.qkv", "layer.+1.qkv", "layer.0.embed", "layer.0.logits", "layer.0.qkv ",
                           "layer.99999999999.qkv", "layer.0x1.qkv", "Embed", "layer.0.qkv.0"})
    EXPECT_FALSE(contract::parse_slot_name(name)) << name;
}

TEST(TraceFileTest, ReadsTensorsInAnyOrderAndGivesThemInTheModels) {
  // The data begins at an odd byte, as it may in a file of another program.
  std::string json = "{" + tensor("layer.1.qkv", "2,1", "16,24") + "," + tensor("embed", "2,2", "0,16") +
                     "," + metadata + "," + tensor("layer.0.moe_out", "2,1", "24,32") + "}";
  if (json.size() % 2 == 0) json += ' ';
  const std::string bytes = file_of(json, floats({1, 2, 3, 4, 5, 6, 7, nan}));
  const TraceFile file = parsed(bytes);
  EXPECT_EQ(file.info().model_name, "hand made");
  EXPECT_EQ(file.info().tokens, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(file.info().device.name, "a processor");
  ASSERT_EQ(file.slots().size(), 3u);
  EXPECT_EQ(file.slots()[0].stage, Stage::embed);
  EXPECT_EQ(file.slots()[1].stage, Stage::moe_out);
  EXPECT_EQ(file.slots()[2].stage, Stage::qkv);
  EXPECT_EQ(file.slots()[2].layer, 1);
  std::vector<float> row;
  file.read_row(0, 1, row);
  EXPECT_EQ(row, (std::vector<float>{3, 4}));
  file.read_row(2, 0, row);
  EXPECT_EQ(row, (std::vector<float>{5}));
  file.read_row(1, 1, row);
  EXPECT_TRUE(std::isnan(row[0]));
  EXPECT_EQ(file.index_of(Stage::qkv, 1), 2u);
  EXPECT_EQ(file.index_of(Stage::qkv, 0), 3u);
}

TEST(TraceFileTest, RefusesEveryKindOfDamage) {
  const std::string good = tensor("embed", "2,2", "0,16");
  const auto patched = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  const auto with_tensor = [&](const std::string& one) { return "{" + metadata + "," + one + "}"; };
  const auto with_metadata = [&](const std::string& from, const std::string& to) {
    return "{" + patched(metadata, from, to) + "," + good + "}";
  };
  struct Case {
    std::string json;
    std::string message;
  };
  const std::vector<Case> cases = {
      {with_tensor(tensor("embed", "2,2", "4,20")), "does not fit"},
      {with_tensor(tensor("embed", "2,2", "16,0")), "does not fit"},
      {with_tensor(tensor("embed", "2,2", "0,12")), "does not fit"},
      {with_tensor(tensor("embed", "2,4611686018427387904", "0,16")), "does not fit"},
      {with_tensor(tensor("embed", "2,2305843009213693952", "0,0")), "does not fit"},
      {with_tensor(tensor("embed", "2,18446744073709551615", "0,16")), "impossible shape"},
      {with_tensor(tensor("embed", "2,2", "18446744073709551600,0")), "does not fit"},
      {with_tensor(tensor("embed", "2,2", "0")), "does not fit"},
      {with_tensor(tensor("embed", "2,1", "0,8")), "behind its last tensor"},
      {with_tensor(tensor("embed", "2,1", "8,16")), "hole"},
      {with_tensor(tensor("embed", "2,1", "0,8") + "," + tensor("final_norm", "2,2", "0,16")), "overlap"},
      {with_tensor(tensor("embed", "2,1", "0,8") + "," + tensor("embed", "2,1", "8,16")), "the same name"},
      {with_tensor(tensor("embed", "1,4", "0,16")), "impossible shape"},
      {with_tensor(tensor("embed", "2,0", "0,0")), "impossible shape"},
      {with_tensor(tensor("embed", "4", "0,16")), "impossible shape"},
      {with_tensor(tensor("embed", "2,2,1", "0,16")), "more than two"},
      {with_tensor(tensor("embed", "2,-2", "0,16")), "-2"},
      {with_tensor(tensor("embed", "2,2.0", "0,16")), "2.0"},
      {with_tensor(tensor("embeds", "2,2", "0,16")), "does not exist"},
      {with_tensor(patched(good, "F32", "F16")), "another type"},
      {with_tensor(patched(good, "\"F32\"", "4")), "'dtype' of 'embed'"},
      {with_tensor(patched(good, "dtype", "dtypo")), "an unknown key"},
      {with_tensor(patched(good, "\"shape\":[2,2]", "\"dtype\":\"F32\"")), "a key comes twice"},
      {with_tensor("\"embed\":[]"), "an array"},
      {with_tensor(std::string("\"embed\":") + std::string(100000, '[')), "an array"},
      {with_tensor("\"embed\":null"), "null"},
      {"{" + metadata + "," + metadata + "," + good + "}", "metadata comes twice"},
      {"{" + good + "}", "this is no trace"},
      {with_metadata("trine-trace-1", "trine-trace-2"), "trine-trace-2"},
      {with_metadata("\"exact\"", "\"loose\""), "loose"},
      {with_metadata("\"exact\"", "7"), "7 at 'numerics'"},
      {with_metadata(sha, sha.substr(1)), "SHA-256"},
      {with_metadata("\"7,8\"", "\"7,\""), "no token ids"},
      {with_metadata("\"7,8\"", "\"\""), "no token ids"},
      {with_metadata("\"7,8\"", "\"7,-8\""), "no token ids"},
      {with_metadata("\"7,8\"", "\"7,08\""), "no token ids"},
      {with_metadata("\"7,8\"", "\"7,4294967296\""), "no token ids"},
      {with_metadata("\"backend\"", "\"front\""), "lacks a value"},
      {with_metadata("\"program\"", "\"backend\""), "metadata comes twice"},
      {"", "no JSON"},
      {"[]", "an array at its start"},
      {"7", "7 at its start"},
      {with_tensor(good) + "x", "no JSON"},
  };
  const std::string whole = file_of(with_tensor(good), floats({1, 2, 3, 4}));
  ASSERT_TRUE(TraceFile::parse(std::as_bytes(std::span(whole)), "good.trace"));
  for (const Case& one : cases) {
    const std::string bytes = file_of(one.json, floats({1, 2, 3, 4}));
    const auto file = TraceFile::parse(std::as_bytes(std::span(bytes)), "bad.trace");
    ASSERT_FALSE(file) << one.json.substr(0, 1000);
    EXPECT_EQ(file.error().code, ErrorCode::validation_failed);
    const std::string message = to_string(file.error());
    EXPECT_NE(message.find(one.message), std::string::npos) << message << "\n" << one.json.substr(0, 1000);
    EXPECT_NE(message.find("bad.trace"), std::string::npos) << message;
    EXPECT_LT(message.size(), 400u) << message;
  }
}

TEST(TraceFileTest, RefusesAFileCutOffAnywhere) {
  const std::string whole =
      file_of("{" + metadata + "," + tensor("embed", "2,2", "0,16") + "}", floats({1, 2, 3, 4}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    const auto file = TraceFile::parse(std::as_bytes(std::span(cut)), "cut.trace");
    ASSERT_FALSE(file) << size;
    EXPECT_EQ(file.error().code, ErrorCode::validation_failed) << size;
  }
  std::string long_header = whole;
  long_header[7] = 0x10;  // 2^60 bytes
  EXPECT_FALSE(TraceFile::parse(std::as_bytes(std::span(long_header)), "x"));
}

// ---- Recording ----

class TraceRun : public Trace, public testing::WithParamInterface<std::pair<const char*, Numerics>> {};

TEST_P(TraceRun, HoldsWhatThePassDeliveredAndChangesNoNumber) {
  const auto [backend, numerics] = GetParam();
  const std::vector<std::int32_t> tokens = long_prompt();
  const auto device = device_of(backend, numerics, 1);
  const std::vector<float> traced = record(path("x"), *device, tokens);
  const auto untraced = contract::run_traced(*device, tokens, true, nullptr);
  ASSERT_TRUE(untraced) << to_string(untraced.error());
  EXPECT_TRUE(same_bytes(traced, *untraced));

  // The same batches, kept in memory by another sink.
  TraceRecorder recorder;
  const model::OpenSlot slot = value_of(model::OpenSlot::open_whole(*device));
  for (std::size_t begin = 0; begin < tokens.size(); begin += contract::trace_batch_rows) {
    const std::size_t end = std::min(tokens.size(), begin + contract::trace_batch_rows);
    const std::vector<std::int32_t> some(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                         tokens.begin() + static_cast<std::ptrdiff_t>(end));
    value_of(device->run(rows_of(some, static_cast<std::int32_t>(begin), slot.id()), &recorder));
  }
  const auto file = TraceFile::open(path("x"));
  ASSERT_TRUE(file) << to_string(file.error());
  ASSERT_EQ(file->slots().size(), 12u * 2 + 3);
  ASSERT_EQ(recorder.stages.size(), file->slots().size());
  for (std::size_t i = 0; i < file->slots().size(); ++i) {
    const TraceSlot& slot = file->slots()[i];
    std::vector<float> all, row;
    for (std::int64_t r = 0; r < slot.rows; ++r) {
      file->read_row(i, r, row);
      all.insert(all.end(), row.begin(), row.end());
    }
    EXPECT_TRUE(same_bytes(all, recorder.stages[{slot.stage, slot.layer}]))
        << contract::slot_name(slot.stage, slot.layer);
  }
  EXPECT_EQ(file->info().tokens, tokens);
  EXPECT_EQ(file->info().device.backend, backend);
  EXPECT_EQ(file->info().device.numerics, numerics);
  EXPECT_EQ(files(), 1u);
}

std::vector<std::pair<const char*, Numerics>> runs_here() {
  std::vector<std::pair<const char*, Numerics>> runs = {{"reference", Numerics::exact}};
  if (backend::find_backend("cpu") != nullptr && backend::find_backend("cpu")->built) {
    runs.emplace_back("cpu", Numerics::exact);
    runs.emplace_back("cpu", Numerics::fast);
  }
  return runs;
}
INSTANTIATE_TEST_SUITE_P(Backends, TraceRun, testing::ValuesIn(runs_here()), [](const auto& run) {
  return std::string(run.param.first) + (run.param.second == Numerics::exact ? "Exact" : "Fast");
});

TEST_F(Trace, IsTheSameFileForAnyNumberOfThreads) {
  record(path("one"), *device_of("reference", Numerics::exact, 1), {5, 6, 7});
  record(path("two"), *device_of("reference", Numerics::exact, 2), {5, 6, 7});
  EXPECT_EQ(bytes("one"), bytes("two"));
}

TEST_F(Trace, KeepsWhatWasSelected) {
  const auto device = device_of("reference", Numerics::exact, 1);
  record(path("x"), *device, {5, 6, 7}, {{Stage::moe_out, Stage::embed}, {1}});
  const auto file = TraceFile::open(path("x"));
  ASSERT_TRUE(file) << to_string(file.error());
  ASSERT_EQ(file->slots().size(), 2u);
  EXPECT_EQ(file->slots()[0].stage, Stage::embed);
  EXPECT_EQ(file->slots()[1].stage, Stage::moe_out);
  EXPECT_EQ(file->slots()[1].layer, 1);

  // Its numbers are those of a trace of everything.
  record(path("all"), *device, {5, 6, 7});
  const auto all = TraceFile::open(path("all"));
  const auto diff = contract::diff_traces(*file, *all, {1, 0});
  ASSERT_TRUE(diff) << to_string(diff.error());
  EXPECT_EQ(diff->slots.size(), 2u);
  EXPECT_EQ(diff->only_b.size(), 25u);
  for (const contract::SlotDiff& slot : diff->slots) EXPECT_EQ(slot.worst_relative_l2, 0);
}

// A backend that delivers something else than it should.
struct Delivery {
  std::int64_t first, rows, width;
};
class TraceDelivery : public Trace {
 protected:
  std::unique_ptr<TraceWriter> writer_of(TraceWriter::Progress progress = {}) {
    TraceInfo info{sha, "m", {7, 8, 9}, {}, "a test"};
    auto writer = TraceWriter::create(path("x"), info, {{Stage::embed, -1, 3, 2}}, std::move(progress));
    EXPECT_TRUE(writer) << to_string(writer.error());
    return *std::move(writer);
  }
  static void deliver(TraceWriter& writer, const Delivery& one) {
    const std::vector<float> values(static_cast<std::size_t>(one.rows * one.width), 1.5f);
    writer.take(Stage::embed, -1, one.first, one.rows, one.width, values);
  }
};

TEST_F(TraceDelivery, EveryRowOnceIsAFile) {
  const auto writer = writer_of();
  deliver(*writer, {2, 1, 2});
  EXPECT_EQ(files(), 1u);  // beside its name
  EXPECT_FALSE(std::filesystem::exists(path("x")));
  writer->take(Stage::qkv, 0, 0, 1, 1, std::vector<float>(1));  // not asked for
  writer->first_row = 0;
  deliver(*writer, {0, 2, 2});
  const auto finished = writer->finish();
  ASSERT_TRUE(finished) << to_string(finished.error());
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(bytes("x").size(), writer->total_bytes());
  EXPECT_EQ(bytes("x").substr(bytes("x").size() - 24), floats(std::vector<float>(6, 1.5f)));
}

TEST_F(TraceDelivery, AnythingElseIsAnErrorAndNoFile) {
  const std::vector<std::pair<std::vector<Delivery>, std::string>> cases = {
      {{{0, 2, 2}}, "did not deliver a row"},    {{{0, 3, 2}, {1, 1, 2}}, "a row twice"},
      {{{1, 3, 2}}, "rows that do not exist"},   {{{-1, 2, 2}}, "rows that do not exist"},
      {{{0, 3, 1}}, "a stage of another shape"}, {{}, "did not deliver a row"},
      {{{3, 1, 2}}, "rows that do not exist"},
  };
  for (const auto& [deliveries, message] : cases) {
    {
      const auto writer = writer_of();
      for (const Delivery& one : deliveries) deliver(*writer, one);
      const auto finished = writer->finish();
      ASSERT_FALSE(finished) << message;
      EXPECT_EQ(finished.error().code, ErrorCode::inference);
      EXPECT_NE(to_string(finished.error()).find(message), std::string::npos) << to_string(finished.error());
    }
    EXPECT_EQ(files(), 0u);
  }
}

TEST_F(TraceDelivery, StopsWhenToldAndLeavesNoFile) {
  {
    const auto writer = writer_of([](std::uint64_t) { return false; });
    EXPECT_TRUE(writer->wants(Stage::embed, -1));
    deliver(*writer, {0, 1, 2});
    EXPECT_TRUE(writer->stopped());
    EXPECT_FALSE(writer->wants(Stage::embed, -1));
  }
  EXPECT_EQ(files(), 0u);
}

TEST_F(Trace, SaysWhyItCannotWrite) {
  const TraceInfo info{sha, "m", {7}, {}, "a test"};
  const std::vector<TraceSlot> slots = {{Stage::embed, -1, 1, 1 << 16}};
  const auto absent = TraceWriter::create(path("absent/x"), info, slots, {});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::file_not_found);
  EXPECT_EQ(TraceWriter::create(path("x"), info, {}, {}).error().code, ErrorCode::usage);

  // A limit on file sizes stands in for a full disk.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{1 << 12, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto full = TraceWriter::create(path("x"), info, slots, {});
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::io);
  EXPECT_EQ(files(), 0u);
}

}  // namespace
}  // namespace trine::test
