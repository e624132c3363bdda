// The form of a contract file: each planted defect is named with its line.
#include "contract_fixture.h"

namespace trine::test {
namespace {

using contract::parse_contract;
using contract::Version;

TEST(Document, ReadsEveryPartWithItsLine) {
  const auto parsed = parse_contract(sample(), "sample-v1.yaml");
  EXPECT_TRUE(parsed.findings.empty()) << joined(parsed.findings);
  const contract::Contract& c = parsed.contract;
  EXPECT_EQ(c.id, "sample-v1");
  EXPECT_EQ(c.version, "1.1.0");
  EXPECT_EQ(c.references.at(0).text, "A paper");
  EXPECT_EQ(c.equations.at(0).formula, "a = b");
  EXPECT_EQ(c.equations.at(0).line, 9);
  EXPECT_EQ(c.obligations.at(0).tests.at(0).text, "FALSIFY-SAMPLE-001");
  EXPECT_EQ(c.obligations.at(0).tests.at(0).line, 16);
  EXPECT_EQ(c.stages.at(0).status, contract::StageStatus::shipped);
  EXPECT_EQ(c.amendments.at(1).version, "1.1.0");
  const contract::Falsifier& test = c.tests.at(0);
  EXPECT_EQ(test.line, 30);
  EXPECT_EQ(test.check, "sample.check");
  ASSERT_EQ(test.bounds.size(), 1u);
  EXPECT_EQ(test.bounds[0].relation, "<=");
  EXPECT_EQ(test.bounds[0].limit, 1e-6);
  EXPECT_EQ(test.bounds[0].line, 35);
}

struct Defect {
  const char* name;
  std::size_t at;
  std::vector<std::string> with;
  const char* rule;
  int line;
};

class Form : public testing::TestWithParam<Defect> {};

TEST_P(Form, DefectIsNamedWithItsLine) {
  const Defect& defect = GetParam();
  expect_only(sample(defect.at, defect.with), defect.rule, defect.line);
}

const Defect defects[] = {
    {"NoVersion", 3, {}, "missing", 2},
    {"NoTitle", 4, {}, "missing", 2},
    {"NoReferences", 6, {}, "missing", 2},
    {"EmptyReferences", 6, {"  references: []"}, "missing", 6},
    {"NoFormula", 10, {}, "missing", 9},
    {"EmptyFormula", 10, {"    formula:"}, "missing", 10},
    {"NoInvariants", 12, {}, "missing", 1},
    {"NoProperty", 15, {}, "missing", 14},
    {"NoPrediction", 31, {}, "missing", 30},
    {"NoIfFails", 36, {}, "missing", 30},
    {"NoChanges", 28, {}, "missing", 26},
    {"UnknownTopKey", 12, {"invariants: [a is finite]", "extra: 1"}, "unknown-key", 13},
    {"UnknownMetadataKey", 5, {"  summary: x", "  author: somebody"}, "unknown-key", 6},
    {"UnknownTestKey", 36, {"    if_fails: x", "    tolerance: 0.1"}, "unknown-key", 37},
    {"DuplicateKey", 4, {"  title: A sample", "  title: Another"}, "duplicate-key", 5},
    {"ControlCharacter", 4, {"  title: \"A \\e[2J sample\""}, "yaml", 4},
    {"BytesThatAreNoText", 4, {"  title: A \xff sample"}, "yaml", 4},
    {"HalfACharacterInAKey", 12, {"invariants: [a]", "\xc3: x"}, "yaml", 13},
    {"BytesThatAreNoTextInAComment", 12, {"invariants: [a]  # \xed\xa0\x80"}, "yaml", 12},
    {"DuplicateTopKey", 11, {"preconditions: [x]", "preconditions: [y]"}, "duplicate-key", 12},
    {"DuplicateKeyInFlow", 35, {"      - {figure: a, must_be: \"<= 1\", figure: b}"}, "duplicate-key", 35},
    {"TitleIsAList", 4, {"  title: [A sample]"}, "wrong-type", 4},
    {"ReferencesAreText", 6, {"  references: A paper"}, "wrong-type", 6},
    {"InvariantIsAMapping", 12, {"invariants:", "  - {a: b}"}, "wrong-type", 13},
    {"StatusIsUnknown", 20, {"    status: DONE"}, "wrong-type", 20},
    {"DateIsNone", 27, {"    date: 3 February"}, "wrong-type", 27},
    {"MonthIsNone", 27, {"    date: 2026-13-01"}, "wrong-type", 27},
    {"DayIsNotInTheMonth", 27, {"    date: 2026-02-30"}, "wrong-type", 27},
    {"YearIsNoLeapYear", 27, {"    date: 2026-02-29"}, "wrong-type", 27},
    {"BoundIsNone", 35, {"      - {figure: error, must_be: small}"}, "wrong-type", 35},
    {"BoundIsNan", 35, {"      - {figure: error, must_be: \"<= nan\"}"}, "wrong-type", 35},
    {"BoundHasTail", 35, {"      - {figure: error, must_be: \"<= 1e-6 or so\"}"}, "wrong-type", 35},
    {"EquationId", 9, {"  - id: One"}, "bad-id", 9},
    {"ObligationId", 14, {"  - id: SAMPLE_001"}, "bad-id", 14},
    {"StageId", 18, {"  - id: SAMPLE-1.0"}, "bad-id", 18},
    {"VersionIsNone", 23, {"  - version: 1.0"}, "version", 23},
    {"Anchor", 12, {"invariants: &a [a is finite]"}, "yaml", 12},
    {"Tag", 4, {"  title: !!str A sample"}, "yaml", 4},
};
INSTANTIATE_TEST_SUITE_P(Defects, Form, testing::ValuesIn(defects),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Document, BadIdsOfContractsAndTests) {
  for (const char* id : {"Sample-v1", "sample", "sample-v", "-sample-v1", "sam--ple-v1", "sample-v1x"}) {
    const auto parsed = parse_contract(sample(2, {std::string("  id: ") + id}), "sample-v1.yaml");
    ASSERT_EQ(parsed.findings.size(), 1u) << id;
    EXPECT_EQ(parsed.findings[0].rule, "bad-id");
    EXPECT_EQ(parsed.findings[0].line, 2);
  }
  const auto parsed = parse_contract(sample(30, {"  - id: TEST-1"}), "sample-v1.yaml");
  ASSERT_EQ(parsed.findings.size(), 1u);
  EXPECT_EQ(parsed.findings[0].rule, "bad-id");
}

TEST(Document, TextThatIsNoContract) {
  const auto rule_of = [](const std::string& text) {
    const auto parsed = parse_contract(text, "x.yaml");
    return parsed.findings.empty() ? std::string("none") : parsed.findings[0].rule;
  };
  EXPECT_EQ(rule_of(""), "yaml");
  EXPECT_EQ(rule_of("# only a comment\n"), "yaml");
  EXPECT_EQ(rule_of("a: [1, 2\nb: 3\n"), "yaml");
  EXPECT_EQ(rule_of("- a list\n"), "wrong-type");
  EXPECT_EQ(rule_of("just text\n"), "wrong-type");
  EXPECT_EQ(rule_of(sample() + "---\nsecond: document\n"), "yaml");
  EXPECT_EQ(rule_of("a: *nowhere\n"), "yaml");
  EXPECT_EQ(rule_of(std::string("\0\xff\xfe", 3)), "yaml");
}

TEST(Document, SizesAreBounded) {
  EXPECT_EQ(parse_contract(sample() + std::string(262144 - sample().size(), '\n'), "x.yaml").findings.size(),
            0u);
  EXPECT_EQ(parse_contract(std::string(1 << 20, ' '), "x.yaml").findings.at(0).rule, "limits");
  EXPECT_EQ(parse_contract(std::string(100, '['), "x.yaml").findings.at(0).rule, "limits");
  EXPECT_FALSE(parse_contract(std::string(100000, '['), "x.yaml").findings.empty());
  std::string many = "a: [";
  for (int i = 0; i < 30000; ++i) many += "1,";
  EXPECT_EQ(parse_contract(many + "1]", "x.yaml").findings.at(0).rule, "limits");
  std::string keys;
  for (int i = 0; i < 100; ++i) keys += "key" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(parse_contract(keys, "x.yaml").findings.at(0).rule, "limits");
  // Ten levels of ten aliases each would be ten thousand million values.
  std::string bomb = "a: &a [x]\n";
  for (char name = 'b'; name < 'l'; ++name) {
    bomb += std::string(1, name) + ": &" + name + " [";
    for (int i = 0; i < 10; ++i) bomb += std::string(i == 0 ? "*" : ",*") + static_cast<char>(name - 1);
    bomb += "]\n";
  }
  EXPECT_EQ(parse_contract(bomb, "x.yaml").findings.at(0).rule, "yaml");
}

TEST(Document, Versions) {
  Version version;
  EXPECT_TRUE(contract::parse_version("1.20.3", version));
  EXPECT_EQ(version, (Version{1, 20, 3}));
  for (const char* text :
       {"", "1", "1.2", "1.2.3.4", "1.2.x", "-1.2.3", "01.2.3", "1.2.3 ", "1..3", "99999999999.0.0"})
    EXPECT_FALSE(contract::parse_version(text, version)) << text;
  EXPECT_LT((Version{1, 9, 0}), (Version{1, 10, 0}));
}

}  // namespace
}  // namespace trine::test
