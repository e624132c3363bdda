# Sourced by the scripts beside it; the working directory is the project's root.

# Parallel jobs: one per core, and no more than one per GiB of memory (a compiler takes that much at worst).
jobs_here() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

# configure PRESET [cmake arguments]: only when the build folder is new or the arguments differ from last time.
configure() {
  local preset=$1 stamp=build/$1/.configured
  shift
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$*" ]; then return; fi
  cmake --preset "$preset" "${launcher[@]}" "$@" >&2
  echo "$*" >"$stamp"
}
