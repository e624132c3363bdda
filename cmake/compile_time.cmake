# trine_keep_compile_short(TARGET HEADERS... | REUSE_FROM TARGET): for code that is compiled more often than it is hot.
# The JSON and test libraries are templates all through: they are parsed once, and optimised little.
function(trine_keep_compile_short target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Asan>:-O0>)
  if("${ARGV1}" STREQUAL "REUSE_FROM")
    target_precompile_headers(${target} ${ARGN})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# trine_fuzzed(TARGET): a library that a fuzz target drives: it reports its coverage to the fuzzer.
function(trine_fuzzed target)
  if(TRINE_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()
