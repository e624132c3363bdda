#include "backend/registry.h"
#include "base/number_text.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "contract/gate/gate.h"
#include "contract/gate/goldens.h"
#include "contract/gate/model_stamp.h"
#include "contract/gate/scope.h"
#include "contract/receipt/receipt.h"
#include "contract/report/report.h"
#include "device/kv_type.h"
#include "model/device_names.h"
#include "reference/model.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace trine::cli {
namespace {

using contract::GateResult;
using contract::LegResult;
using contract::Verdict;
using model::Numerics;

struct VerifyOptions {
  ModelOptions model;
  std::string numerics = "both";
  std::string prompts;
  std::string receipt;
  std::string html;
  std::int32_t layers = 0;  // 0: all
  bool quick = false;
  bool json = false;
  bool quiet = false;
};

std::vector<Numerics> modes(const VerifyOptions& options) {
  if (options.numerics == "exact") return {Numerics::exact};
  if (options.numerics == "fast") return {Numerics::fast};
  return {Numerics::exact, Numerics::fast};
}

// What is judged: the file, the layers that are run, and the prompts.
struct Subject {
  LoadedModel model;
  model::Weights weights;  // cut to the layers
  contract::PromptSet prompts;
  contract::PromptSet all_prompts;  // before --quick
  std::string sha256;
  contract::ModelStamp stamp;  // before hashing
};

// The first bytes of a file, enough to tell what it is.
std::string head_of(const std::string& path) {
  std::string head(4096, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

bool is_receipt(const std::string& path) {
  const std::string head = head_of(path);
  return head.starts_with('{') && head.find("\"format\": \"trine-receipt-") != std::string::npos;
}

bool is_page(const std::string& path) {
  const std::string head = head_of(path);
  return head.starts_with("<!DOCTYPE html>") && head.find(": trine verify ") != std::string::npos;
}

OutputFile receipt_of(const VerifyOptions& options) {
  return {options.receipt, "--receipt", "receipt", is_receipt};
}
OutputFile page_of(const VerifyOptions& options) {
  return {options.html, "--html", "page of trine verify", is_page};
}

// Before the work, so that none of it is lost and nothing that it reads is replaced.
Result<void> check_outputs_of(const VerifyOptions& options, const LoadedModel& model) {
  std::vector<OutputFile> outputs;
  if (!options.receipt.empty()) outputs.push_back(receipt_of(options));
  if (!options.html.empty()) outputs.push_back(page_of(options));
  std::vector<std::string> inputs(model.file->paths().begin(), model.file->paths().end());
  if (!options.prompts.empty()) inputs.push_back(options.prompts);
  for (const char* extension : {".golden.json", ".json"})
    inputs.push_back(std::filesystem::path(model.source.path).replace_extension().string() + extension);
  return check_outputs(outputs, inputs);
}

Result<std::string> hash_model(const gguf::File& file, bool quiet) {
  Progress progress("hashing", file.total_bytes());
  if (quiet) progress.finish();
  return contract::sha256_of_model(file, [&](std::uint64_t bytes) { progress.add(bytes); });
}

Result<std::unique_ptr<Subject>> open_subject(const VerifyOptions& options) {
  auto subject = std::make_unique<Subject>();
  TRINE_TRY(subject->model, open_model(options.model));
  TRINE_CHECK_OK(check_outputs_of(options, subject->model));
  const gguf::File& file = *subject->model.file;
  const model::Config& config = subject->model.config();
  if (options.layers > config.n_layers) {
    return fail({.code = ErrorCode::usage,
                 .what = "the model has fewer layers",
                 .where = "--layers",
                 .expected = fmt::format("at most {}", config.n_layers),
                 .actual = fmt::format("{}", options.layers)});
  }
  subject->weights = contract::cut_layers(*subject->model.weights, options.layers);
  if (options.prompts.empty()) {
    TRINE_TRY(subject->all_prompts, contract::builtin_prompts(file.metadata(), config));
  } else {
    TRINE_TRY(subject->all_prompts, contract::read_prompts(options.prompts, file.metadata(), config));
  }
  subject->prompts = options.quick ? contract::quick_subset(subject->all_prompts) : subject->all_prompts;
  TRINE_TRY(subject->stamp, contract::ModelStamp::of(file));
  TRINE_TRY(subject->sha256, hash_model(file, options.quiet));
  return subject;
}

// ---- Running ----

LegResult judge_reference(const Subject& subject, int threads,
                          std::optional<contract::GoldenIdentity>& identity) {
  const model::Config& config = subject.weights.config;
  const auto without = [](Verdict verdict, std::string reason) {
    return contract::leg_without('R', Numerics::exact, verdict, std::move(reason));
  };
  if (config.n_layers < subject.model.config().n_layers) {
    return without(Verdict::not_run, "golden logits are of all layers, and only the first were run");
  }
  const auto goldens = contract::read_goldens(subject.model.source.path, config, subject.sha256);
  if (!goldens) {
    const bool absent = goldens.error().code == ErrorCode::file_not_found;
    return without(absent ? Verdict::not_run : Verdict::fail, to_string(goldens.error()));
  }
  identity = {goldens->file, goldens->sha256, goldens->source, goldens->cases.size()};
  ThreadPool pool(threads);
  const reference::Model reference(subject.weights);
  LegResult leg =
      contract::judge_goldens(*goldens, config, "reference", [&](std::span<const std::int32_t> tokens) {
        reference::Sequence sequence;
        return reference.forward(sequence, tokens, true, pool, nullptr);
      });
  if (leg.result.verdict != Verdict::pass)
    leg.result.reason = fmt::format("{}: {}", goldens->file, leg.result.reason);
  return leg;
}

GateResult judge_backend(const Subject& subject, const VerifyOptions& options) {
  contract::GateOptions gate;
  gate.numerics = modes(options);
  gate.threads = options.model.load.threads;
  std::unique_ptr<Progress> progress;
  std::uint64_t shown = 0;
  gate.progress = [&](std::uint64_t done, std::uint64_t total, const std::string& what) {
    if (options.quiet) return;
    if (!progress) progress = std::make_unique<Progress>("comparing", total);
    progress->relabel("comparing: " + what);
    progress->add(done - std::exchange(shown, done));
  };
  const backend::BackendEntry& entry = *subject.model.choice.entry;
  const auto open = [&](Numerics numerics, int threads) {
    model::LoadOptions wanted = options.model.load_options();
    wanted.threads = threads;
    wanted.numerics = numerics;
    wanted.context = contract::context_for(subject.prompts);
    return entry.load(subject.weights, wanted);
  };
  return contract::run_gate({subject.weights, subject.sha256, subject.prompts},
                            {std::string(entry.name), entry.is_gpu, subject.sha256, subject.prompts, open},
                            gate);
}

GateResult judge(const Subject& subject, const VerifyOptions& options) {
  GateResult result = judge_backend(subject, options);
  // By mode, each with its D and T.
  std::stable_sort(result.legs.begin(), result.legs.end(), [](const LegResult& a, const LegResult& b) {
    return a.numerics == Numerics::exact && b.numerics != Numerics::exact;
  });
  result.legs.insert(result.legs.begin(),
                     judge_reference(subject, options.model.load.threads, result.goldens));
  result.model.path = std::filesystem::path(subject.model.source.path).filename().string();
  result.model.name = subject.model.config().name;
  result.model.bytes = subject.model.file->total_bytes();
  result.model.layers_in_file = subject.model.config().n_layers;
  result.prompts.source = options.prompts.empty() ? "built-in" : options.prompts;
  result.left_out = contract::left_out(
      result, {options.quick, subject.all_prompts.prompts.size(), !options.prompts.empty()});
  if (!options.model.kv.empty()) {
    const Result<model::KvType> usual =
        device::choose_kv_type({}, Numerics::fast, subject.weights, options.model.load.threads);
    if (!usual || options.model.kv != model::name_of(*usual))
      result.left_out.push_back(
          fmt::format("the KV cache's usual type: --kv {} was asked for", options.model.kv));
  }
  contract::conclude(result);
  return result;
}

// ---- Showing ----

std::string figure_text(const contract::Figure& figure) {
  const bool lower_is_worse =
      figure.bound.starts_with(">=") || figure.name.find("cosine") != std::string::npos;
  const double worst = lower_is_worse ? figure.min : figure.max;
  return fmt::format("{} {} ({})", figure.name,
                     lower_is_worse ? cosine_text(worst) : fmt::format("{:.6g}", worst),
                     figure.bound.empty() ? "measured, not judged" : figure.bound);
}

// The two that say most; the receipt has all.
std::string figures_text(const LegResult& leg) {
  const bool is_judged = std::any_of(leg.result.figures.begin(), leg.result.figures.end(),
                                     [](const contract::Figure& figure) { return !figure.bound.empty(); });
  std::string text;
  std::size_t shown = 0;
  for (const contract::Figure& figure : leg.result.figures) {
    // Shares of positions say nothing without their counts.
    const bool says_most = is_judged ? !figure.bound.empty() && !figure.name.starts_with("share ")
                                     : figure.name.starts_with("logits ");
    if (!says_most || figure.n == 0 || ++shown > 2) continue;
    text += (text.empty() ? "" : "; ") + figure_text(figure);
  }
  return text;
}

std::string positions_text(const LegResult& leg) {
  std::size_t judged = 0, excused = 0;
  double worst = 1;
  for (const contract::PromptFigures& prompt : leg.prompts) {
    judged += prompt.positions;
    excused += prompt.excused;
    worst = std::fmin(worst, prompt.worst_excused_cosine);
  }
  if (excused == 0) return judged == 0 ? "" : fmt::format("all {} positions held to them", judged);
  return fmt::format(
      "{} of {} positions held to them; {} miss one behind an expert swap and are excused, "
      "worst cosine {}",
      judged, judged + excused, excused, cosine_text(worst));
}

std::string leg_text(const LegResult& leg) {
  std::string text = fmt::format("{}  {:<6} {:<48} {}\n", leg.leg, model::name_of(leg.numerics),
                                 contract::title_of(leg.leg), contract::name_of(leg.result.verdict));
  if (leg.result.verdict != Verdict::pass) text += fmt::format("     {}\n", printable(leg.result.reason));
  if (const std::string figures = figures_text(leg); !figures.empty())
    text += fmt::format("     {}\n", printable(figures));
  const bool is_judged = leg.result.verdict == Verdict::pass || leg.result.verdict == Verdict::fail;
  if (const std::string positions = positions_text(leg); leg.leg == 'F' && is_judged && !positions.empty())
    text += fmt::format("     {}\n", positions);
  return text;
}

std::string prompts_text(const contract::PromptIdentity& prompts) {
  const std::string source = prompts.source == "built-in" ? "built in" : "from " + printable(prompts.source);
  return fmt::format("prompts  {} {}, {} tokens in all, the last {} of each decoded one by one\n",
                     prompts.count, source, prompts.tokens, contract::decode_positions);
}

std::string to_text(const Subject& subject, const GateResult& result) {
  std::string text;
  for (const model::DeviceInfo& device : result.devices)
    text +=
        fmt::format("device   {} ({})\n", printable(describe_device(device)), subject.model.choice.reason);
  if (std::any_of(result.devices.begin(), result.devices.end(), model::is_software))
    text += fmt::format("         {}\n", model::software_note);
  for (const model::DeviceInfo& device : result.devices)
    if (!device.switched_off.empty())
      text += fmt::format("         switched off in {} numerics, as its kernels gave wrong numbers: {}\n",
                          model::name_of(device.numerics), fmt::join(device.switched_off, ", "));
  text += fmt::format("model    {}, sha256 {}\n", printable(result.model.path), result.model.sha256);
  text += prompts_text(result.prompts) + "\n";
  for (const LegResult& leg : result.legs) text += leg_text(leg);
  text += "What these mean: docs/contract.md\n\n" + printable(contract::summarise(result)) + "\n";
  for (const std::string& left : result.left_out) text += fmt::format("Left out: {}\n", printable(left));
  return text;
}

std::string now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::now()));
}

