#pragma once

#include <string>

// What downloads leave in folders: files that are not whole yet, and caches that keep files under other
// names. Not used outside this folder.
namespace trine::gguf {

// The file that a download of `path` leaves until it is done: beside it under a name that says so, or under a
// name of its own in a cache of huggingface_hub, whose blobs `neighbour` leads to. Empty when there is none.
std::string unfinished_download(const std::string& path, const std::string& neighbour = {});
// aria2c gives a file its name and size at once: its control file says that not all of the bytes are there.
bool has_unfinished_bytes(const std::string& path);
// Whether a download that is under way gives its file such a name.
bool is_named_unfinished(const std::string& path);

// The name in snapshots/ that leads to `path`, when this is a blob of huggingface_hub's cache. Else empty.
std::string snapshot_name(const std::string& path);
bool is_blob(const std::string& path);

}  // namespace trine::gguf
