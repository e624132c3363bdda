# The WebGPU library wgpu-native, as the Python package index's wheel `wgpu` carries it. `scripts/setup wgpu` fetches
# it. A build compiles against its headers; the library itself is loaded at run time.
set(TRINE_WGPU AUTO CACHE STRING "Build the WebGPU backend: ON, OFF, or AUTO (when its library has been fetched)")
set_property(CACHE TRINE_WGPU PROPERTY STRINGS AUTO ON OFF)
set(TRINE_WGPU_DIR ${CMAKE_SOURCE_DIR}/deps/wgpu-0.32.0 CACHE PATH "webgpu.h, wgpu.h and the library")
set(wgpu_library ${TRINE_WGPU_DIR}/libwgpu_native-release.so)

set(wgpu_found TRUE)
foreach(file ${TRINE_WGPU_DIR}/webgpu.h ${TRINE_WGPU_DIR}/wgpu.h ${wgpu_library})
  if(NOT EXISTS ${file})
    set(wgpu_found FALSE)
  endif()
endforeach()
if(TRINE_WGPU STREQUAL "AUTO")
  # The next build looks again when something has been put beside it since.
  cmake_path(GET TRINE_WGPU_DIR PARENT_PATH deps)
  if(NOT EXISTS ${deps})
    set(deps ${CMAKE_SOURCE_DIR})
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${deps})
  set(TRINE_WGPU ${wgpu_found})  # for this run only: the cache keeps AUTO
  if(NOT wgpu_found)
    message(STATUS "No WebGPU backend: 'scripts/setup wgpu' fetches what it needs")
  endif()
elseif(TRINE_WGPU AND NOT wgpu_found)
  message(FATAL_ERROR "TRINE_WGPU is ON, and ${TRINE_WGPU_DIR} lacks webgpu.h, wgpu.h or libwgpu_native-release.so.\n"
    "'scripts/setup wgpu' fetches them; TRINE_WGPU_DIR names another folder.")
endif()