int exit_code(const GateResult& result) {
  return result.verdict == Verdict::pass ? 0 : static_cast<int>(ErrorCode::validation_failed);
}

// For a result that cannot have a receipt: no device was opened, say.
std::string verdict_json(const GateResult& result, const Error& missing) {
  const nlohmann::ordered_json out = {{"verdict", contract::name_of(result.verdict)},
                                      {"reason", result.reason},
                                      {"receipt", nullptr},
                                      {"no_receipt_because", to_string(missing)}};
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<void> write_receipt(const GateResult& result, const contract::ToolIdentity& tool,
                           const std::string& finished, const VerifyOptions& options) {
  if (!options.json && options.receipt.empty()) return {};
  const auto receipt = contract::make_receipt(result, tool, finished);
  if (!receipt) {
    if (options.json) write_json(verdict_json(result, receipt.error()));
    if (options.receipt.empty()) return {};
    return fail(receipt.error());
  }
  TRINE_TRY(const std::string json, contract::to_json(*receipt));
  if (options.json) write_json(json);
  return options.receipt.empty() ? Result<void>{} : write_output(receipt_of(options), json);
}

// Each is written, and what went wrong told, whatever becomes of the other; the page tells also of what
// cannot have a receipt.
Result<void> write_results(const GateResult& result, const VerifyOptions& options) {
  TRINE_TRY(const contract::ToolIdentity tool, contract::this_tool());
  const std::string finished = now();
  const Result<void> page = options.html.empty()
                                ? Result<void>{}
                                : write_output(page_of(options), contract::to_html(result, tool, finished));
  const Result<void> receipt = write_receipt(result, tool, finished, options);
  if (!receipt && !page) print_error(page.error());
  return receipt ? page : receipt;
}

Result<int> verify(const VerifyOptions& options) {
  for (const Numerics numerics : modes(options))
    TRINE_CHECK_OK(device::check_kv_numerics(options.model.load_options().kv_type, numerics));
  TRINE_TRY(const std::unique_ptr<Subject> subject, open_subject(options));
  if (subject->model.source.is_demo && !options.quiet) {
    note(fmt::format("no model given: verifying the demo model, {}", subject->model.source.path));
  }
  warn_if_larger_than_memory(*subject->model.file);
  const GateResult result = judge(*subject, options);
  TRINE_CHECK_OK(subject->stamp.check_unchanged());
  if (!options.json) write_out(to_text(*subject, result));
  if (!options.json && options.receipt.empty() && options.html.empty()) return exit_code(result);
  TRINE_CHECK_OK(write_results(result, options));
  return exit_code(result);
}

}  // namespace

