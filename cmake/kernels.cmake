# trine_add_kernels(TARGET): the kernels of the CPU backend become part of TARGET. Instruction sets are switched on for the
# one file that holds their kernels; which one runs is chosen at run time.
function(trine_add_kernels target)
  set(folder ${CMAKE_SOURCE_DIR}/src/cpu/kernels)
  set(sources ${folder}/dispatch.cpp ${folder}/portable.cpp ${folder}/portable_dot.cpp)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_definitions(${target} PUBLIC TRINE_X86_KERNELS)
    list(APPEND sources ${folder}/avx2.cpp ${folder}/avx512vnni.cpp)
    set_source_files_properties(${folder}/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    set_source_files_properties(${folder}/avx512vnni.cpp PROPERTIES COMPILE_OPTIONS
      "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni")
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    target_compile_definitions(${target} PUBLIC TRINE_ARM_KERNELS)
    list(APPEND sources ${folder}/neon.cpp ${folder}/neon_i8mm.cpp)
    set_source_files_properties(${folder}/neon.cpp PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod")
    set_source_files_properties(${folder}/neon_i8mm.cpp PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod+i8mm")
  endif()
  target_sources(${target} PRIVATE ${sources})
endfunction()
