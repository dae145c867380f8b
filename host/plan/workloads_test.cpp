// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/workloads.h"

#include <gmock/gmock.h>

#include "guest/protocol/records.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// As guest/runner/describe.cpp writes it.
std::string described() {
  return "{\"protocol\": " + std::to_string(kProtocolVersion) + R"(,
 "workloads": [
  {"name": "uffd-thp-wait", "summary": "s", "exercises": ["userfaultfd"], "needs": {"cpus": 2},
   "params": [
    {"name": "variant", "type": "choice", "choices": ["shmem-missing", "anon-wp"],
     "default": "anon-wp", "help": "h"},
    {"name": "regions", "type": "integer", "min": 1, "max": 16, "default": "4", "help": "h"}]},
  {"name": "migrate-verify", "summary": "s", "exercises": [], "params": []},
  {"name": "selftest-hang", "summary": "s"}
 ]})";
}

class WorkloadsTest : public testing::Test {
 protected:
  std::string refusal(const std::string& workload,
                      const std::map<std::string, std::string>& params) {
    const auto checked = catalogue_.check_params(workload, params);
    EXPECT_FALSE(checked);
    if (checked) return "";
    EXPECT_EQ(checked.error().kind, ErrorKind::kUsage);
    return checked.error().message;
  }
  WorkloadCatalogue catalogue_ = WorkloadCatalogue::parse(described()).value();
};

TEST_F(WorkloadsTest, ReadsWhatTheGuestSays) {
  ASSERT_EQ(catalogue_.all().size(), 3U);
  EXPECT_EQ(catalogue_.all()[0].name, "migrate-verify") << "sorted";
  const auto wait = catalogue_.find("uffd-thp-wait").value();
  EXPECT_THAT(wait.exercises, testing::ElementsAre("userfaultfd"));
  ASSERT_EQ(wait.params.size(), 2U);
  EXPECT_EQ(wait.params[0].type, WorkloadParam::Type::kChoice);
  EXPECT_EQ(wait.params[0].default_value, "anon-wp");
  EXPECT_EQ(wait.params[1].min, 1);
  EXPECT_EQ(wait.params[1].max, 16);
  EXPECT_EQ(wait.params[1].default_value, "4");
  EXPECT_TRUE(catalogue_.find("selftest-hang").value().hidden);
}

TEST_F(WorkloadsTest, AnUnknownWorkloadGetsTheNearest) {
  EXPECT_THAT(refusal("migrate-verfy", {}), AllOf(HasSubstr("unknown workload 'migrate-verfy'"),
                                                  HasSubstr("did you mean 'migrate-verify'?")));
  EXPECT_THAT(refusal("selftest", {}), testing::Not(HasSubstr("selftest-hang")));
}

TEST_F(WorkloadsTest, ParametersHaveNamesAndRanges) {
  EXPECT_TRUE(catalogue_.check_params("uffd-thp-wait", {}));
  EXPECT_TRUE(
      catalogue_.check_params("uffd-thp-wait", {{"variant", "anon-wp"}, {"regions", "16"}}));
  EXPECT_THAT(refusal("uffd-thp-wait", {{"varaint", "anon-wp"}}),
              AllOf(HasSubstr("workload 'uffd-thp-wait': unknown parameter 'varaint'"),
                    HasSubstr("did you mean 'variant'?")));
  EXPECT_THAT(refusal("migrate-verify", {{"x", "1"}}), HasSubstr("there are none"));
  EXPECT_THAT(refusal("uffd-thp-wait", {{"variant", "anon"}}),
              HasSubstr("'variant' is 'anon'; it must be one of shmem-missing, anon-wp"));
  for (const char* value : {"0", "17", "-1", "", "4 ", "0x4", "4.0", "99999999999999999999"}) {
    EXPECT_THAT(refusal("uffd-thp-wait", {{"regions", value}}),
                HasSubstr("it must be an integer from 1 to 16"))
        << value;
  }
  EXPECT_THAT(refusal("uffd-thp-wait", {{"regions", "\x1b[2J"}}), HasSubstr("'\\x1b[2J'"));
}

TEST(ParseWorkloads, AnythingElseIsAnotherBuild) {
  const std::string protocol = "{\"protocol\": " + std::to_string(kProtocolVersion);
  for (const std::string& text :
       {std::string(), std::string("Segmentation fault"), std::string("[]"), std::string("{}"),
        protocol + "}", protocol + ", \"workloads\": 1}", protocol + ", \"workloads\": [1]}",
        protocol + ", \"workloads\": [{\"name\": 1}]}",
        protocol + R"(, "workloads": [{"name": "w", "params": [{"name": "p"}]}]})",
        std::string("{\"protocol\": 999, \"workloads\": []}")}) {
    const auto parsed = WorkloadCatalogue::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kBroken);
    EXPECT_THAT(parsed.error().message, HasSubstr("from one source"));
  }
}

class OpenWorkloadsTest : public testing::Test {
 protected:
  // A guest binary that is this shell script.
  fs::path guest(const std::string& script) {
    fs::path path = tree_.write("mmquake-guest", "#!/bin/sh\n" + script);
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  TestTree tree_;
};

TEST_F(OpenWorkloadsTest, AsksTheBinary) {
  tree_.write("described.json", described());
  const auto opened = WorkloadCatalogue::open(
      guest("[ \"$1\" = --describe ] && cat " + (tree_.root() / "described.json").string()));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->all().size(), 3U);
}

TEST_F(OpenWorkloadsTest, ReadsMoreThanTheTailOfALongAnswer) {
  std::string text = described();
  std::string filler;
  for (int i = 0; i < 4000; ++i) filler += "  \"a line of filler, which is no workload\",\n";
  text.insert(1, "\"filler\": [\n" + filler + "\"\"],\n");
  ASSERT_GT(text.size(), 128U << 10);
  tree_.write("described.json", text);
  const auto opened =
      WorkloadCatalogue::open(guest("cat " + (tree_.root() / "described.json").string()));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->all().size(), 3U);
}

TEST_F(OpenWorkloadsTest, SaysWhatTheBinaryDid) {
  const auto failed = WorkloadCatalogue::open(guest("echo no such option; exit 3\n"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(failed.error().message, AllOf(HasSubstr("exit code 3"), HasSubstr("no such option")));
  const auto absent = WorkloadCatalogue::open(tree_.root() / "none");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(absent.error().message, HasSubstr("none"));
}

}  // namespace
}  // namespace mmquake
