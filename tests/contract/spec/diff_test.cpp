#include "contract/spec/diff.h"

#include "contract/spec/graph.h"
#include "contract_fixture.h"

namespace trine::test {
namespace {

std::vector<std::string> changes(std::size_t at, const std::vector<std::string>& with) {
  return contract::diff(contract::parse_contract(sample(), "a.yaml").contract,
                        contract::parse_contract(sample(at, with), "b.yaml").contract);
}

using Sentences = std::vector<std::string>;

TEST(Diff, NothingDiffers) {
  EXPECT_EQ(changes(0, {}), Sentences{});
}

TEST(Diff, BoundsTightenAndLoosen) {
  EXPECT_EQ(changes(35, {"      - {figure: error, must_be: \"<= 1e-7\"}"}),
            Sentences{"test FALSIFY-SAMPLE-001: bound on 'error' tightened from <= 1e-06 to <= 1e-07"});
  EXPECT_EQ(changes(35, {"      - {figure: error, must_be: \"<= 1e-3\"}"}),
            Sentences{"test FALSIFY-SAMPLE-001: bound on 'error' loosened from <= 1e-06 to <= 0.001"});
  EXPECT_EQ(changes(35, {"      - {figure: cosine, must_be: \">= 0.9\"}"}),
            (Sentences{"test FALSIFY-SAMPLE-001: bound 'error <= 1e-06' removed",
                       "test FALSIFY-SAMPLE-001: bound 'cosine >= 0.9' added"}));
}

TEST(Diff, PartsComeGoAndChange) {
  EXPECT_EQ(changes(12, {"invariants: [a is finite, b too]"}), Sentences{"invariant added: b too"});
  EXPECT_EQ(changes(9, {"  - id: two"}), (Sentences{"equation one removed", "equation two added"}));
  EXPECT_EQ(changes(10, {"    formula: \"a = c\""}),
            Sentences{"equation one: formula changed from \"a = b\" to \"a = c\""});
  EXPECT_EQ(changes(20, {"    status: PLANNED"}),
            Sentences{"stage M-SAMPLE-1.0 went from SHIPPED to PLANNED"});
  EXPECT_EQ(
      changes(32, {"    check: other.check"}),
      Sentences{"test FALSIFY-SAMPLE-001: what it runs changed from \"sample.check\" to \"other.check\""});
  EXPECT_EQ(changes(33, {"    backends: [cpu, cuda]"}),
            Sentences{"test FALSIFY-SAMPLE-001: backend added: cuda"});
}

TEST(Graph, IsMermaid) {
  contract::Contract a, b;
  a.id = "a-v1";
  a.version = "1.0.0";
  a.title = "The \"first\"";
  a.depends_on = {{"b-v1", 1}};
  b.id = "b-v1";
  b.version = "2.0.0";
  b.title = "Second";
  EXPECT_EQ(contract::dependency_graph(std::vector<contract::Contract>{b, a}),
            "flowchart TD\n"
            "  a-v1[\"a-v1 1.0.0<br>The #quot;first#quot;\"]\n"
            "  b-v1[\"b-v1 2.0.0<br>Second\"]\n"
            "  a-v1 --> b-v1\n");
}

}  // namespace
}  // namespace trine::test
