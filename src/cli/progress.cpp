#include "cli/progress.h"

#include "base/human.h"
#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace trine::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto bar_interval = 100ms;
constexpr auto line_interval = 5s;
constexpr std::size_t bar_width = 16;

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole < 120) return fmt::format("{} s", whole);
  if (whole < 7200) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total, double seconds,
                          Progress::Style style) {
  const double share = total == 0 ? 1 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  std::string line = label + " ";
  if (style == Progress::Style::bar) {
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar_width));
    line += fmt::format("[{}{}] ", std::string(filled, '#'), std::string(bar_width - filled, '.'));
  }
  line += fmt::format("{:3.0f}%  {} of {}", std::floor(share * 100), human_bytes(done), human_bytes(total));
  if (done == 0 || seconds <= 0) return line;
  const double rate = static_cast<double>(done) / seconds;
  line += fmt::format("  {}/s", human_bytes(static_cast<std::uint64_t>(rate)));
  if (done < total) line += fmt::format("  {} left", duration_text(static_cast<double>(total - done) / rate));
  return line;
}

Progress::Style Progress::style_for_stderr() {
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  return ::isatty(STDERR_FILENO) != 0 && !dumb ? Style::bar : Style::lines;
}

Progress::Progress(std::string label, std::uint64_t total, Style style)
    : total_(total),
      style_(style),
      label_(std::move(label)),
      next_(begin_ +
            (style == Style::bar ? Clock::duration(3 * bar_interval) : Clock::duration(line_interval))) {}

Progress::~Progress() {
  finish();
}

void Progress::add(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_ += bytes;
  const Clock::time_point now = Clock::now();
  if (finished_ || now < next_) return;
  next_ = now + (style_ == Style::bar ? Clock::duration(bar_interval) : Clock::duration(line_interval));
  const double elapsed = std::chrono::duration<double>(now - begin_).count();
  const std::string line = progress_line(label_, done_, total_, elapsed, style_);
  if (style_ == Style::bar) {
    write_err(fmt::format("\r{}\033[K", line));
    drawn_ = true;
  } else {
    write_err(fmt::format("trine: {}\n", line));
  }
  std::fflush(stderr);
}

void Progress::relabel(std::string label) {
  const std::lock_guard lock(mutex_);
  label_ = std::move(label);
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (drawn_ && !finished_) write_err(fmt::format("\r\033[K"));
  finished_ = true;
}

std::uint64_t Progress::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

}  // namespace trine::cli
