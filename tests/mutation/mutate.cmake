# Writes MUTATED: SOURCE with FROM replaced by TO. A FROM that is not there exactly once stops the build, so that a
# mutation cannot fade away when its source changes.
file(READ ${SOURCE} text)
string(FIND "${text}" "${FROM}" first)
string(FIND "${text}" "${FROM}" last REVERSE)
if(first EQUAL -1)
  message(FATAL_ERROR "${SOURCE} has no '${FROM}' to mutate: write the mutation anew for what is there now")
endif()
if(NOT first EQUAL last)
  message(FATAL_ERROR "${SOURCE} has '${FROM}' more than once: the mutation must say which is meant")
endif()
string(REPLACE "${FROM}" "${TO}" text "${text}")
file(WRITE ${MUTATED} "${text}")
