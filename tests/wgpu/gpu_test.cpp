#include "wgpu/gpu.h"

#include "wgpu/abort_handler.h"
#include "wgpu/library.h"
#include "wgpu/shader.h"
#include "wgpu_fixture.h"

#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

namespace trine::wgpu {
namespace {

constexpr const char* add_source = R"(
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> sum: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.n) { sum[id.x] = a[id.x] + b[id.x]; }
}
)";
const std::vector<Binding> add_bindings = {Binding::uniform, Binding::read, Binding::read,
                                           Binding::read_write};

constexpr const char* increment_source = R"(
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] += 1u; }
)";

// The kernel x[i] += 1 on a buffer of 64 words.
struct Increment {
  explicit Increment(Gpu& gpu)
      : pipeline(must(gpu.create_pipeline("increment", increment_source, {Binding::read_write}))),
        x(must(gpu.create_buffer("x", 256))),
        bindings(must(gpu.bind(pipeline, {x}))) {}
  Dispatch dispatch() const { return {&pipeline, &bindings}; }

  Pipeline pipeline;
  Buffer x;
  BindGroup bindings;
};

// The Gpu computes right numbers: it has survived what came before.
void expect_usable(Gpu& gpu) {
  const Increment increment(gpu);
  Commands commands = gpu.record();
  commands.dispatch(increment.dispatch());
  must(gpu.submit(std::move(commands)));
  EXPECT_EQ(read_values<std::uint32_t>(gpu, increment.x, 64), std::vector<std::uint32_t>(64, 1));
}

TEST_F(GpuTest, AddsVectors) {
  constexpr std::uint32_t n = 1000;
  std::vector<float> a(n);
  std::vector<float> b(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    a[i] = static_cast<float>(i);
    b[i] = static_cast<float>(3 * i) + 0.5f;
  }
  const Buffer params = must(gpu().create_buffer("params", 16, BufferUse::uniform));
  const Buffer left = must(gpu().create_buffer("a", n * 4));
  const Buffer right = must(gpu().create_buffer("b", n * 4));
  const Buffer sum = must(gpu().create_buffer("sum", n * 4));
  must(gpu().write(params, 0, bytes_of(std::vector<std::uint32_t>{n, 0, 0, 0})));
  must(gpu().write(left, 0, bytes_of(a)));
  must(gpu().write(right, 0, bytes_of(b)));
  const Pipeline add = must(gpu().create_pipeline("add", add_source, add_bindings));
  const BindGroup bindings = must(gpu().bind(add, {params, left, right, sum}));
  Commands commands = gpu().record();
  commands.dispatch({&add, &bindings, (n + 63) / 64});
  must(gpu().submit(std::move(commands)));
  const std::vector<float> got = read_values<float>(gpu(), sum, n);
  for (std::uint32_t i = 0; i < n; ++i) ASSERT_EQ(got[i], static_cast<float>(4 * i) + 0.5f) << i;
}

TEST_F(GpuTest, EachDispatchSeesTheOneBefore) {
  const Increment increment(gpu());
  Commands commands = gpu().record();
  for (int i = 0; i < 100; ++i) commands.dispatch(increment.dispatch());
  commands.dispatch({&increment.pipeline, &increment.bindings, 1, 0, 1});
  EXPECT_EQ(commands.dispatches(), 100u);
  must(gpu().submit(std::move(commands)));
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), increment.x, 64), std::vector<std::uint32_t>(64, 100));
}

TEST_F(GpuTest, CopiesBetweenDispatches) {
  const Increment increment(gpu());
  const Buffer saved = must(gpu().create_buffer("saved", 256));
  Commands commands = gpu().record();
  commands.dispatch(increment.dispatch());
  commands.dispatch(increment.dispatch());
  commands.copy(increment.x, 0, saved, 128, 128);
  commands.dispatch(increment.dispatch());
  must(gpu().submit(std::move(commands)));
  std::vector<std::uint32_t> expected(64, 0);
  std::fill(expected.begin() + 32, expected.end(), 2);
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), saved, 64), expected);
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), increment.x, 64), std::vector<std::uint32_t>(64, 3));
}

