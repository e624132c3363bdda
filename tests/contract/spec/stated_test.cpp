// The contracts that are part of the program are those of the folder, and a bound is stated once for a check.
#include "contract/spec/stated.h"

#include "base/file.h"
#include "contract_fixture.h"

#include <filesystem>
#include <set>
#include <vector>

namespace trine::test {
namespace {

using contract::Bound;

TEST(StatedBounds, AreThoseOfTheFolder) {
  std::set<std::string> built_in, folder;
  for (const EmbeddedFile& file : contract::contract_files()) {
    built_in.emplace(file.name);
    const std::string path = TRINE_SOURCE_DIR "/contracts/" + std::string(file.name);
    const auto text = read_file(path);
    ASSERT_TRUE(text) << path;
    EXPECT_EQ(file.text, *text);
    const contract::ParsedContract parsed = contract::parse_contract(file.text, std::string(file.name));
    EXPECT_TRUE(parsed.findings.empty()) << file.name;
  }
  for (const auto& entry : std::filesystem::directory_iterator(TRINE_SOURCE_DIR "/contracts"))
    if (entry.path().extension() == ".yaml") folder.insert(entry.path().filename());
  EXPECT_EQ(built_in, folder);
}

// Every check that a contract bounds can be asked, alone or for each of its backends: two contracts that name
// one check state the same.
TEST(StatedBounds, AreOneForEachFigure) {
  std::size_t asked = 0;
  for (const EmbeddedFile& file : contract::contract_files()) {
    const contract::Contract one = contract::parse_contract(file.text, std::string(file.name)).contract;
    for (const contract::Falsifier& test : one.tests) {
      if (test.check.empty()) continue;
      std::vector<std::string> backends;
      for (const contract::Line& backend : test.backends) backends.push_back(backend.text);
      // Golden logits are closer to the definition than to what computes in fp32.
      if (test.check != "gate.reference-vs-transformers") backends.emplace_back();
      for (const std::string& backend : backends) {
        const std::vector<Bound> bounds = contract::stated_bounds(test.check, backend);
        for (const Bound& bound : test.bounds) {
          const Bound& stated = contract::bound_of(bounds, bound.figure);
          EXPECT_EQ(stated.text(), bound.text()) << test.id << " " << backend;
          ++asked;
        }
      }
    }
  }
  EXPECT_GT(asked, 200u);
}

TEST(StatedBounds, DependOnTheBackend) {
  const auto cosine = [](std::string_view backend) {
    return contract::limit_of(contract::stated_bounds("gate.reference-vs-transformers", backend),
                              "logits cosine");
  };
  EXPECT_GT(cosine("reference"), cosine("wgpu")) << "golden logits are closer to the definition";
  EXPECT_EQ(cosine("cuda"), cosine("wgpu"));
}

TEST(StatedBoundsDeathTest, WhatIsNotThereIsABug) {
  EXPECT_TRUE(contract::stated_bounds("swiglu.sign").empty());
  const std::vector<Bound> bounds = contract::stated_bounds("router.weights");
  EXPECT_DEATH(contract::bound_of(bounds, "moe_out cosine"), "a bound for this figure");
  EXPECT_DEATH(contract::stated_bounds("router.wieghts"), "a contract has a test");
  EXPECT_DEATH(contract::stated_bounds("gate.reference-vs-transformers"), "one bound for a figure");
}

}  // namespace
}  // namespace trine::test
