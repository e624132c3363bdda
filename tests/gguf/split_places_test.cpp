// Splits as they come: what each situation gives. The parts are named model-0000N-of-00003.gguf unless said.
#include "split_fixture.h"

#include <fmt/format.h>
#include <cstdlib>
#include <functional>

namespace trine::gguf {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SplitPlacesTest : public test::SplitTest {
 protected:
  // Any part, by the given names: the whole model with these paths.
  void expect_whole(const std::string& path, const std::string& first_path) const {
    const auto file = File::open(path);
    ASSERT_TRUE(file.has_value()) << to_string(file.error());
    EXPECT_EQ(file->tensors().size(), 3u);
    EXPECT_EQ(file->paths()[0], first_path);
    EXPECT_FALSE(file->incomplete());
  }
  void link(const std::string& target, const std::string& name) const {
    fs::create_directories(fs::path(in(name)).parent_path());
    fs::create_symlink(target, in(name));
  }
  // As huggingface_hub keeps a revision: names in snapshots/, contents in blobs/.
  void save_cache() const {
    for (int i = 0; i < 3; ++i) {
      write(in("repo/blobs/sha" + std::to_string(i)), parts_[i].build());
      link("../../blobs/sha" + std::to_string(i), snapshot(i));
    }
  }
  static std::string snapshot(int part) {
    return "repo/snapshots/rev/model-0000" + std::to_string(part + 1) + "-of-00003.gguf";
  }
  std::string joined() const { return parts_[0].build() + parts_[1].build() + parts_[2].build(); }
};

TEST_F(SplitPlacesTest, EveryLinkOfASnapshot) {
  save_cache();
  for (int i = 0; i < 3; ++i) expect_whole(in(snapshot(i)), in(snapshot(0)));
}

TEST_F(SplitPlacesTest, LinksOfOtherNames) {
  save();
  link("model-00002-of-00003.gguf", "relative.gguf");
  link(path(2), "absolute.gguf");
  link("../relative.gguf", "sub/chain.gguf");
  expect_whole(in("relative.gguf"), path(0));
  expect_whole(in("absolute.gguf"), path(0));
  expect_whole(in("sub/chain.gguf"), in("sub/../model-00001-of-00003.gguf"));
}

TEST_F(SplitPlacesTest, ALinkThroughAFolderThatIsALink) {
  save_cache();
  link("repo/snapshots/rev", "current");
  expect_whole(in("current/model-00002-of-00003.gguf"), in("current/model-00001-of-00003.gguf"));
}

TEST_F(SplitPlacesTest, OneLinkOfThePartsOwnName) {
  save_cache();
  link(in(snapshot(0)), "here/model-00001-of-00003.gguf");
  expect_whole(in("here/model-00001-of-00003.gguf"), in(snapshot(0)));
}

TEST_F(SplitPlacesTest, LinksAndFilesMixed) {
  save();
  fs::rename(path(1), in("elsewhere"));
  link("elsewhere", "model-00002-of-00003.gguf");
  for (int i = 0; i < 3; ++i) expect_whole(path(i), path(0));
}

TEST_F(SplitPlacesTest, OtherDigitsAndCases) {
  for (int i = 0; i < 3; ++i) {
    const std::string number = std::to_string(i + 1);
    write(in("a-" + number + "-of-3.gguf"), parts_[i].build());
    write(in("B-0" + number + "-OF-03.GGUF"), parts_[i].build());
  }
  expect_whole(in("a-2-of-3.gguf"), in("a-1-of-3.gguf"));
  expect_whole(in("B-03-OF-03.GGUF"), in("B-01-OF-03.GGUF"));
}

TEST_F(SplitPlacesTest, WholeModelsOfAnyName) {
  test::GgufBuilder whole;
  whole.tensor("a", {8}, 0, 32);
  for (const char* name : {"blobs/sha256-ab12", "blobs/ab12", "model-00001-of-00009.gguf", "x.gguf.part"}) {
    write(in(name), whole.build());
    const auto file = File::open(in(name));
    EXPECT_TRUE(file.has_value()) << name;
  }
}

TEST_F(SplitPlacesTest, OnlyTheFirstPartForTheMetadata) {
  save();
  fs::remove(path(1));
  for (const int named : {0, 2}) {
    const auto file = File::open(path(named), Parts::first);
    ASSERT_TRUE(file.has_value()) << to_string(file.error());
    EXPECT_EQ(file->metadata().get_string("general.architecture").value(), "test");
    ASSERT_EQ(file->paths().size(), 1u);
    EXPECT_EQ(file->paths()[0], path(0));
    EXPECT_EQ(file->tensors().size(), 1u);
  }
  // It needs no name, nor to be alone in its file.
  write(in("renamed.gguf"), parts_[0].build());
  write(in("joined.gguf"), joined());
  EXPECT_TRUE(File::open(in("renamed.gguf"), Parts::first));
  EXPECT_TRUE(File::open(in("joined.gguf"), Parts::first));

  fs::remove(path(0));
  const auto none = File::open(path(2), Parts::first);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::file_not_found);
  EXPECT_THAT(to_string(none.error()), HasSubstr("part 1 of 3 of a split model is missing"));
  EXPECT_THAT(to_string(none.error()), HasSubstr("holds the metadata and the tokenizer"));
}

