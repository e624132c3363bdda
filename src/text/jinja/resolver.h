#pragma once

#include "text/jinja/ast.h"

#include <set>
#include <string>

namespace trine::jinja {

// Gives every name of the tree its frame and slot, as jinja2.idtracking does, finds the filters and tests,
// and checks what Jinja checks when it compiles: raises TemplateSyntaxError or unsupported. Returns the names
// that are read from the variables of the caller.
std::set<std::string> resolve(Tree& tree);

}  // namespace trine::jinja
