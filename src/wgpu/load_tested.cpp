#include "wgpu/load_tested.h"

#include "device/self_test.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace trine::wgpu {
namespace {

// What is tried when a model with all that was asked for is wrong.
std::vector<Variants> fallbacks(model::Numerics numerics, const Variants& asked) {
  const bool fast = numerics == model::Numerics::fast;
  std::vector<Variants> all;
  for (const Variants& one :
       {Variants{.subgroups = false}, Variants{.integer_dot = !fast}, Variants{.f16 = !fast},
        Variants{.subgroups = false, .integer_dot = !fast}, Variants{.subgroups = false, .f16 = !fast},
        Variants{.f16 = !fast, .integer_dot = !fast},
        Variants{.subgroups = false, .f16 = !fast, .integer_dot = !fast}}) {
    const Variants some = one & asked;
    if (some != asked && std::find(all.begin(), all.end(), some) == all.end()) all.push_back(some);
  }
  return all;
}

}  // namespace

Result<std::unique_ptr<WgpuModel>> load_tested(const model::Weights& weights, model::Numerics numerics,
                                               const Variants& asked, const LoadVariants& load) {
  const auto attempt = [&](const model::Weights& some,
                           const Variants& variants) -> Result<std::unique_ptr<WgpuModel>> {
    TRINE_TRY(std::unique_ptr<WgpuModel> model, load(some, variants));
    // On a processor, compiling takes many seconds: what few runs need is judged when it is first used.
    const bool all = model->describe().type != "software";
    TRINE_CHECK_OK(device::self_test(*model, some, {.many_rows = all, .choices = all}));
    return model;
  };
  auto model = attempt(weights, asked);
  if (model || model.error().code != ErrorCode::inference) return model;
  const Error first = model.error();
  const model::Weights some = device::first_and_last_layer(weights);
  for (const Variants& variants : fallbacks(numerics, asked)) {
    if (!attempt(some, variants)) continue;
    if (auto again = attempt(weights, variants); again) return again;
  }
  Error error = first;
  error.hint =
      "The self-test at load found it, with the plainest kernels too: update the driver, or use --backend "
      "cpu";
  return fail(std::move(error));
}

}  // namespace trine::wgpu