TEST_F(SplitPlacesTest, WhatIsPresent) {
  save();
  fs::remove(path(1));
  auto file = File::open(path(2), Parts::present);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->part_count(), 3u);
  EXPECT_EQ(file->paths().size(), 2u);
  EXPECT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[1].part, 1u);  // of paths()
  EXPECT_EQ(file->metadata().get_string("general.architecture").value(), "test");
  ASSERT_TRUE(file->incomplete());
  EXPECT_THAT(file->incomplete()->what, HasSubstr("part 2 of 3"));

  fs::create_directory(path(1));
  file = File::open(path(0), Parts::present);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_THAT(to_string(*file->incomplete()), HasSubstr("a directory"));

  write(in("renamed.gguf"), parts_[1].build());
  file = File::open(in("renamed.gguf"), Parts::present);
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_THAT(file->incomplete()->what, HasSubstr("renamed"));
}

TEST_F(SplitPlacesTest, DescriptorsAreClosed) {
  save();
  const auto open_descriptors = [] {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
    return count;
  };
  const int before = open_descriptors();
  const auto whole = File::open(path(1));
  fs::remove(path(2));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(File::open(path(1)));
  EXPECT_EQ(open_descriptors(), before);
}

// What is refused, and what the error says of it.
struct Situation {
  const char* name;
  std::function<void()> make;
  std::string opened;  // in the test's folder
  ErrorCode code;
  std::vector<std::string> says;
};

