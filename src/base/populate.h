#pragma once

#include "base/thread_pool.h"

#include <cstddef>
#include <span>
#include <vector>

namespace trine {

// Brings the pages of mapped files into memory and into this process's page tables, piece by piece in the
// order of the ranges, by all threads: what touching each page would do one by one, in the middle of the
// work. Pages that are not in the page cache are read from disk, the next ones while these are mapped; where
// Linux does not say which are (it tells only who owns a file or may write it), all count as cached, and some
// are left to whoever touches them.
// Returns false where the system does not do this (Linux before 5.14), or a page is not to be had; nothing is
// lost then but the time that touching takes.
// What is read comes to lie on these NUMA nodes in turn; empty: where the system puts it.
bool populate_pages(const std::vector<std::span<const std::byte>>& ranges, const std::vector<int>& nodes,
                    ThreadPool& pool);

}  // namespace trine
