#include "wgpu/choose.h"

#include <algorithm>

namespace trine::wgpu {
namespace {

// The constants of every kernel here, and its files.
ShaderSource source_of(const Builder& builder, std::vector<std::string> files) {
  ShaderSource source;
  source.constants = {{"VOCAB", static_cast<std::uint32_t>(builder.config.vocab_size)},
                      {"PARTS", builder.work.capacity.choose_parts},
                      {"RING", builder.work.capacity.ring}};
  source.files = {"choice.wgsl"};
  source.files.insert(source.files.end(), files.begin(), files.end());
  return source;
}

Result<Op> make_adjust(const Builder& builder) {
  const Workspace& work = builder.work;
  const std::uint32_t workgroup = builder.kernels.tuning().choose_workgroup;
  ShaderSource source = source_of(builder, {"adjust.wgsl"});
  source.constants.emplace_back("WORKGROUP", workgroup);
  return builder.kernels.make("adjust", source,
                              {reads(work.step), reads(work.choices), reads(work.rules), reads(work.tallies),
                               reads(work.allowed), writes(work.logits)},
                              divide_up(static_cast<std::uint64_t>(builder.config.vocab_size), workgroup));
}

// One workgroup chooses from all of the vocabulary, so it is as large as they come.
Result<Op> make_sample(const Builder& builder) {
  const Workspace& work = builder.work;
  ShaderSource source = source_of(builder, {"accept.wgsl", "sample.wgsl"});
  source.constants.emplace_back("WORKGROUP",
                                std::min(1024u, builder.kernels.gpu().limits().max_workgroup_invocations));
  return builder.kernels.make(
      "sample", source,
      {reads(work.step), reads(work.choices), reads(work.rules), reads(work.best), writes(work.last_choices),
       writes(work.tallies), writes(work.rings), reads(work.logits)});
}

}  // namespace

Result<ChooseOps> make_choose(const Builder& builder) {
  KernelCache& kernels = builder.kernels;
  const Workspace& work = builder.work;
  ChooseOps ops;
  TRINE_TRY(ops.adjust, make_adjust(builder));

  ShaderSource argmax = source_of(builder, {"argmax.wgsl"});
  argmax.constants.emplace_back("WORKGROUP", kernels.tuning().choose_workgroup);
  TRINE_TRY(ops.argmax,
            kernels.make("argmax", argmax, {reads(work.step), reads(work.logits), writes(work.best)},
                         work.capacity.choose_parts));

  TRINE_TRY(ops.merge,
            kernels.make("argmax_merge", source_of(builder, {"accept.wgsl", "argmax_merge.wgsl"}),
                         {reads(work.step), reads(work.choices), reads(work.rules), reads(work.best),
                          writes(work.last_choices), writes(work.tallies), writes(work.rings)}));
  TRINE_TRY(ops.sample, make_sample(builder));
  return ops;
}

void record_choice(Pass& pass, const ChooseOps& ops, const Slots& slots, std::uint32_t first,
                   std::uint32_t rows) {
  bool any = false, adjusts = false, greedy = true;
  for (std::uint32_t i = first; i < first + rows; ++i) {
    const model::Row& row = pass.plan.rows[static_cast<std::size_t>(pass.plan.head_rows[i])];
    if (!model::wants_token(row.wants)) continue;
    const Rules& rules = slots.rules(row.slot);
    any = true;
    adjusts |= rules.adjusts();
    greedy &= rules.is_greedy();
  }
  if (!any) return;
  if (adjusts) pass.run(ops.adjust, rows);
  pass.run(ops.argmax, rows);
  pass.run(greedy ? ops.merge : ops.sample, rows);
}

}  // namespace trine::wgpu
