#pragma once

#include "gguf/metadata.h"
#include "gguf/parse.h"
#include "gguf/part_name.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trine::gguf {

// What the keys split.no and split.count of a file say. Not used outside this folder.
struct SplitKeys {
  std::uint64_t number = 0;  // from 0
  std::uint64_t count = 1;   // 1 for a file that is not split
};
// Errors: not_gguf, naming the key.
Result<SplitKeys> read_split_keys(const Metadata& metadata, const std::string& path);
// split.tensors.count: how many the parts hold together.
Result<std::uint64_t> tensors_of_all_parts(const Metadata& metadata, const std::string& path);

// Where the parts are.
struct Place {
  PartName name;
  std::vector<std::uint64_t> missing;  // from 0, ascending
};
// Looks beside `path`, and where that is a link beside each name it leads to, for what the name of part
// `number` there says. Nothing when none of these names is that of the part; else the place where the fewest
// are missing.
std::optional<Place> find_parts(const std::string& path, const SplitKeys& keys);

// A part must say that it is the one its name says.
Result<void> check_part(const Metadata& metadata, const std::string& path, const SplitKeys& expected);
// And be of the model that the first one is of, as far as it says so.
Result<void> check_same_model(const Metadata& first, const std::string& first_path, const Metadata& other,
                              const std::string& other_path);

// file_not_found: `missing` of the parts, all of them named. `neighbour` is a part that is there.
Error missing_error(const Place& place, const std::vector<std::uint64_t>& missing,
                    const std::string& neighbour);
// not_gguf: the parts cannot be found because `path` is no name of a part.
Error renamed_error(const std::string& path, const SplitKeys& keys);
// not_gguf: a download has yet to fill the file.
Error unfinished_error(const std::string& path);

// `error` of opening or reading `path`, with a better hint where the name or what lies beside it gives one.
Error explain(Error error, const std::string& path, std::uint64_t size);

}  // namespace trine::gguf
