# trine_optimise_little(TARGET): for code that is compiled more often than it is hot.
function(trine_optimise_little target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Asan>:-O0>)
endfunction()

# trine_parse_once(TARGET HEADERS... | REUSE_FROM TARGET): the JSON and test libraries are templates all through. Where
# sources are compiled by the dozen (CMAKE_UNITY_BUILD) that has been done already.
function(trine_parse_once target)
  if(CMAKE_UNITY_BUILD)
    return()
  endif()
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
