#include "backend/registry.h"
#include "contract/checks/gate_bench.h"
#include "contract/checks/lab.h"
#include "contract/gate/goldens.h"
#include "contract/judge/judge.h"
#include "model/device_names.h"
#include "model/open_slot.h"
#include "reference/model.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

namespace trine::contract {
namespace {

using model::Numerics;
using model::Stage;

// ---- The gate, run once for all checks that ask about the same backend ----

class GateRuns {
 public:
  std::shared_ptr<const GateResult> result(const CheckContext& context, const GateBench& bench) {
    // A device that a test handed in has no name to be found again by.
    if (context.load) return run(context, bench);
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const GateResult>& known =
        known_[{context.model_path, context.backend, context.device, context.threads}];
    if (!known) known = run(context, bench);
    return known;
  }

 private:
  static std::shared_ptr<const GateResult> run(const CheckContext& context, const GateBench& bench) {
    GateOptions options;
    options.threads = context.threads;
    return std::make_shared<const GateResult>(run_gate({bench.weights, bench.sha256, bench.prompts},
                                                       backend_side(context, bench, bench.prompts), options));
  }

  std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, std::string, int>, std::shared_ptr<const GateResult>> known_;
};

using RunBench = std::function<CheckResult(const CheckContext&, const GateBench&)>;

std::function<CheckResult(const CheckContext&)> with_bench(RunBench run) {
  return [run = std::move(run)](const CheckContext& context) {
    const auto bench = open_bench(context);
    return bench ? run(context, **bench) : no_bench(bench.error());
  };
}

CheckResult leg(const GateResult& gate, char leg, Numerics numerics) {
  const LegResult* found = gate.find(leg, numerics);
  return found == nullptr ? not_run("the leg was not run") : found->result;
}

// One result over both modes. The fast mode's figures carry its name, so that none is averaged away.
CheckResult over_both(CheckResult exact, const CheckResult& fast) {
  for (Figure figure : fast.figures) {
    figure.name += ", fast";
    exact.figures.push_back(std::move(figure));
  }
  if (exact.verdict == Verdict::pass) exact.reason = fast.reason;
  exact.verdict = combine(exact.verdict, fast.verdict);
  if (!exact.first_divergence) exact.first_divergence = fast.first_divergence;
  exact.swaps.insert(exact.swaps.end(), fast.swaps.begin(), fast.swaps.end());
  return exact;
}

// D, T and S of the reference itself, which has one mode and no judge above it.
CheckResult repeat_of_reference(const CheckContext& context, const GateBench& bench, char leg) {
  const PromptSet prompts = quick_subset(bench.prompts);
  const auto run = run_repeat(backend_side(context, bench, prompts), Numerics::exact, context.threads, {});
  if (!run) return failed_with(run.error());
  const LegContext legs{bench.weights.config, prompts, says_random(bench.weights.config)};
  if (leg == 'S') return judge_choices(run->choices).result;
  return (leg == 'D' ? judge_decode(legs, *run) : judge_repeat(legs, *run, nullptr)).result;
}

// ---- Leg R ----

// Logits of every token of a case, from an empty cache.
Result<std::vector<float>> run_case(model::DeviceModel& device, std::span<const std::int32_t> tokens) {
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(device));
  std::vector<float> logits;
  const auto most = static_cast<std::size_t>(device.limits().rows);
  for (std::size_t begin = 0; begin < tokens.size(); begin += most) {
    const std::size_t end = std::min(tokens.size(), begin + most);
    model::Step step;
    for (std::size_t i = begin; i < end; ++i)
      step.rows.push_back({tokens[i], static_cast<std::int32_t>(i), slot.id(), model::Wants::logits});
    TRINE_TRY(const model::StepOutput output, device.run(step));
    logits.insert(logits.end(), output.logits.begin(), output.logits.end());
  }
  return logits;
}

CheckResult against_transformers(const CheckContext& context, const GateBench& bench) {
  const model::Config& config = bench.weights.config;
  const auto goldens = read_goldens(context.model_path, config, bench.sha256);
  if (!goldens && goldens.error().code == ErrorCode::file_not_found)
    return not_run(to_string(goldens.error()));
  if (!goldens) return failed_with(goldens.error());
  PromptSet cases;  // for the room that their longest needs
  for (const GoldenCase& golden : goldens->cases) cases.prompts.push_back({"golden", golden.tokens});
  const BackendSide side = backend_side(context, bench, cases);
  const auto device = open_device(side, Numerics::exact, context.threads);
  if (!device && device.error().code == ErrorCode::validation_failed) return refused(device.error().what);
  if (!device) return failed_with(device.error());
  return judge_goldens(*goldens, config, context.backend,
                       [&](std::span<const std::int32_t> tokens) { return run_case(**device, tokens); })
      .result;
}

// ---- moe_out of every layer ----

CheckResult per_layer(const GateResult& gate) {
  const LegResult* exact = gate.find('X', Numerics::exact);
  if (exact == nullptr) return not_run("leg X was not run");
  CheckResult result = exact->result;
  if (result.verdict != Verdict::pass && result.verdict != Verdict::fail) return result;
  std::erase_if(result.figures, [](const Figure& figure) { return figure.name != "moe_out cosine"; });
  const double least = limit_of(stated_bounds("gate.per-layer"), "moe_out cosine");
  const bool held = !result.figures.empty() && result.figures[0].n > 0 &&
                    within(result.figures[0].min, result.figures[0].max, ">=", least);
  result.verdict = held ? Verdict::pass : Verdict::fail;
  result.reason.clear();
  result.first_divergence.reset();
  if (held) return result;
  for (const StageCell& cell : exact->cells) {
    if (cell.stage != Stage::moe_out || cell.worst_cosine >= least) continue;
    result.first_divergence =
        Divergence{cell.stage, cell.layer, cell.prompt, cell.row, cell.worst_cosine, cell.worst_relative_l2};
    break;
  }
  result.reason = result.first_divergence
                      ? fmt::format("moe_out first differs in layer {}, cosine {:.7g}",
                                    result.first_divergence->layer, result.first_divergence->cosine)
                      : "no moe_out was compared";
  return result;
}

// ---- Memory and speed of a GPU ----

std::string no_gpu_here() {
  return fmt::format("this needs a GPU ({})", model::software_note);
}

// Has a backend make what it makes when it is first needed: a batch that multiplies matrices, then as many
// steps on their way as it takes, each with logits and a token.
Result<void> use_all(model::DeviceModel& device) {
  constexpr std::int32_t batch = 32;
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(device));
  const model::StepLimits& limits = device.limits();
  const auto row = [&](std::int32_t position, model::Wants wants) {
    return model::Row{position % device.config().vocab_size, position, slot.id(), wants};
  };
  model::Step first;
  for (std::int32_t i = 0; i < std::min(batch, limits.rows); ++i)
    first.rows.push_back(row(i, model::Wants::nothing));
  TRINE_CHECK_OK(device.run(first));
  std::vector<model::Ticket> ahead;
  for (std::int32_t i = 0; i < limits.steps_ahead; ++i) {
    TRINE_TRY(const model::Ticket ticket,
              device.submit({{row(device.length_of(slot.id()), model::Wants::both)}}));
    ahead.push_back(ticket);
  }
  for (const model::Ticket ticket : ahead) TRINE_CHECK_OK(device.wait(ticket));
  return {};
}

