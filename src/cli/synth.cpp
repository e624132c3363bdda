#include "base/human.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "gguf/file.h"
#include "synth/plan.h"
#include "synth/vocab.h"
#include "synth/write.h"

#include <sys/stat.h>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

namespace trine::cli {
namespace {

// Room for the header beside the tensors: the largest vocabulary known takes a third of this.
constexpr std::uint64_t header_room = 32 << 20;

struct SynthOptions {
  std::string path;
  std::string preset;
  std::string vocab;
  std::uint64_t seed = 0;
  std::optional<std::int32_t> layers;
  int threads = 0;
  bool force = false;
};

Error name_is_taken(const std::string& path) {
  return {.code = ErrorCode::usage,
          .what = "the file exists",
          .where = path,
          .hint = "Use --force to replace it"};
}

Result<void> require_free_name(const std::string& path, bool force) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  if (!S_ISREG(status.st_mode)) {
    return fail({.code = ErrorCode::usage,
                 .what = "cannot write the model here",
                 .where = path,
                 .expected = "the name of a file",
                 .actual = S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe"});
  }
  if (force) return {};
  return fail(name_is_taken(path));
}

Result<std::vector<gguf::Metadata::Entry>> vocabulary_of(const SynthOptions& options,
                                                         const synth::Preset& preset) {
  if (options.vocab.empty()) return synth::byte_vocabulary(preset.vocab_size);
  TRINE_TRY(const gguf::File file, gguf::File::open(options.vocab, gguf::Parts::first));
  return synth::copied_vocabulary(file.metadata(), options.vocab, preset.vocab_size);
}

Result<int> synthesize(const SynthOptions& options) {
  synth::WriteOptions work{
      options.path, *synth::find_preset(options.preset), {}, options.seed, options.force};
  if (options.layers) work.preset.n_layers = *options.layers;
  TRINE_CHECK_OK(require_free_name(options.path, options.force));
  TRINE_CHECK_OK(synth::require_space(options.path, synth::tensor_bytes(work.preset) + header_room));
  TRINE_TRY(work.vocabulary, vocabulary_of(options, work.preset));

  const std::atomic<bool>& interrupted = watch_interrupt();
  ThreadPool pool(options.threads);
  Progress progress("writing", synth::tensor_bytes(work.preset));
  const Result<std::uint64_t> bytes = synth::write_model(work, pool, [&](std::uint64_t written) {
    progress.add(written);
    return !interrupted;
  });
  progress.finish();
  // Another program took the name meanwhile.
  if (!bytes && bytes.error().code == ErrorCode::usage) return fail(name_is_taken(options.path));
  if (!bytes) return fail(bytes.error());
  if (*bytes == 0) {
    note("interrupted; no file was left behind");
    return interrupted_status();
  }
  const double rate = static_cast<double>(*bytes) / progress.seconds();
  write_out(fmt::format("{}: {}, {}, random weights, seed {}; {:.1f} s, {}/s\n", printable(options.path),
                        human_bytes(*bytes),
                        plural(static_cast<std::uint64_t>(work.preset.n_layers), "layer"), options.seed,
                        progress.seconds(), human_bytes(static_cast<std::uint64_t>(rate))));
  return 0;
}

}  // namespace

Action define_synth(CLI::App& app) {
  const auto options = std::make_shared<SynthOptions>();
  describe(
      app,
      "Writes a GGUF model of random weights with the shape and the tensor types of a real one (Q4_K_M), for "
      "tests and\n"
      "measurements without a download. It runs as fast as the real model and says nonsense. The same "
      "preset, seed and\n"
      "vocabulary give the same bytes on every machine. The file appears under its name only when it is "
      "whole.");
  add_text(app, "OUT", options->path, "file to write, such as model.gguf").required();
  std::vector<std::string> names;
  for (const synth::Preset& preset : synth::presets()) names.emplace_back(preset.name);
  add_choice(app, "--preset", options->preset, names, "whose shape; 17.3 GiB, 132 GiB and 8 MiB").required();
  add_text(app, "--vocab", options->vocab,
           "take the tokenizer from this GGUF, padded to the preset's size; default: one of single bytes")
      .type_name("FILE");
  add_parsed(
      app, "--seed",
      [seed = &options->seed](const std::string& text) {
        const auto value = parse_uint(text);
        if (!value) refuse_value("--seed", text, "a whole number from 0 to 18446744073709551615");
        *seed = *value;
      },
      "which random weights; default: 0; 0 to 18446744073709551615")
      .type_name("N");
  add_number(app, "--layers", options->layers, 1, 1000,
             "fewer or more layers than the preset; default: the preset's");
  add_threads(app, options->threads, "threads");
  add_flag(app, "--force", options->force, "replace OUT when it exists");
  set_footer(app,
             "Examples:\n"
             "  trine synth big.gguf --preset qwen3-coder-30b-a3b\n"
             "  trine synth big.gguf --preset qwen3-coder-30b-a3b --vocab model.gguf --layers 8\n"
             "  trine synth mini.gguf --preset mini && trine run -m mini.gguf -n 16 hello");
  return [options] { return synthesize(*options); };
}

}  // namespace trine::cli