TEST_F(GpuTest, BuffersAreZeroAtFirst) {
  const Buffer buffer = must(gpu().create_buffer("fresh", 1 << 20));
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), buffer, 1 << 18), std::vector<std::uint32_t>(1 << 18, 0));
}

TEST_F(GpuTest, CountsWhatItHolds) {
  const std::uint64_t before = gpu().held_bytes();
  std::optional<Increment> increment(std::in_place, gpu());
  const std::uint64_t with_kernel = gpu().held_bytes();
  EXPECT_EQ(with_kernel, before + increment->x.bytes());
  {
    const Buffer buffer = must(gpu().create_buffer("x", 1001));
    EXPECT_EQ(gpu().held_bytes(), with_kernel + 1004);
    const Readback readback = must(gpu().create_readback("back", 64));
    EXPECT_EQ(gpu().held_bytes(), with_kernel + 1004 + 64);
    EXPECT_FALSE(gpu().create_buffer("none", 0));
    EXPECT_EQ(gpu().held_bytes(), with_kernel + 1004 + 64);
  }
  EXPECT_EQ(gpu().held_bytes(), with_kernel);
  // What bind groups have is there although its Buffer is gone.
  increment->x = {};
  EXPECT_EQ(gpu().held_bytes(), with_kernel);
  increment.reset();
  EXPECT_EQ(gpu().held_bytes(), before);
}

TEST_F(GpuTest, HundredMegabytesThereAndBack) {
  std::vector<std::uint64_t> values((100 << 20) / 8);
  std::mt19937_64 random(7);
  for (std::uint64_t& value : values) value = random();
  const Buffer buffer = must(gpu().create_buffer("large", 100 << 20));
  must(gpu().write(buffer, 0, bytes_of(values)));
  EXPECT_TRUE(read_values<std::uint64_t>(gpu(), buffer, values.size()) == values);
}

TEST_F(GpuTest, ReadbackIsReadyAfterItsSubmission) {
  const Increment increment(gpu());
  Readback readback = must(gpu().create_readback("ids", 256));
  for (std::uint32_t round = 1; round <= 3; ++round) {
    Commands commands = gpu().record();
    commands.dispatch(increment.dispatch());
    commands.copy(increment.x, 0, readback, 0, 256);
    const Submission submission = must(gpu().submit(std::move(commands)));
    must(readback.start());
    must(gpu().wait(submission));
    EXPECT_TRUE(gpu().done(submission));
    std::vector<std::uint32_t> got(64);
    must(readback.take(std::as_writable_bytes(std::span(got))));
    EXPECT_EQ(got, std::vector<std::uint32_t>(64, round));
    EXPECT_FALSE(readback.ready());
  }
}

TEST_F(GpuTest, CopyToAReadbackInUseIsRefused) {
  const Increment increment(gpu());
  Readback readback = must(gpu().create_readback("ids", 256));
  Commands commands = gpu().record();
  commands.copy(increment.x, 0, readback, 0, 256);
  must(readback.start());
  EXPECT_FALSE(readback.start());
  const auto submission = gpu().submit(std::move(commands));
  ASSERT_FALSE(submission);
  EXPECT_EQ(submission.error().code, ErrorCode::inference);
  expect_usable(gpu());
}

TEST_F(GpuTest, TimesEachDispatch) {
  if (!gpu().features().timestamps) GTEST_SKIP() << gpu().adapter().name << " has no timestamps";
  const Increment increment(gpu());
  const Buffer saved = must(gpu().create_buffer("saved", 256));
  Commands commands = gpu().record(Timing::dispatches);
  for (int i = 0; i < 5000; ++i) {  // more than one query set holds
    commands.dispatch(increment.dispatch());
    if (i == 10) commands.copy(increment.x, 0, saved, 0, 256);  // which ends the pass
  }
  must(gpu().submit(std::move(commands)));
  const std::vector<Timed> times = must(gpu().times());
  ASSERT_EQ(times.size(), 5000u);
  double sum = 0;
  for (const Timed& t : times) {
    ASSERT_TRUE(t.microseconds >= 0 && t.microseconds < 1e6) << t.microseconds;
    EXPECT_EQ(t.label, increment.pipeline.name());
    sum += t.microseconds;
  }
  EXPECT_GT(sum, 0);
  EXPECT_TRUE(must(gpu().times()).empty());
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), increment.x, 64), std::vector<std::uint32_t>(64, 5000));
}

