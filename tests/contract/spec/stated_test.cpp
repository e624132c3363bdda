// The contracts that are part of the program are those of the folder, and a bound is stated once for a check.
#include "contract/spec/stated.h"

#include "contract/checks/checks.h"
#include "contract_fixture.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

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

// Two contracts may name one check, and then state the same for a backend that both name.
TEST(StatedBounds, AreOneForEachFigure) {
  std::map<std::string, std::pair<double, std::string>> limits;
  for (const EmbeddedFile& file : contract::contract_files()) {
    const contract::Contract one = contract::parse_contract(file.text, std::string(file.name)).contract;
    for (const contract::Falsifier& test : one.tests)
      for (const Bound& bound : test.bounds)
        for (const contract::Line& backend : test.backends) {
          const std::string key = test.check + " " + backend.text + " " + bound.figure + bound.relation;
          const auto [known, is_new] = limits.emplace(key, std::pair(bound.limit, test.id));
          EXPECT_EQ(known->second.first, bound.limit)
              << key << ": " << known->second.second << ", " << test.id;
        }
  }
  EXPECT_GT(limits.size(), 50u);
}

TEST(StatedBounds, DependOnTheBackend) {
  const auto cosine = [](std::string_view backend) {
    return contract::limit_of(contract::stated_bounds("gate.reference-vs-transformers", backend),
                              "logits cosine");
  };
  EXPECT_GT(cosine("reference"), cosine("wgpu")) << "golden logits are closer to the definition";
  EXPECT_EQ(cosine("cuda"), cosine("wgpu"));
}

TEST(StatedBounds, AFigureThatIsNotThereIsHeldByNothing) {
  EXPECT_TRUE(std::isnan(contract::limit_of(contract::stated_bounds("router.weights"), "moe_out cosine")));
  EXPECT_TRUE(contract::stated_bounds("swiglu.sign").empty());
  EXPECT_DEATH(static_cast<void>(contract::stated_bounds("router.wieghts")), "a contract has a test");
}

}  // namespace
}  // namespace trine::test