Action define_verify(CLI::App& app) {
  const auto options = std::make_shared<VerifyOptions>();
  describe(
      app,
      "Checks on this machine that a backend gives the reference's answer: every stage of every layer, "
      "logits, "
      "decode against prefill, the same run twice, and the choice of tokens.\n"
      "Exit 0 when it does, 5 when it does not or could not be judged; an error before the comparison has a "
      "code of its own and writes nothing. docs/contract.md tells what each leg holds.");
  add_text(app, "MODEL", options->model.path, "GGUF file; default: the demo model");
  add_text(app, "-m,--model", options->model.path, "the same, as other commands take it")
      .type_name("FILE")
      .excludes("MODEL");
  add_choice(app, "--backend", options->model.backend, {"auto", "cpu", "cuda", "wgpu"},
             "what is judged; auto says what it chose; default: auto");
  add_device(app, options->model.load.device);
  add_choice(app, "--numerics", options->numerics, {"exact", "fast", "both"},
             "modes to judge; default: both");
  add_kv(app, options->model);
  add_threads(app, options->model.load.threads, "threads");
  add_without(app, options->model.load.without);
  add_no_self_test(app, options->model);
  add_text(app, "--prompts", options->prompts,
           "JSON array of texts or of arrays of token ids; default: prompts that come with the program")
      .type_name("FILE");
  add_number(app, "--layers", options->layers, 1, 100000, "run the first N layers only, on both sides");
  add_flag(app, "--quick", options->quick, "four short prompts; the receipt says what was left out");
  add_flag(app, "--json", options->json, "print the receipt instead of the summary").group("Output");
  add_text(app, "--receipt", options->receipt, "write the receipt to a file")
      .type_name("FILE")
      .group("Output");
  add_text(app, "--html", options->html, "write a page for people: every stage of every layer, and why")
      .type_name("FILE")
      .group("Output");
  add_flag(app, "-q,--quiet", options->quiet, "no progress and no notes; warnings and errors remain")
      .group("Output");
  set_footer(app,
             "Examples:\n"
             "  trine verify                                    the demo model on the best backend here\n"
             "  trine verify model.gguf --backend cpu --receipt cpu.json\n"
             "  trine verify model.gguf --html report.html      open it in a browser\n"
             "  trine verify big.gguf --quick --layers 8        bounds the work, and says so");
  return [options] { return verify(*options); };
}

}  // namespace trine::cli