TEST_F(SplitPlacesTest, EachErrorSaysWhatIsTrue) {
  const std::string second = "model-00002-of-00003.gguf";
  const auto part = [&](int i) { return fs::path(path(i)).filename().string(); };
  const auto set_key = [&](int i, const char* key, std::uint64_t value) {
    parts_[i].u64(key, value);
    save();
  };
  const std::string whole(3 << 20, 'x');
  const std::size_t one = parts_[0].build().size();
  const std::size_t two = one + parts_[1].build().size();

  const std::vector<Situation> table = {
      // Parts that are missing.
      {"one",
       [&] { fs::remove(path(1)); },
       part(2),
       ErrorCode::file_not_found,
       {"part 2 of 3 of a split model is missing", path(1), "put it beside " + path(2)}},
      {"two",
       [&] {
         fs::remove(path(0));
         fs::remove(path(2));
       },
       part(1),
       ErrorCode::file_not_found,
       {"parts 1 and 3 of 3 of a split model are missing", path(0), path(2), "holds the metadata"}},
      {"a blob of the cache",
       [&] {
         save_cache();
         fs::remove(in("repo/blobs/sha1"));
       },
       snapshot(0),
       ErrorCode::file_not_found,
       {"part 2 of 3", "a link to ", "blobs/sha1, which is not there"}},
      {"a download into the cache",
       [&] {
         save_cache();
         fs::remove(in(snapshot(2)));
         write(in("repo/blobs/sha2.incomplete"), "x");
       },
       snapshot(0),
       ErrorCode::file_not_found,
       {"part 3 of 3", "not finished", "blobs/sha2.incomplete"}},
      {"a download into a folder",
       [&] {
         fs::remove(path(2));
         write(in(".cache/huggingface/download/q.sha2.incomplete"), "x");
       },
       part(0),
       ErrorCode::file_not_found,
       {"not finished", "q.sha2.incomplete"}},
      {"Firefox",
       [&] { fs::rename(path(1), in("model-00002-of-00003.aB3.gguf.part")); },
       part(0),
       ErrorCode::file_not_found,
       {"part 2 of 3", "not finished", "model-00002-of-00003.aB3.gguf.part is there"}},
      {"aria2c, with all of the size",
       [&] { write(path(1) + ".aria2", "x"); },
       part(0),
       ErrorCode::not_gguf,
       {"download of this file has not finished", path(1), ".aria2"}},
      {"the file that is named",
       [&] { fs::rename(path(1), path(1) + ".crdownload"); },
       part(1),
       ErrorCode::file_not_found,
       {"file not found", "not finished", part(1) + ".crdownload"}},
      {"a later part of a count that lies",
       [&] {
         set_key(0, "split.count", 65535);
         fs::rename(path(0), in("x-00001-of-65535.gguf"));
       },
       "x-00001-of-65535.gguf",
       ErrorCode::file_not_found,
       {"parts 2 to 65535 of 65535", "x-00002-of-65535.gguf", "and 65526 more"}},

      // Names that lead nowhere.
      {"renamed",
       [&] { fs::rename(path(0), in("m.gguf")); },
       "m.gguf",
       ErrorCode::not_gguf,
       {"renamed", "-00001-of-00003.gguf", "part 1 of 3",
        "NAME-00001-of-00003.gguf to NAME-00003-of-00003.gguf",
        "llama-gguf-split --merge NAME-00001-of-00003.gguf OUT.gguf"}},
      {"a blob",
       [&] { save_cache(); },
       "repo/blobs/sha1",
       ErrorCode::not_gguf,
       {"name of a blob", "-00002-of-00003.gguf", "Name it by " + in(snapshot(1))}},
      {"a blob by a link",
       [&] {
         save_cache();
         link("repo/blobs/sha1", "m.gguf");
       },
       "m.gguf",
       ErrorCode::not_gguf,
       {"m.gguf, a link to", "blobs/sha1", "Name it by " + in(snapshot(1))}},
      {"a blob of another program",
       [&] {
         fs::create_directory(in("blobs"));
         fs::rename(path(0), in("blobs/sha256-ab"));
       },
       "blobs/sha256-ab",
       ErrorCode::not_gguf,
       {"name of a blob", "in the folder that keeps the names"}},
      {"links in a circle",
       [&] {
         link("b.gguf", "a.gguf");
         link("a.gguf", "b.gguf");
       },
       "a.gguf",
       ErrorCode::file_not_found,
       {"cannot open file", "symbolic links"}},
      {"a part that is such a link",
       [&] {
         fs::remove(path(1));
         link(second, second);
       },
       part(0),
       ErrorCode::file_not_found,
       {"part 2 of 3", "cannot open file", "symbolic links"}},
      {"a folder",
       [&] {
         fs::remove(path(1));
         fs::create_directory(path(1));
       },
       part(0),
       ErrorCode::file_not_found,
       {"part 2 of 3", path(1), "a directory"}},

      // Keys that lie.
      {"2^63 parts",
       [&] { set_key(0, "split.count", 1ull << 63); },
       part(0),
       ErrorCode::not_gguf,
       {"impossible number of parts", "0 to 65535", "9223372036854775808"}},
      {"a count of another type",
       [&] {
         parts_[0].string("split.count", "3");
         save();
       },
       part(0),
       ErrorCode::not_gguf,
       {"impossible split key", "got string"}},
      {"a number out of range",
       [&] { set_key(1, "split.no", 3); },
       part(1),
       ErrorCode::not_gguf,
       {"impossible part number", "0 to 2"}},
      {"a later number out of range",
       [&] { set_key(1, "split.no", 3); },
       part(0),
       ErrorCode::not_gguf,
       {"wrong number", "expected 1, got 3"}},
      {"a number that is there twice",
       [&] { set_key(2, "split.no", 1); },
       part(0),
       ErrorCode::not_gguf,
       {"wrong number", "model-00003", "expected 2, got 1"}},
      {"a count of 1 in a later part",
       [&] { set_key(2, "split.count", 1); },
       part(0),
       ErrorCode::not_gguf,
       {"disagree on their number", "model-00003"}},
      {"tensors of another model",
       [&] {
         parts_[1].i32("split.tensors.count", 9);
         save();
       },
       part(0),
       ErrorCode::not_gguf,
       {"of different models", "model-00002", "expected 3, as", "got 9"}},
      {"another architecture",
       [&] {
         parts_[1].string("general.architecture", "other");
         save();
       },
       part(1),
       ErrorCode::not_gguf,
       {"of different models", "model-00002", "'test'", "'other'"}},
      {"a tensor that two parts have",
       [&] {
         parts_[1].remove_tensor("b").tensor("a", {8}, 0, 32);
         save();
       },
       part(0),
       ErrorCode::not_gguf,
       {"same name", "may be of different models"}},

      // Parts in one file.
      {"joined",
       [&] { write(in("j.gguf"), joined()); },
       "j.gguf",
       ErrorCode::not_gguf,
       {"in one file", fmt::format("part 1 at byte 0, part 2 at byte {}, part 3 at byte {}", one, two),
        fmt::format("head -c {} {} > {}", one, in("j.gguf"), in("j-00001-of-00003.gguf")),
        fmt::format("tail -c +{} {} | head -c {} > {}", one + 1, in("j.gguf"), two - one,
                    in("j-00002-of-00003.gguf")),
        fmt::format("tail -c +{} {} > {}", two + 1, in("j.gguf"), in("j-00003-of-00003.gguf")),
        "llama-gguf-split --merge " + in("j-00001-of-00003.gguf")}},
      {"joined in another order",
       [&] { write(in("j.gguf"), parts_[2].build() + parts_[0].build()); },
       "j.gguf",
       ErrorCode::not_gguf,
       {"part 3 at byte 0, part 1 at byte", "Get the other 1 again"}},
      {"joined, and cut short",
       [&] { write(in("j.gguf"), joined().substr(0, two + 90)); },
       "j.gguf",
       ErrorCode::not_gguf,
       {fmt::format("no whole part of this model at byte {}", two), "Get the other 1 again"}},
      {"joined under the name of a part",
       [&] {
         fs::remove(path(1));
         fs::remove(path(2));
         write(path(0), joined());
       },
       part(0),
       ErrorCode::not_gguf,
       {"in one file", "> " + in("model-split-00001-of-00003.gguf")}},

      // Pieces, which cat does join.
      {"the first piece",
       [&] { write(in("w.gguf-split-a"), parts_[0].build().substr(0, 150)); },
       "w.gguf-split-a",
       ErrorCode::not_gguf,
       {"piece of a file", fmt::format("cat {}? > {}", in("w.gguf-split-"), in("w.gguf"))}},
      {"a later piece",
       [&] { write(in("w.gguf.part2of2"), whole); },
       "w.gguf.part2of2",
       ErrorCode::not_gguf,
       {"not a GGUF file", fmt::format("cat {0}.part1of2 {0}.part2of2 > {0}", in("w.gguf"))}},
      {"split(1)'s own names",
       [&] { write(in("w.ggufab"), whole); },
       "w.ggufab",
       ErrorCode::not_gguf,
       {fmt::format("cat {0}[ab]? > {0}", in("w.gguf"))}},
      {"a piece beside what may be the whole",
       [&] {
         write(in("w.gguf.ab"), whole);
         write(in("w.gguf"), "GGUF");
       },
       "w.gguf.ab",
       ErrorCode::not_gguf,
       {fmt::format("cat {}[ab]? > {}", in("w.gguf."), in("w-joined.gguf"))}},
      {"a compressed file, beside the whole",
       [&] {
         write(in("w.gguf"), "GGUF");
         write(in("w.gguf.gz"), "\x1f\x8b\x08" + std::string(2 << 20, 'x'));
       },
       "w.gguf.gz",
       ErrorCode::not_gguf,
       {"a gzip file; unpack it first"}},
      {"another",
       [&] {
         write(in("w.gguf.xz"),
               "\xfd"
               "7zXZ" +
                   std::string(2 << 20, 'x'));
       },
       "w.gguf.xz",
       ErrorCode::not_gguf,
       {"an xz file; unpack it first"}},
      {"names with blanks",
       [&] { write(in("my w.gguf.001"), whole); },
       "my w.gguf.001",
       ErrorCode::not_gguf,
       {fmt::format("cat '{0}.'??? > '{0}'", in("my w.gguf"))}},
      {"a download",
       [&] { write(in("w.gguf.part"), parts_[0].build().substr(0, 150)); },
       "w.gguf.part",
       ErrorCode::not_gguf,
       {"By its name this is a download that has not finished"}},
      {"no piece",
       [&] { write(in("w.gguf.bak"), parts_[0].build().substr(0, 150)); },
       "w.gguf.bak",
       ErrorCode::not_gguf,
       {"damaged or its download was cut short"}},
      {"a pointer in the place of a piece",
       [&] { write(in("w.gguf.part1of2"), "version https://git-lfs"); },
       "w.gguf.part1of2",
       ErrorCode::not_gguf,
       {"Git LFS pointer"}},
  };
  for (const Situation& situation : table) {
    SCOPED_TRACE(situation.name);
    fs::remove_all(folder_.path());
    fs::create_directory(folder_.path());
    fill();
    save();
    situation.make();
    expect_refused(in(situation.opened), situation.code, situation.says);
    // The other ways of opening it may work, or say why not.
    for (const Parts wanted : {Parts::present, Parts::first}) {
      const auto file = File::open(in(situation.opened), wanted);
      EXPECT_TRUE(file.has_value() ? !file->paths().empty() : !file.error().what.empty());
      EXPECT_TRUE(!file || wanted == Parts::first || file->incomplete());
    }
  }
}