TEST_F(GpuTest, TimesPasses) {
  if (!gpu().features().timestamps) GTEST_SKIP() << gpu().adapter().name << " has no timestamps";
  const Increment increment(gpu());
  const Buffer saved = must(gpu().create_buffer("saved", 256));
  Commands commands = gpu().record(Timing::passes);
  for (int i = 0; i < 100; ++i) commands.dispatch(increment.dispatch());
  commands.copy(increment.x, 0, saved, 0, 256);  // which ends the pass
  commands.dispatch(increment.dispatch());
  must(gpu().submit(std::move(commands)));
  const std::vector<Timed> times = must(gpu().times());
  ASSERT_EQ(times.size(), 2u);
  EXPECT_GT(times[0].microseconds, 0);
  EXPECT_GE(times[1].microseconds, 0);
}

TEST_F(GpuTest, SubgroupSizeIsAPowerOfTwo) {
  if (!gpu().features().subgroups) GTEST_SKIP() << gpu().adapter().name << " has no subgroups";
  const std::uint32_t size = gpu().subgroup_size();
  EXPECT_TRUE(size >= 4 && size <= 128 && (size & (size - 1)) == 0) << size;
}

TEST_F(GpuTest, SwitchedOffFeaturesAreRefused) {
  GpuOptions options = test_options();
  options.subgroups = options.f16 = options.timestamps = false;
  const std::unique_ptr<Gpu> bare = must(Gpu::open(options));
  ASSERT_NE(bare, nullptr);
  EXPECT_FALSE(bare->features().subgroups || bare->features().f16 || bare->features().timestamps);
  EXPECT_EQ(bare->subgroup_size(), 0u);
  const std::string f16 = "enable f16;\n@compute @workgroup_size(1) fn main() { let x = 1.0h; }";
  EXPECT_FALSE(bare->create_pipeline("half", f16, {}));
  EXPECT_EQ(bool(gpu().create_pipeline("half", f16, {})), gpu().features().f16);
  expect_usable(*bare);
}

TEST_F(GpuTest, UncheckedShadersComputeTheSame) {
  GpuOptions options = test_options();
  options.checked_shaders = false;
  const std::unique_ptr<Gpu> trusting = must(Gpu::open(options));
  ASSERT_NE(trusting, nullptr);
  expect_usable(*trusting);
}

TEST_F(GpuTest, SyntaxErrorNamesKernelAndLine) {
  const std::string source = "@compute @workgroup_size(64)\nfn main() {\n  let a: u32 = 1.5;\n}\n";
  const auto pipeline = gpu().create_pipeline("wrong.wgsl", source, {});
  ASSERT_FALSE(pipeline);
  EXPECT_EQ(pipeline.error().code, ErrorCode::inference);
  EXPECT_EQ(pipeline.error().where, "wrong.wgsl");
  EXPECT_NE(pipeline.error().actual.find("wgsl:3:7"), std::string::npos) << pipeline.error().actual;
  EXPECT_EQ(pipeline.error().actual.find('\n'), std::string::npos);
  expect_usable(gpu());
}

TEST_F(GpuTest, KernelMustFitItsBindings) {
  EXPECT_FALSE(gpu().create_pipeline("few", add_source, {Binding::uniform, Binding::read, Binding::read}));
  EXPECT_FALSE(gpu().create_pipeline("kind", increment_source, {Binding::read}));
  EXPECT_FALSE(gpu().create_pipeline("no main", "@compute @workgroup_size(1) fn other() {}", {}));
  expect_usable(gpu());
}

TEST_F(GpuTest, WrongSlicesAreRefused) {
  const Increment increment(gpu());
  const Buffer& x = increment.x;
  EXPECT_FALSE(gpu().bind(increment.pipeline, {}));
  EXPECT_FALSE(gpu().bind(increment.pipeline, {Buffer()}));
  EXPECT_FALSE(gpu().bind(increment.pipeline, {Slice(x, 4, 64)}));    // not aligned
  EXPECT_FALSE(gpu().bind(increment.pipeline, {Slice(x, 0, 1024)}));  // beyond the end
  const Buffer uniform = must(gpu().create_buffer("params", 16, BufferUse::uniform));
  EXPECT_FALSE(gpu().bind(increment.pipeline, {uniform}));
  expect_usable(gpu());
}

