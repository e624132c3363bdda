#include "wgpu/weights.h"

#include "base/check.h"
#include "device/tensors.h"
#include "wgpu/repack.h"
#include "wgpu/tuning.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace trine::wgpu {
namespace {

std::uint64_t row_bytes(const model::Weight& weight) {
  return device_row_bytes(weight.codec->type, static_cast<std::uint64_t>(weight.columns));
}

std::uint64_t expert_bytes(const model::Weight& weight) {
  return static_cast<std::uint64_t>(weight.rows) * row_bytes(weight);
}

// Read 16 bytes at a time.
std::uint64_t norm_bytes(const model::Weight& weight) {
  return (weight.expert_bytes() + 15) / 16 * 16;
}

std::uint64_t head_constants_bytes(const model::Config& config) {
  return 3 * static_cast<std::uint64_t>(config.head_dim) * sizeof(std::uint32_t);
}

std::uint64_t binding_limit(const Gpu& gpu) {
  return std::min(gpu.limits().max_storage_binding_bytes, gpu.limits().max_buffer_bytes);
}

std::uint64_t book_bytes(const model::Weight& weight) {
  return code_book(weight.codec->type).size_bytes();
}

// How a weight is cut into parts: `units` units of `unit_rows` rows each, single rows or experts.
struct Cut {
  std::uint64_t unit_rows;
  std::uint64_t units;
  std::uint64_t per_part;  // 0 where not even one unit fits
};

Cut cut_matrix(const Gpu& gpu, const model::Weight& weight) {
  return {1, static_cast<std::uint64_t>(weight.experts * weight.rows),
          (binding_limit(gpu) - book_bytes(weight)) / row_bytes(weight)};
}

// Tensors that one kernel reads have the same experts in each part.
Cut cut_experts(const Gpu& gpu, const model::Weight& weight, const model::Weight& beside) {
  const std::uint64_t largest = std::max(expert_bytes(weight), expert_bytes(beside));
  const std::uint64_t book = std::max(book_bytes(weight), book_bytes(beside));
  return {static_cast<std::uint64_t>(weight.rows), static_cast<std::uint64_t>(weight.experts),
          (binding_limit(gpu) - book) / largest};
}

Result<Matrix> allocate_parts(Gpu& gpu, const model::Weight& weight, const Cut& cut) {
  const std::uint64_t unit_bytes = cut.unit_rows * row_bytes(weight);
  if (cut.per_part == 0) {
    return fail(
        {.code = ErrorCode::model_load,
         .what = "a part of a tensor is larger than a binding of this device may be",
         .where = weight.tensor->name,
         .expected = fmt::format("at most {} bytes on {}", binding_limit(gpu), gpu.adapter().name),
         .actual = fmt::format("{} bytes in {} rows", unit_bytes + book_bytes(weight), cut.unit_rows)});
  }
  Matrix matrix{weight.codec->type,
                static_cast<std::uint32_t>(weight.rows),
                static_cast<std::uint32_t>(weight.columns),
                static_cast<std::uint32_t>(cut.unit_rows),
                {}};
  for (std::uint64_t first = 0; first < cut.units; first += cut.per_part) {
    const std::uint64_t count = std::min(cut.per_part, cut.units - first);
    TRINE_TRY(Buffer buffer, gpu.create_buffer(weight.tensor->name, count * unit_bytes + book_bytes(weight)));
    matrix.parts.push_back(
        {std::move(buffer), static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count)});
  }
  return matrix;
}

void append_norm(std::vector<std::uint32_t>& words, const model::Weight& norm) {
  for (std::int64_t i = 0; i < norm.columns; ++i) {
    float value = 0;
    norm.codec->decode_row(norm.data + static_cast<std::uint64_t>(i) * sizeof(float), 1, &value);
    words.push_back(std::bit_cast<std::uint32_t>(value));
  }
}

