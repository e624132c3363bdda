# Writes OUTPUT, a C++ file with the text of FILES.
set(text "#include \"wgpu/shader.h\"\n\nnamespace trine::wgpu {\nnamespace {\n\nconstexpr ShaderFile files[] = {\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} content)
  string(APPEND text "    {\"${name}\", R\"wgsl(${content})wgsl\"},\n")
endforeach()
string(APPEND text "};\n\n}  // namespace\n\nstd::span<const ShaderFile> shader_files() {\n  return files;\n}\n\n}  // namespace trine::wgpu\n")
file(WRITE ${OUTPUT} "${text}")
