# Sourced by the scripts beside it; the working directory is the project's root.

# group_folders CONTROLLER: this process's control group and those above it, of cgroup 2 or of the controller's
# hierarchy of cgroup 1. A container that sees its own group as the root finds it there.
group_folders() {
  local root=${CGROUP_ROOT:-/sys/fs/cgroup} path
  if [ -d "$root/$1" ]; then
    root=$root/$1
    path=$(sed -n "s/^[0-9]*:\([^:]*,\)*$1\(,[^:]*\)*://p" /proc/self/cgroup)
  else
    path=$(sed -n 's/^0:://p' /proc/self/cgroup)
  fi
  while [ -n "${path%/}" ]; do
    echo "$root$path"
    path=${path%/*}
  done
  echo "$root"
}

# The GiB that may still be taken here: what the machine has free, and what each control group's limit leaves beside
# what it holds. A file's cached pages are given back, so they do not count.
free_gib() {
  local bytes folder limit held cached left
  bytes=$(awk '/MemAvailable/ {printf "%.0f", $2 * 1024}' /proc/meminfo)
  while read -r folder; do
    limit=$(cat "$folder/memory.max" "$folder/memory.limit_in_bytes" 2>/dev/null || true)
    [[ $limit =~ ^[0-9]{1,18}$ ]] || continue  # none, or "max"; cgroup 1 writes nineteen digits for none
    held=$(cat "$folder/memory.current" "$folder/memory.usage_in_bytes" 2>/dev/null || true)
    cached=$(awk '$1 == "file" || $1 == "total_cache" {print $2}' "$folder/memory.stat" 2>/dev/null || true)
    left=$((limit - ${held:-0} + ${cached:-0}))
    [ "$left" -ge "$bytes" ] || bytes=$left
  done < <(group_folders memory)
  echo $((bytes / 1073741824))
}

# The cores that this process may use: nproc knows its affinity, the control groups their quota.
cores_here() {
  local cores folder quota period
  cores=$(nproc)
  while read -r folder; do
    read -r quota period < <(cat "$folder/cpu.max" 2>/dev/null ||
      cat "$folder/cpu.cfs_quota_us" "$folder/cpu.cfs_period_us" 2>/dev/null | xargs) || continue
    [[ $quota =~ ^[1-9][0-9]*$ && $period =~ ^[1-9][0-9]*$ ]] || continue  # none, "max" or -1
    quota=$(((quota + period - 1) / period))
    [ "$quota" -ge "$cores" ] || cores=$quota
  done < <(group_folders cpu)
  echo "$cores"
}

# Parallel jobs: one per core, and no more than one per GiB of memory (a compiler takes that much at worst).
jobs_here() {
  local cores memory
  cores=$(cores_here)
  memory=$(free_gib)
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