// Turns per position as a binary fraction of 64 bits: angles of large positions need more than f32 has.
void append_frequencies(std::vector<std::uint32_t>& words, const model::RopeTable& rope) {
  for (const double frequency : rope.frequencies) {
    const long double turns = static_cast<long double>(frequency) / (2 * std::numbers::pi_v<long double>);
    const long double scaled = std::round((turns - std::floor(turns)) * 0x1p64L);
    const std::uint64_t fraction = scaled < 0x1p64L ? static_cast<std::uint64_t>(scaled) : 0;
    words.push_back(static_cast<std::uint32_t>(fraction >> 32));
    words.push_back(static_cast<std::uint32_t>(fraction));
  }
}

class Allocator {
 public:
  Allocator(Gpu& gpu, const model::Config& config) : gpu_(gpu), config_(config) {}

  Result<void> norm(const model::Weight& weight, Buffer& buffer) const {
    check(weight.codec->type == gguf::TensorType::F32, "norms are F32");
    TRINE_TRY(buffer, gpu_.create_buffer(weight.tensor->name, norm_bytes(weight)));
    return {};
  }
  Result<void> head_norms(const model::Weight& /*q_norm*/, const model::Weight& /*k_norm*/,
                          LayerMatrices& m) const {
    TRINE_TRY(m.head_constants,
              gpu_.create_buffer("head norms and rotary frequencies", head_constants_bytes(config_)));
    return {};
  }
  Result<void> matrix(const model::Weight& weight, Matrix& matrix) const {
    TRINE_TRY(matrix, allocate_parts(gpu_, weight, cut_matrix(gpu_, weight)));
    return {};
  }
  Result<void> experts(const model::Weight& weight, const model::Weight& beside, Matrix& matrix) const {
    TRINE_TRY(matrix, allocate_parts(gpu_, weight, cut_experts(gpu_, weight, beside)));
    return {};
  }

 private:
  Gpu& gpu_;
  const model::Config& config_;
};

// Sends weights to the device while the next piece is repacked.
class Uploader {
 public:
  Uploader(Gpu& gpu, ThreadPool& pool, const model::Config& config)
      : gpu_(gpu), pool_(pool), rope_(model::rope_table(config)) {}

  Result<void> norm(const model::Weight& weight, const Buffer& buffer) {
    return send(buffer, 0, {weight.data, weight.expert_bytes()});
  }
  Result<void> head_norms(const model::Weight& q_norm, const model::Weight& k_norm, const LayerMatrices& m) {
    std::vector<std::uint32_t> constants;
    append_norm(constants, q_norm);
    append_norm(constants, k_norm);
    append_frequencies(constants, rope_);
    return send(m.head_constants, 0, std::as_bytes(std::span(constants)));
  }
  Result<void> matrix(const model::Weight& weight, const Matrix& matrix) {
    const std::uint64_t unit = matrix.unit_rows;
    const auto book = std::as_bytes(code_book(matrix.type));
    for (const MatrixPart& part : matrix.parts) {
      TRINE_CHECK_OK(send_rows(weight, part.buffer, part.first * unit, part.count * unit));
      if (!book.empty()) TRINE_CHECK_OK(send(part.buffer, part.buffer.bytes() - book.size(), book));
    }
    return {};
  }
  Result<void> experts(const model::Weight& weight, const model::Weight& /*beside*/, const Matrix& place) {
    return matrix(weight, place);
  }

  // Waits for everything but what was sent last.
  Result<void> flush() {
    TRINE_TRY(const Submission now, gpu_.submit(gpu_.record()));
    TRINE_CHECK_OK(gpu_.wait(before_));
    before_ = now;
    staged_ = 0;
    return {};
  }

 private:
  Result<void> send(const Buffer& buffer, std::uint64_t offset, std::span<const std::byte> bytes) {
    TRINE_CHECK_OK(gpu_.write(buffer, offset, bytes));
    staged_ += bytes.size();
    return staged_ < staged_bytes ? Result<void>() : flush();
  }