TEST_F(GpuTest, BufferTooLargeIsRefused) {
  for (const std::uint64_t bytes :
       {gpu().limits().max_buffer_bytes + 4, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    const auto buffer = gpu().create_buffer("huge", bytes);
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code, ErrorCode::model_load);
    EXPECT_NE(buffer.error().actual.find(std::to_string(bytes)), std::string::npos) << buffer.error().actual;
  }
  EXPECT_FALSE(gpu().create_buffer("none", 0));
  expect_usable(gpu());
}

TEST_F(GpuTest, TransfersStayWithinTheirBuffers) {
  const Increment increment(gpu());
  const Buffer& x = increment.x;
  std::vector<std::byte> bytes(512);
  EXPECT_FALSE(gpu().write(x, 0, bytes));
  EXPECT_FALSE(gpu().write(x, 2, std::span(bytes).first(4)));
  EXPECT_FALSE(gpu().write(x, 0, std::span(bytes).first(3)));
  EXPECT_FALSE(gpu().write(x, 256, std::span(bytes).first(4)));
  EXPECT_FALSE(gpu().read(x, ~std::uint64_t{3}, std::span(bytes).first(8)));
  EXPECT_FALSE(gpu().write(Buffer(), 0, std::span(bytes).first(4)));
  expect_usable(gpu());
}

// What the library aborts on when it reaches the queue.
TEST_F(GpuTest, InvalidCommandsNeverReachTheQueue) {
  const Increment increment(gpu());
  const Buffer other = must(gpu().create_buffer("other", 64));
  const std::uint32_t limit = gpu().limits().max_workgroups_per_dimension;
  const auto refused = [&](const auto& record) {
    Commands commands = gpu().record();
    commands.dispatch(increment.dispatch());
    record(commands);
    commands.dispatch(increment.dispatch());
    const auto submission = gpu().submit(std::move(commands));
    return !submission && submission.error().code == ErrorCode::inference;
  };
  EXPECT_TRUE(refused([&](Commands& c) { c.copy(increment.x, 0, other, 0, 256); }));
  EXPECT_TRUE(refused([&](Commands& c) { c.copy(increment.x, 2, other, 0, 4); }));
  EXPECT_TRUE(refused([&](Commands& c) { c.copy(increment.x, 0, increment.x, 64, 4); }));
  EXPECT_TRUE(refused([&](Commands& c) { c.copy(Buffer(), 0, other, 0, 4); }));
  EXPECT_TRUE(refused([&](Commands& c) {
    c.dispatch({&increment.pipeline, &increment.bindings, limit + 1});
  }));
  EXPECT_TRUE(refused([&](Commands& c) { c.dispatch({&increment.pipeline, nullptr}); }));
  const Pipeline add = must(gpu().create_pipeline("add", add_source, add_bindings));
  EXPECT_TRUE(refused([&](Commands& c) { c.dispatch({&add, &increment.bindings}); }));
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), increment.x, 64), std::vector<std::uint32_t>(64, 0));
  expect_usable(gpu());
}

TEST_F(GpuTest, ReadAndWrittenInOneDispatchIsRefused) {
  const Buffer params = must(gpu().create_buffer("params", 16, BufferUse::uniform));
  const Buffer x = must(gpu().create_buffer("x", 256));
  const Pipeline add = must(gpu().create_pipeline("add", add_source, add_bindings));
  const auto bindings = gpu().bind(add, {params, x, x, x});
  if (bindings) {
    Commands commands = gpu().record();
    commands.dispatch({&add, &*bindings});
    EXPECT_FALSE(gpu().submit(std::move(commands)));
  }
  expect_usable(gpu());
}

