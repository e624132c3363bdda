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

// What the tests with this check state for this backend; with an empty one, for all. That there is no such
// test, or that two state different bounds for a figure, is a bug (check()).
std::vector<Bound> stated_bounds(std::string_view check, std::string_view backend = {});

// That of a figure among these, and its limit. That there is none is a bug (check()).
const Bound& bound_of(std::span<const Bound> bounds, std::string_view figure);
double limit_of(std::span<const Bound> bounds, std::string_view figure);

}  // namespace trine::contract
