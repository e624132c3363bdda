# trine_embed(TARGET FUNCTION FILES...): the texts of FILES become part of TARGET. FUNCTION, "trine::wgpu::shader_files", is
# what returns them, and a header of TARGET declares it: std::span<const trine::EmbeddedFile> (base/embedded_file.h).
function(trine_embed target function)
  string(REGEX REPLACE ".*::" "" name ${function})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} "-DFILES=${ARGN}" -DFUNCTION=${function} -DOUTPUT=${output}
      -P ${CMAKE_SOURCE_DIR}/cmake/write_embedded.cmake
    DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/cmake/write_embedded.cmake VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
