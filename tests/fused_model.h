#pragma once

#include "edited_model.h"

#include <string>
#include <vector>

namespace trine::test {

// Makes one tensor of several of the same type and width, as tools do that fuse them: in each of `experts`,
// the rows of the first, then those of the next.
inline void fuse(EditedModel& model, const std::vector<std::string>& parts, const std::string& name,
                 std::size_t experts) {
  std::vector<EditedModel::Tensor> taken;
  for (const std::string& part : parts) taken.push_back(model.take(part));
  EditedModel::Tensor fused = {name, taken.front().dims, taken.front().type, {}};
  fused.dims[1] = 0;
  for (const EditedModel::Tensor& one : taken) {
    if (one.type != fused.type) throw std::runtime_error(name + ": parts of different types");
    fused.dims[1] += one.dims[1];
  }
  for (std::size_t e = 0; e < experts; ++e)
    for (const EditedModel::Tensor& one : taken) {
      const auto share = static_cast<std::ptrdiff_t>(one.bytes.size() / experts);
      const auto begin = one.bytes.begin() + static_cast<std::ptrdiff_t>(e) * share;
      fused.bytes.insert(fused.bytes.end(), begin, begin + share);
    }
  model.tensors.push_back(std::move(fused));
}

// Both kinds of fused tensors in every layer.
inline void fuse_all(EditedModel& model, std::size_t layers, std::size_t experts) {
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    fuse(model, {blk + "attn_q.weight", blk + "attn_k.weight", blk + "attn_v.weight"},
         blk + "attn_qkv.weight", 1);
    fuse(model, {blk + "ffn_gate_exps.weight", blk + "ffn_up_exps.weight"}, blk + "ffn_gate_up_exps.weight",
         experts);
  }
}

}  // namespace trine::test
