# trine_version: version, git commit and build description, rewritten at build time only when they change.
add_custom_target(trine_version_file
  COMMAND ${CMAKE_COMMAND}
    -DOUTPUT=${CMAKE_BINARY_DIR}/generated/trine_version.h
    -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION} -DBUILD_TYPE=${CMAKE_BUILD_TYPE}
    "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
    -P ${CMAKE_SOURCE_DIR}/cmake/write_version.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/trine_version.h
  VERBATIM)
add_library(trine_version INTERFACE)
target_include_directories(trine_version INTERFACE ${CMAKE_BINARY_DIR}/generated)
add_dependencies(trine_version trine_version_file)
