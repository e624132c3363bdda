#include "wgpu/slots.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <span>

namespace trine::wgpu {
namespace {

// As choice.wgsl has them.
constexpr std::uint32_t has_tallies = 1, has_mask = 2;
constexpr std::uint32_t no_window = 0, all_tokens = 0xffffffff;

bool has_penalties(const sampling::SamplingParams& params) {
  const bool repeats = params.repeat_penalty != 1 && params.penalty_window != 0;
  return repeats || params.presence_penalty != 0 || params.frequency_penalty != 0;
}

// The tokens that count as seen. A window that no sequence fills needs no ring.
std::uint32_t window_of(const sampling::SamplingParams& params, std::uint32_t ring) {
  if (params.repeat_penalty == 1 || params.penalty_window == 0) return no_window;
  if (params.penalty_window < 0 || static_cast<std::uint32_t>(params.penalty_window) > ring)
    return all_tokens;
  return static_cast<std::uint32_t>(params.penalty_window);
}

Rules rules_of(const sampling::SamplingParams& params, std::uint32_t ring) {
  Rules rules;
  // Devices may take subnormal numbers for 0.
  rules.temperature =
      params.temperature == 0 ? 0 : std::max(params.temperature, std::numeric_limits<float>::min());
  rules.top_k = static_cast<std::uint32_t>(params.top_k);
  rules.top_p = params.top_p;
  rules.min_p = params.min_p;
  rules.seed[0] = static_cast<std::uint32_t>(params.seed);
  rules.seed[1] = static_cast<std::uint32_t>(params.seed >> 32);
  rules.positive_scale = 1.0f / params.repeat_penalty;
  rules.other_scale = params.repeat_penalty;
  rules.presence_penalty = params.presence_penalty;
  rules.frequency_penalty = params.frequency_penalty;
  rules.window = window_of(params, ring);
  if (has_penalties(params) || !params.logit_bias.empty()) rules.flags |= has_tallies;
  return rules;
}

}  // namespace

Slots::Slots(Gpu& gpu, const Workspace& work, std::int32_t vocab_size)
    : gpu_(gpu),
      work_(work),
      vocab_(static_cast<std::size_t>(vocab_size)),
      rules_(static_cast<std::size_t>(work.capacity.slots)) {}

Result<void> Slots::write_rules(std::int32_t slot) {
  const Rules& rules = rules_[static_cast<std::size_t>(slot)];
  return gpu_.write(work_.rules, static_cast<std::uint64_t>(slot) * sizeof(Rules),
                    std::as_bytes(std::span(&rules, 1)));
}

// What the penalties know at the start, as the host's sampler counts it.
Result<void> Slots::write_tallies(std::int32_t slot, const model::Slot& entry) {
  sampling::Sampler sampler(entry.choosing.params);
  sampler.accept_prompt(entry.choosing.prompt);
  sampler.accept_chosen(entry.choosing.chosen);
  std::vector<std::uint32_t> tallies(3 * vocab_);
  const auto at = [&](std::size_t kind, std::int32_t token) -> std::uint32_t& {
    return tallies[kind * vocab_ + static_cast<std::size_t>(token)];
  };
  for (const auto& [token, count] : sampler.seen()) at(0, token) = static_cast<std::uint32_t>(count);
  for (const auto& [token, count] : sampler.generated()) at(1, token) = static_cast<std::uint32_t>(count);
  for (const auto& [token, bias] : sampler.bias()) at(2, token) = std::bit_cast<std::uint32_t>(bias);
  const auto index = static_cast<std::uint64_t>(slot);
  TRINE_CHECK_OK(gpu_.write(work_.tallies, index * tallies.size() * 4, std::as_bytes(std::span(tallies))));

  std::vector<std::uint32_t> ring = {static_cast<std::uint32_t>(sampler.window().size())};
  ring.insert(ring.end(), sampler.window().begin(), sampler.window().end());
  const std::uint32_t window = rules_[static_cast<std::size_t>(slot)].window;
  if (window == no_window || window == all_tokens) return {};
  return gpu_.write(work_.rings, index * (std::uint64_t{work_.capacity.ring} + 1) * 4,
                    std::as_bytes(std::span(ring)));
}

Result<void> Slots::place_choosing(std::int32_t slot, const model::Slot& entry) {
  Rules& rules = rules_[static_cast<std::size_t>(slot)];
  const std::uint32_t mask = entry.allowed.empty() ? 0 : has_mask;
  rules = rules_of(entry.choosing.params, work_.capacity.ring);
  if ((rules.flags & has_tallies) != 0) TRINE_CHECK_OK(write_tallies(slot, entry));
  rules.flags |= mask;
  return write_rules(slot);
}

Result<void> Slots::place_pages(std::int32_t slot, const model::Slot& entry) {
  std::vector<std::uint32_t> pages(entry.pages.begin(), entry.pages.end());
  if (pages.empty()) return {};
  return gpu_.write(work_.page_tables, static_cast<std::uint64_t>(slot) * work_.capacity.pages * 4,
                    std::as_bytes(std::span(pages)));
}

Result<void> Slots::place_allowed(std::int32_t slot, const model::Slot& entry) {
  Rules& rules = rules_[static_cast<std::size_t>(slot)];
  const std::uint32_t before = rules.flags;
  rules.flags = (before & ~has_mask) | (entry.allowed.empty() ? 0 : has_mask);
  if (!entry.allowed.empty())
    TRINE_CHECK_OK(gpu_.write(work_.allowed, static_cast<std::uint64_t>(slot) * entry.allowed.size() * 4,
                              std::as_bytes(std::span(entry.allowed))));
  return rules.flags == before ? Result<void>() : write_rules(slot);
}

}  // namespace trine::wgpu
