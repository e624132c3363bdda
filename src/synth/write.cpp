#include "synth/write.h"

#include "base/file.h"
#include "base/human.h"
#include "gguf/writer.h"
#include "quant/random.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>

namespace trine::synth {
namespace {

// A piece is generated and written by one thread: small enough to stay in a core's cache on the way.
constexpr std::uint64_t piece_bytes = 1 << 20;

struct Piece {
  std::size_t tensor;
  std::uint64_t first_block;
  std::uint64_t blocks;
};

std::uint64_t block_count(const PlannedTensor& tensor) {
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : tensor.dims) elements *= dim;
  return elements / gguf::info(tensor.type).block_elements;
}

std::vector<Piece> cut(const std::vector<PlannedTensor>& tensors) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t step = piece_bytes / gguf::info(tensors[i].type).block_bytes;
    const std::uint64_t count = block_count(tensors[i]);
    for (std::uint64_t first = 0; first < count; first += step) {
      pieces.push_back({i, first, std::min(step, count - first)});
    }
  }
  return pieces;
}

Result<void> fill(const PlannedTensor& tensor, quant::RandomStream stream, std::uint64_t first_block,
                  std::span<std::byte> out) {
  TRINE_CHECK_OK(quant::fill_random(tensor.type, tensor.deviation, stream, first_block, out));
  if (tensor.mean == 0) return {};
  for (std::size_t at = 0; at < out.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, &out[at], sizeof value);
    value += static_cast<float>(tensor.mean);
    std::memcpy(&out[at], &value, sizeof value);
  }
  return {};
}

// The first error of several threads; anything set ends the work.
class Outcome {
 public:
  void set_error(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    over_ = true;
  }
  void set_cancelled() { over_ = true; }
  bool over() const { return over_.load(std::memory_order_relaxed); }
  const std::optional<Error>& error() const { return error_; }

 private:
  std::mutex mutex_;
  std::optional<Error> error_;
  std::atomic<bool> over_{false};
};

Result<void> declare(gguf::Writer& writer, const WriteOptions& options,
                     const std::vector<PlannedTensor>& tensors) {
  for (auto& [key, value] : plan_metadata(options.preset, options.seed)) {
    TRINE_CHECK_OK(writer.add_metadata(key, value));
  }
  for (const auto& [key, value] : options.vocabulary) TRINE_CHECK_OK(writer.add_metadata(key, value));
  for (const PlannedTensor& tensor : tensors) {
    TRINE_TRY([[maybe_unused]] const std::size_t index,
              writer.add_tensor(tensor.name, tensor.dims, tensor.type));
  }
  return {};
}

}  // namespace

std::uint64_t tensor_bytes(const Preset& preset) {
  std::uint64_t bytes = 0;
  for (const PlannedTensor& tensor : plan_tensors(preset)) {
    bytes += block_count(tensor) * gguf::info(tensor.type).block_bytes;
  }
  return bytes;
}

Result<void> require_space(const std::string& path, std::uint64_t bytes) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) return system_error("cannot write into this folder", folder);
  const std::uint64_t available = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (available >= bytes) return {};
  return fail({.code = ErrorCode::io,
               .what = "not enough disk space",
               .where = folder,
               .expected = fmt::format("{} free", human_bytes(bytes)),
               .actual = fmt::format("{} free", human_bytes(available)),
               .hint = "Make room, or write to another disk"});
}

Result<std::uint64_t> write_model(const WriteOptions& options, ThreadPool& pool, WriteProgress progress) {
  const std::vector<PlannedTensor> tensors = plan_tensors(options.preset);
  gguf::Writer writer(options.path);
  TRINE_CHECK_OK(declare(writer, options, tensors));
  TRINE_CHECK_OK(writer.begin());

  const std::vector<Piece> pieces = cut(tensors);
  std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(pool.size()),
                                              std::vector<std::byte>(piece_bytes));
  Outcome outcome;
  const auto make = [&](const Piece& piece, std::vector<std::byte>& buffer) -> Result<void> {
    const PlannedTensor& tensor = tensors[piece.tensor];
    const std::uint64_t block_bytes = gguf::info(tensor.type).block_bytes;
    const std::span<std::byte> bytes(buffer.data(), piece.blocks * block_bytes);
    const quant::RandomStream stream{options.seed, static_cast<std::uint32_t>(piece.tensor)};
    TRINE_CHECK_OK(fill(tensor, stream, piece.first_block, bytes));
    TRINE_CHECK_OK(writer.write(piece.tensor, piece.first_block * block_bytes, bytes));
    if (!progress(bytes.size())) outcome.set_cancelled();
    return {};
  };
  pool.parallel_for(
      static_cast<std::int64_t>(pieces.size()), 1, [&](std::int64_t begin, std::int64_t, int thread) {
        if (outcome.over()) return;
        auto made = make(pieces[static_cast<std::size_t>(begin)], buffers[static_cast<std::size_t>(thread)]);
        if (!made) outcome.set_error(std::move(made).error());
      });
  if (outcome.error()) return fail(*outcome.error());
  if (outcome.over()) return 0;
  const std::uint64_t total = writer.total_bytes();
  TRINE_CHECK_OK(
      writer.finish(options.replace ? gguf::Writer::Existing::replace : gguf::Writer::Existing::keep));
  return total;
}

}  // namespace trine::synth
