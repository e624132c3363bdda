add_compile_options(-Wall -Wextra -Wpedantic)
if(TRINE_WERROR)
  add_compile_options(-Werror)
endif()
