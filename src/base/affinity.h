#pragma once

#include "base/error.h"

#include <pthread.h>
#include <vector>

namespace trine {

// The hardware threads that this process may run on, ascending: what affinity and cpuset leave, and not what
// bind_caller() has narrowed that to. Never empty.
std::vector<int> allowed_threads();

// Has a thread run on these hardware threads only. Errors: backend_unavailable, with what the system says.
Result<void> bind_thread(pthread_t thread, const std::vector<int>& to);

// The same of the calling thread, until unbind_caller() on it. Threads that it starts meanwhile begin as
// narrow as it is: ThreadPool's do not stay so. Errors: as bind_thread().
Result<void> bind_caller(int to);
bool is_caller_bound();
void unbind_caller();

}  // namespace trine
