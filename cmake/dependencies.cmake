# Third-party libraries, all Debian packages (scripts/packages pins their versions).
# Portable builds take the static archives so that the binary needs nothing but glibc.
if(TRINE_PORTABLE)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

find_package(Threads REQUIRED)
find_package(tl-expected REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)

# Debian's package of PCRE2 carries no CMake configuration of its own.
find_path(PCRE2_INCLUDE_DIR pcre2.h REQUIRED)
find_library(PCRE2_LIBRARY NAMES pcre2-8 REQUIRED)
add_library(pcre2 INTERFACE)
target_include_directories(pcre2 SYSTEM INTERFACE ${PCRE2_INCLUDE_DIR})
target_link_libraries(pcre2 INTERFACE ${PCRE2_LIBRARY})
target_compile_definitions(pcre2 INTERFACE PCRE2_CODE_UNIT_WIDTH=8)