  // Rows of all experts in one row, from `first` on.
  Result<void> send_rows(const model::Weight& weight, const Buffer& buffer, std::uint64_t first,
                         std::uint64_t count) {
    const std::uint64_t out_bytes = row_bytes(weight);
    const std::uint64_t per_piece = std::max<std::uint64_t>(1, repack_piece_bytes / out_bytes);
    constexpr std::int64_t per_task = 64;
    for (std::uint64_t done = 0; done < count; done += per_piece) {
      const std::uint64_t rows = std::min(per_piece, count - done);
      piece_.resize(rows * out_bytes);
      pool_.parallel_for(
          static_cast<std::int64_t>(rows), per_task, [&](std::int64_t begin, std::int64_t end, int) {
            // In runs that stay within an expert: the next one may lie further on.
            for (std::int64_t at = begin, n = 0; at < end; at += n) {
              const auto all = static_cast<std::int64_t>(first + done) + at;
              const std::int64_t row = all % weight.rows;
              n = std::min(end - at, weight.rows - row);
              const auto from = static_cast<std::uint64_t>(at), run = static_cast<std::uint64_t>(n);
              repack_rows(weight.codec->type, static_cast<std::uint64_t>(weight.columns),
                          {weight.row(row, all / weight.rows), run * weight.row_bytes},
                          std::span(piece_).subspan(from * out_bytes, run * out_bytes));
            }
          });
      TRINE_CHECK_OK(send(buffer, done * out_bytes, piece_));
    }
    return {};
  }

  Gpu& gpu_;
  ThreadPool& pool_;
  model::RopeTable rope_;
  std::vector<std::byte> piece_;
  std::uint64_t staged_ = 0;
  Submission before_ = 0;
};

// Adds up what the others make and fill.
struct Sizes {
  const Gpu& gpu;
  const model::Config& config;
  std::uint64_t bytes = 0;

  Result<void> norm(const model::Weight& weight, const model::Weight& /*place*/) {
    bytes += norm_bytes(weight);
    return {};
  }
  Result<void> head_norms(const model::Weight& /*q_norm*/, const model::Weight& /*k_norm*/,
                          const model::LayerWeights& /*place*/) {
    bytes += head_constants_bytes(config);
    return {};
  }
  Result<void> matrix(const model::Weight& weight, const model::Weight& /*place*/) {
    return add(weight, cut_matrix(gpu, weight));
  }
  Result<void> experts(const model::Weight& weight, const model::Weight& beside,
                       const model::Weight& /*place*/) {
    return add(weight, cut_experts(gpu, weight, beside));
  }

 private:
  // A cut without parts is refused when they are made.
  Result<void> add(const model::Weight& weight, const Cut& cut) {
    const std::uint64_t parts = cut.per_part == 0 ? 0 : (cut.units + cut.per_part - 1) / cut.per_part;
    bytes += cut.units * cut.unit_rows * row_bytes(weight) + parts * book_bytes(weight);
    return {};
  }
};

}  // namespace

std::uint64_t device_bytes(const Gpu& gpu, const model::Weights& weights) {
  Sizes sizes{gpu, weights.config};
  const Result<void> done = device::for_each_tensor(weights, weights, sizes);
  check(done.has_value(), "counting cannot fail");
  return sizes.bytes;
}

Result<Matrices> allocate_weights(Gpu& gpu, const model::Weights& weights) {
  Matrices out;
  out.layers.resize(weights.layers.size());
  const Allocator allocator(gpu, weights.config);
  TRINE_CHECK_OK(device::for_each_tensor(weights, out, allocator));
  return out;
}

Result<void> upload_weights(Gpu& gpu, const model::Weights& weights, ThreadPool& pool,
                            const Matrices& matrices) {
  Uploader uploader(gpu, pool, weights.config);
  TRINE_CHECK_OK(device::for_each_tensor(weights, matrices, uploader));
  TRINE_CHECK_OK(uploader.flush());
  return uploader.flush();
}

}  // namespace trine::wgpu
