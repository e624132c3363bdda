# Every flag that can change a computed number is set here and nowhere else.
#
# Contraction is off so that `a * b + c` rounds twice on every compiler and the reference means what it says;
# kernels that want a fused multiply-add call it by name. Fast-math is never on: it deletes NaN checks.
# Instruction-set flags (-mavx2 …) are not numerics flags: they are set beside the one source file that needs them.
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  add_compile_options(-ffp-contract=off -fno-fast-math)
endif()
