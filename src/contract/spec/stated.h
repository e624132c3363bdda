#pragma once

#include "base/embedded_file.h"
#include "contract/spec/document.h"

#include <span>
#include <string_view>
#include <vector>

namespace trine::contract {

// The bounds of contracts/, as they were when this program was built. Checks hold their figures to these, so
// a bound stands in one place; that a folder of contracts says the same is for falsify.h to see.

// The files of contracts/.
std::span<const EmbeddedFile> contract_files();

// What the tests with this check state for this backend; with an empty one, for any. That there is no such
// test is a bug (check()).
std::vector<Bound> stated_bounds(std::string_view check, std::string_view backend = {});

// The limit of a figure among these; NaN, which nothing satisfies, when it is not there.
double limit_of(std::span<const Bound> bounds, std::string_view figure);

}  // namespace trine::contract
