#pragma once

#include "base/error.h"

#include <span>
#include <string>
#include <vector>

namespace trine::wgpu {

// What a device may be used with or without, the answer being the same: faster ways to compute, each with a
// plain one beside it, and the clock. Named as `trine devices` shows them and --without takes them.
struct Variants {
  bool subgroups = true;    // "subgroups": sums over subgroups; else over workgroup memory
  bool f16 = true;          // "f16": fast numerics: a KV cache of f16; else of f32
  bool timestamps = true;   // "timestamps": times of kernels; else none
  bool integer_dot = true;  // "integer-dot": fast numerics: products of 8-bit blocks; else of f32

  bool operator==(const Variants&) const = default;
};

// All of them but those that are named here or by the environment variable TRINE_WGPU_WITHOUT, with commas
// between them. Errors: usage (no such name), with those there are.
Result<Variants> variants_without(std::span<const std::string> names);

// Those that are in both.
Variants operator&(const Variants& a, const Variants& b);

// The names of those that `all` has and `some` has not.
std::vector<std::string> names_of_missing(const Variants& some, const Variants& all = {});

}  // namespace trine::wgpu