// The first is whole, and what follows its data is nobody's; it is not read.
TEST_F(SplitPlacesTest, AModelBeforeAnother) {
  test::GgufBuilder whole;
  whole.tensor("a", {8}, 0, 32);
  write(in("two.gguf"), whole.build() + whole.build());
  const auto file = File::open(in("two.gguf"));
  ASSERT_TRUE(file.has_value()) << to_string(file.error());
  EXPECT_EQ(file->tensors().size(), 1u);
}

// The commands that the error names are run, and what they make is opened.
TEST_F(SplitPlacesTest, TheCommandsTakePartsApart) {
  write(in("j j.gguf"), joined());
  std::string hint = File::open(in("j j.gguf")).error().hint;
  hint = hint.substr(hint.find(": ") + 2);
  hint = hint.substr(0, hint.find(". Then"));
  ASSERT_EQ(std::system(hint.c_str()), 0) << hint;
  expect_whole(in("j j-00002-of-00003.gguf"), in("j j-00001-of-00003.gguf"));
}

TEST_F(SplitPlacesTest, TheCommandJoinsPieces) {
  test::GgufBuilder whole;
  whole.tensor("a", {8}, 0, 32);
  const std::string bytes = whole.build();
  write(in("w.gguf-split-a"), bytes.substr(0, 60));
  write(in("w.gguf-split-b"), bytes.substr(60));
  const std::string hint = File::open(in("w.gguf-split-b")).error().hint;
  ASSERT_EQ(std::system(hint.substr(hint.find("cat ")).c_str()), 0) << hint;
  EXPECT_TRUE(File::open(in("w.gguf")));
}

TEST_F(SplitPlacesTest, APartThatShrinks) {
  save();
  const auto file = File::open(path(0));
  ASSERT_TRUE(file);
  fs::resize_file(path(1), 10);
  EXPECT_FALSE(File::open(path(0)));
}

}  // namespace
}  // namespace trine::gguf
