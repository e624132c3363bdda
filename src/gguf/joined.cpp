#include "gguf/joined.h"

#include "gguf/part_name.h"

#include <fmt/format.h>
#include <cstring>

namespace trine::gguf {
namespace {

constexpr std::size_t most_sections = 65535;  // as many as split.count can say
constexpr std::size_t most_named = 8;         // in an error, which is for people

// Where a header begins at or behind `end` of the file that begins at `begin`: data may be padded to
// `alignment`.
std::optional<std::uint64_t> find_header(std::span<const std::byte> bytes, std::uint64_t begin,
                                         std::uint64_t end, std::uint64_t alignment) {
  const std::uint64_t padded = begin + (end - begin + alignment - 1) / alignment * alignment;
  for (const std::uint64_t at : {end, padded}) {
    std::uint32_t version = 0;
    if (at > bytes.size() || bytes.size() - at < 8 || std::memcmp(bytes.data() + at, "GGUF", 4) != 0)
      continue;
    std::memcpy(&version, bytes.data() + at + 4, sizeof version);
    if (version == 2 || version == 3) return at;
  }
  return std::nullopt;
}

void describe(Section& section, const Metadata& metadata) {
  const auto part = metadata.get_uint("split.no");
  const auto count = metadata.get_uint("split.count");
  if (!part || !count || *part >= *count) return;
  section.part = *part;
  section.count = *count;
}

std::string section_text(const Section& section, std::uint64_t count) {
  if (section.part && section.count == count)
    return fmt::format("part {} at byte {}", *section.part + 1, section.begin);
  return fmt::format("a GGUF file that is no whole part of this model at byte {}", section.begin);
}

// The command that copies one section into a file of its own.
std::string copy_command(const std::string& path, const Section& section, bool is_last,
                         const std::string& copy) {
  const std::string from = shell_word(path);
  const std::uint64_t bytes = section.end - section.begin;
  if (section.begin == 0) return fmt::format("head -c {} {} > {}", bytes, from, shell_word(copy));
  const std::string tail = fmt::format("tail -c +{} {}", section.begin + 1, from);
  if (is_last) return fmt::format("{} > {}", tail, shell_word(copy));
  return fmt::format("{} | head -c {} > {}", tail, bytes, shell_word(copy));
}

}  // namespace

std::vector<Section> find_sections(std::span<const std::byte> bytes, const Header& first) {
  std::vector<Section> sections(1);
  describe(sections[0], first.metadata);
  std::uint64_t end = first.end;
  std::uint64_t alignment = first.alignment;
  const std::string name;  // what is wrong with a later one is not said
  while (sections.size() < most_sections) {
    const auto begin = find_header(bytes, sections.back().begin, end, alignment);
    if (!begin) break;
    sections.back().end = *begin;
    sections.push_back({*begin, bytes.size(), {}, {}});
    const auto header = parse_header(bytes.subspan(*begin), name);
    if (!header) break;
    describe(sections.back(), header->metadata);
    end = *begin + header->end;
    alignment = header->alignment;
  }
  sections.back().end = bytes.size();
  return sections;
}

Error joined_error(const std::string& path, const std::vector<Section>& sections) {
  const std::uint64_t count = sections[0].count.value_or(1);
  // Where the file has the name of a part, copies of other names leave it as it is.
  const auto own = part_name(path);
  PartName copy;
  copy.prefix =
      own ? own->prefix + "-split" : path.substr(0, path.size() - (path.ends_with(".gguf") ? 5 : 0));
  copy.count = count;

  std::string contents;
  std::string commands;
  std::uint64_t parts = 0;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Section& section = sections[i];
    const bool is_part = section.part && section.count == count;
    if (is_part) parts += 1;
    if (i == most_named) {
      contents += fmt::format(", and {} more", sections.size() - i);
      commands += ", and so on";
    }
    if (i >= most_named) continue;
    contents += (i == 0 ? "" : ", ") + section_text(section, count);
    if (!is_part) continue;
    if (!commands.empty()) commands += "; ";
    commands += copy_command(path, section, i + 1 == sections.size(), path_of_part(copy, *section.part + 1));
  }
  std::string hint = "Parts are not joined by cat. Take them apart: " + commands;
  if (parts < count) hint += fmt::format(". Get the other {} again", count - parts);
  hint +=
      fmt::format(". Then name one of them, or make one file of them: llama-gguf-split --merge {} OUT.gguf",
                  shell_word(path_of_part(copy, 1)));
  return {.code = ErrorCode::not_gguf,
          .what = "the parts of a split model lie in one file, one behind the other",
          .where = path,
          .expected = "one part in a file",
          .actual = std::move(contents),
          .hint = std::move(hint)};
}

}  // namespace trine::gguf