// No API of WebGPU says how much memory a device has, so what is held is judged by what was planned for it,
// and the plan by what is held: one that promises too much refuses models that would run.
CheckResult memory(const CheckContext& context) {
  if (const auto absent = backend_absent(context)) return *absent;
  const backend::BackendEntry* entry = backend::find_backend(context.backend);
  if (entry == nullptr || !entry->is_gpu)
    return not_run(
        fmt::format("the {} backend has no device memory of its own: weights stay in the file's mapping",
                    context.backend));
  const auto bench = open_bench(context);
  if (!bench) return no_bench(bench.error());
  const BackendSide side = backend_side(context, **bench, (*bench)->prompts);
  Judge judge;
  for (const Numerics numerics : numerics_of(context)) {
    const auto device = open_device(side, numerics, context.threads);
    if (!device && device.error().code == ErrorCode::validation_failed) return refused(device.error().what);
    if (!device) return failed_with(device.error());
    if (const auto used = use_all(**device); !used) return failed_with(used.error());
    const std::optional<model::MemoryUse> use = (*device)->memory_use();
    if (!use)
      return refused(
          fmt::format("the {} backend does not say what it holds of its device's memory", context.backend));
    const double planned = static_cast<double>(use->planned), held = static_cast<double>(use->held);
    judge.sample("bytes held on the device", held);
    judge.sample("held over planned", held / planned);
    judge.sample("planned over held", planned / held);
  }
  judge.hold(stated_bounds("gate.memory"));
  return judge.result();
}

