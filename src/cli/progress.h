#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace trine::cli {

// How far a long command has come, on stderr: one line that is redrawn on a terminal (no colours, so NO_COLOR
// has nothing to change), else a line every few seconds. Quiet for the first moments, so short work shows
// nothing.
class Progress {
 public:
  enum class Style { bar, lines };
  // What fits stderr as it is now.
  static Style style_for_stderr();

  // `label` says what is done to `total` bytes: "writing".
  Progress(std::string label, std::uint64_t total, Style style = style_for_stderr());
  // Ends with finish().
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Notes `bytes` more done. From any thread.
  void add(std::uint64_t bytes);
  // From the next drawing on, says this instead of the first label: a figure that changes as the work goes.
  void relabel(std::string label);
  // Removes the bar. Nothing is shown afterwards.
  void finish();

  std::uint64_t done() const;
  double seconds() const;  // since construction

 private:
  using Clock = std::chrono::steady_clock;

  const std::uint64_t total_;
  const Style style_;
  const Clock::time_point begin_ = Clock::now();
  mutable std::mutex mutex_;  // guards what follows
  std::string label_;
  std::uint64_t done_ = 0;
  Clock::time_point next_;  // when to show something again
  bool drawn_ = false;      // a bar is on the screen
  bool finished_ = false;
};

// "writing [######··········]  38%  6.6 GiB of 17.3 GiB  214.0 MiB/s  51 s left", at most 79 columns for a
// short label.
std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total, double seconds,
                          Progress::Style style);

}  // namespace trine::cli
