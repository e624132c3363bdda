#pragma once

#include "gguf/metadata.h"
#include "sampling/sampler.h"

#include <string>
#include <vector>

namespace trine::engine {

// How the makers of a model want its tokens chosen: general.sampling.* of its file, over SamplingParams' own
// defaults. Source: gguf-py's constants.py and llama.cpp's common.cpp, which applies the same keys.
struct FileSampling {
  sampling::SamplingParams params;
  std::vector<std::string> used;      // keys that set something
  std::vector<std::string> warnings;  // a sentence for each key that asks for what is not done or cannot be
};

FileSampling read_file_sampling(const gguf::Metadata& metadata);

// "temperature 0.7, top-k 20, top-p 0.8": what is not off.
std::string describe(const sampling::SamplingParams& params);

}  // namespace trine::engine