// Tokens per second of decode at short context, after a warm-up.
Result<double> decode_speed(model::DeviceModel& device) {
  constexpr std::int32_t warm_up = 8, measured = 64;
  TRINE_TRY(const model::OpenSlot slot, model::OpenSlot::open_whole(device));
  auto begin = std::chrono::steady_clock::now();
  for (std::int32_t position = 0; position < warm_up + measured; ++position) {
    if (position == warm_up) begin = std::chrono::steady_clock::now();
    const std::int32_t token = position % device.config().vocab_size;
    TRINE_CHECK_OK(device.run({{{token, position, slot.id(), model::Wants::token}}}));
  }
  return measured / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Nothing of a software adapter.
Result<std::optional<double>> speed_of(const CheckContext& context, const GateBench& bench) {
  const BackendSide side = backend_side(context, bench, bench.prompts);
  TRINE_TRY(const auto device, open_device(side, Numerics::fast, context.threads));
  if (is_software(device->describe())) return std::nullopt;
  TRINE_TRY(const double speed, decode_speed(*device));
  return speed;
}

CheckResult throughput(const CheckContext& context) {
  if (const auto absent = backend_absent(context)) return *absent;
  const backend::BackendEntry* entry = backend::find_backend(context.backend);
  if (entry == nullptr || !entry->is_gpu)
    return not_run(fmt::format("the {} backend is what a GPU's speed is compared with", context.backend));
  const auto bench = open_bench(context);
  if (!bench) return no_bench(bench.error());
  CheckContext cpu;
  cpu.model_path = context.model_path;
  cpu.backend = "cpu";
  const auto ours = speed_of(context, **bench);
  if (!ours) return failed_with(ours.error());
  if (!*ours) return not_run(no_gpu_here());
  const auto theirs = speed_of(cpu, **bench);
  if (!theirs) return failed_with(theirs.error());
  Judge judge;
  judge.sample("decode tokens per second", **ours);
  judge.sample("decode tokens per second of the CPU", **theirs);
  judge.sample("decode speed over the CPU's", **ours / **theirs);
  judge.hold(stated_bounds("gate.throughput"));
  return judge.result();
}

// ---- Preload ----

// A lab's file has no dense ffn_gate.weight, as no MoE file has, and must load and run. One that carries such
// a tensor is refused, which shows that the name is none that anything looks for.
CheckResult preload(const CheckContext& context) {
  if (const auto absent = backend_absent(context)) return *absent;
  Lab lab(4, 2, 32, 16);
  Lab::fill(lab.router, 1, 1.0f);
  Lab::fill(lab.gate, 2, 0.5f);
  Lab::fill(lab.up, 3, 0.5f);
  Lab::fill(lab.down, 4, 0.5f);
  LabFile with;
  with.with = "blk.0.ffn_gate.weight";
  const auto plain = make_model(lab);
  if (!plain) return not_run("the check's model could not be made: " + to_string(plain.error()));
  Judge judge;
  judge.expect(plain->file->find_tensor("blk.0.ffn_gate.weight") == nullptr, "the file has no dense tensor");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(lab.vocab));
  std::iota(tokens.begin(), tokens.end(), 0);
  judge.expect(!make_model(lab, with), "a dense tensor is none of a MoE model's");
  for (const Numerics numerics : numerics_of(context)) {
    const auto ran = observe(context, numerics, *plain, tokens);
    if (!ran) return failed_with(ran.error());
    judge.sample("stages reported", static_cast<double>(ran->stages.size()));
  }
  judge.hold("stages reported", ">=", 1);
  return judge.result();
}

}  // namespace

void register_gate_checks(CheckRegistry& registry) {
  const auto runs = std::make_shared<GateRuns>();
  // A leg of the gate in one mode.
  const auto one = [runs](char which, Numerics numerics) {
    return [=](const CheckContext& context) {
      if (const auto absent = backend_absent(context)) return *absent;
      return with_bench([=](const CheckContext& asked, const GateBench& bench) {
        return leg(*runs->result(asked, bench), which, numerics);
      })(context);
    };
  };
  // A leg in every mode; the reference is asked too.
  const auto both = [runs](char which) {
    return [=](const CheckContext& context) {
      if (const auto absent = backend_absent(context)) return *absent;
      return with_bench([=](const CheckContext& asked, const GateBench& bench) {
        if (asked.backend == "reference") return repeat_of_reference(asked, bench, which);
        const auto gate = runs->result(asked, bench);
        return over_both(leg(*gate, which, Numerics::exact), leg(*gate, which, Numerics::fast));
      })(context);
    };
  };
  registry.add({"gate.reference-vs-transformers",
                "leg R: logits against golden ones of Hugging Face transformers, the same argmax everywhere",
                [](const CheckContext& context) {
                  if (const auto absent = backend_absent(context)) return *absent;
                  return with_bench(against_transformers)(context);
                }});
  registry.add({"gate.exact-parity",
                "leg X: exact numerics against the reference, every stage of every layer",
                one('X', Numerics::exact)});
  registry.add({"gate.fast-parity", "leg F: fast numerics against the reference, logits and expert choices",
                one('F', Numerics::fast)});
  registry.add(
      {"gate.decode-vs-prefill", "leg D: token by token against all at once, same backend", both('D')});
  registry.add({"gate.determinism", "leg T: the same run twice, same tokens and same bytes", both('T')});
  registry.add({"gate.choices",
                "leg S: tokens chosen by the device, ahead and beside others, against the rules of sampling",
                both('S')});
  registry.add(
      {"gate.per-layer", "moe_out of every layer against the reference", [runs](const CheckContext& context) {
         if (const auto absent = backend_absent(context)) return *absent;
         return with_bench([runs](const CheckContext& asked, const GateBench& bench) {
           return per_layer(*runs->result(asked, bench));
         })(context);
       }});
  registry.add({"gate.memory",
                "what a GPU backend holds of its device's memory is what it planned, and little less",
                memory});
  registry.add(
      {"gate.throughput", "a GPU decodes at least as fast as the CPU of the same machine", throughput});
  registry.add(
      {"gate.preload", "a file without dense feed-forward tensors loads, and none is looked for", preload});
  register_trace_checks(registry);
}

}  // namespace trine::contract