TEST_F(GpuTest, ObjectsDroppedBeforeTheirCommandsRun) {
  Commands commands = gpu().record();
  const Buffer result = must(gpu().create_buffer("result", 256));
  {
    const Increment increment(gpu());
    commands.dispatch(increment.dispatch());
    commands.copy(increment.x, 0, result, 0, 256);
  }
  must(gpu().submit(std::move(commands)));
  EXPECT_EQ(read_values<std::uint32_t>(gpu(), result, 64), std::vector<std::uint32_t>(64, 1));
}

TEST_F(GpuTest, LostDeviceFailsEveryCall) {
  const Increment increment(gpu());
  Readback readback = must(gpu().create_readback("ids", 256));
  Commands recorded = gpu().record();
  recorded.dispatch(increment.dispatch());
  gpu().lose();
  const auto submission = gpu().submit(std::move(recorded));
  ASSERT_FALSE(submission);
  EXPECT_EQ(submission.error().code, ErrorCode::inference);
  EXPECT_NE(to_string(submission.error()).find("lost"), std::string::npos) << to_string(submission.error());
  std::vector<std::byte> bytes(4);
  EXPECT_FALSE(gpu().create_buffer("late", 64));
  EXPECT_FALSE(gpu().create_pipeline("late", increment_source, {Binding::read_write}));
  EXPECT_FALSE(gpu().bind(increment.pipeline, {increment.x}));
  EXPECT_FALSE(gpu().write(increment.x, 0, bytes));
  EXPECT_FALSE(gpu().read(increment.x, 0, bytes));
  EXPECT_FALSE(gpu().submit(gpu().record()));
  EXPECT_FALSE(gpu().poll());
  EXPECT_FALSE(readback.start());
}

TEST_F(GpuTest, ANewOneOpensAfterALoss) {
  gpu().lose();
  const std::unique_ptr<Gpu> another = must(Gpu::open(test_options()));
  ASSERT_NE(another, nullptr);
  expect_usable(*another);
}

TEST_F(GpuTest, OpeningAndClosingKeepsNoMemory) {
  if (keeps_freed_memory) GTEST_SKIP() << "AddressSanitizer keeps what was freed";
  const auto cycle = [] {
    const std::unique_ptr<Gpu> once = must(Gpu::open(test_options()));
    ASSERT_NE(once, nullptr);
    const Buffer buffer = must(once->create_buffer("x", 4 << 20));
    must(once->write(buffer, 0, std::vector<std::byte>(4 << 20)));
  };
  for (int i = 0; i < 10; ++i) cycle();
  const std::uint64_t before = wgpu::resident_bytes();
  for (int i = 0; i < 50; ++i) cycle();
  const std::uint64_t after = wgpu::resident_bytes();
  // A device kept alive would keep its 4 MiB each.
  EXPECT_LT(after, before + (32 << 20)) << before << " " << after;
}

TEST(AbortHandlerDeathTest, AbortOfTheLibraryIsAnInferenceError) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto abort_inside = [] {
    install_abort_handler();
    const InLibrary inside;
    std::abort();
  };
  EXPECT_EXIT(abort_inside(), ::testing::ExitedWithCode(8), "trine: error: the WebGPU library");
}

TEST(AbortHandlerDeathTest, BugsOfOursStillAbort) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto bug = [] {
    install_abort_handler();
    std::abort();
  };
  EXPECT_EXIT(bug(), ::testing::KilledBySignal(SIGABRT), "");
}

TEST(Shader, HoldsTheKernelsAsTheyAreInTheirFiles) {
  ASSERT_FALSE(shader_files().empty());
  for (const EmbeddedFile& file : shader_files()) {
    std::ifstream stream(TRINE_SOURCE_DIR "/src/wgpu/kernels/" + std::string(file.name), std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    EXPECT_EQ(file.text, text.str()) << file.name;
  }
}

TEST(Shader, AssemblesConstantsAndFiles) {
  ShaderSource source;
  source.constants = {{"N", 7}};
  source.flags = {{"FAST", true}};
  source.files = {"subgroup_size.wgsl"};
  const std::string text = assemble(source);
  const std::string head = "const N: u32 = 7u;\nconst FAST: bool = true;\n";
  EXPECT_EQ(text.substr(0, head.size()), head);
  EXPECT_NE(text.find("fn main("), std::string::npos);
}

}  // namespace
}  // namespace trine::wgpu
