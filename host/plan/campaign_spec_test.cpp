// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/campaign_spec.h"

#include <gmock/gmock.h>

#include "guest/protocol/records.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kCampaign = R"(summary = "s"
budget = "8h"
kernels = ["clean", "other"]
machines = ["m"]
cases = ["one"]
[[workload]]
name = "migrate-verify"
weight = 2
seconds = 45
[workload.params]
backing = "anon-thp"
)";

class CampaignSpecTest : public testing::Test {
 protected:
  CampaignSpecTest() {
    const std::string kernel =
        "summary = \"s\"\nsource = \"debian:linux-source-6.1\"\nfragments = [\"base.config\"]\n";
    tree_.write("configs/fragments/base.config", "");
    for (const char* name : {"clean", "other", "assert"}) {
      tree_.write(std::string("configs/kernels/") + name + ".toml", kernel);
    }
    tree_.write("configs/machines/m.toml",
                "summary = \"s\"\n[[node]]\ncpus = 1\nmemory = \"1G\"\n");
    add_case("one", "clean");
    add_case("two", "assert");
  }
  void add_case(const std::string& name, const std::string& clean_kernel) {
    tree_.write("configs/cases/" + name + ".toml",
                "summary = \"s\"\nworkload = \"uffd-thp-wait\"\nmachine = \"m\"\n"
                "[bug]\nkernel = \"other\"\n[clean]\nkernel = \"" +
                    clean_kernel +
                    "\"\nseconds = 20\n[expect]\nkinds = [\"hang\"]\ntitles = [\"hang in f\"]\n"
                    "[[widen]]\nsite = \"f\"\nmax_us = 5\n");
  }
  Result<CampaignSpec> read(const std::string& text) {
    path_ = tree_.write("configs/campaigns/c.toml", text);
    const Catalogue catalogue(tree_.root() / "configs");
    return read_campaign_spec(catalogue.campaign_file("c").value(), catalogue, workloads_);
  }
  // Where and what: "LINE:COLUMN: ...".
  std::string complaint(const std::string& text) {
    const auto spec = read(text);
    EXPECT_FALSE(spec) << text;
    if (spec) return "";
    EXPECT_EQ(spec.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(spec.error().message, StartsWith(path_.string() + ":"));
    return spec.error().message.substr(path_.string().size() + 1);
  }
  static std::string with(const std::string& from, const std::string& to) {
    std::string text = kCampaign;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    return text.replace(text.find(from), from.size(), to);
  }

  TestTree tree_;
  std::filesystem::path path_;
  WorkloadCatalogue workloads_ =
      WorkloadCatalogue::parse("{\"protocol\": " + std::to_string(kProtocolVersion) +
                               R"(, "workloads": [
  {"name": "uffd-thp-wait", "params": []},
  {"name": "migrate-verify", "params": [{"name": "backing", "type": "choice",
    "choices": ["all", "anon-thp"], "default": "all"}]}]})")
          .value();
};

std::vector<std::string> labels(const CampaignSpec& spec) {
  std::vector<std::string> out;
  for (const CampaignItem& item : spec.items) out.push_back(item_label(item));
  return out;
}

TEST_F(CampaignSpecTest, IsKernelsTimesMachinesTimesWorkloads) {
  const auto spec = read(kCampaign);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "c");
  EXPECT_EQ(spec->text, kCampaign);
  EXPECT_DOUBLE_EQ(spec->budget_seconds, 28800);
  EXPECT_THAT(labels(*spec), ElementsAre("one on clean", "one on other",
                                         "migrate-verify backing=anon-thp on clean, m",
                                         "migrate-verify backing=anon-thp on other, m"));
  EXPECT_DOUBLE_EQ(spec->items[0].seconds, 20) << "the case's clean side";
  ASSERT_EQ(spec->items[0].widen.size(), 1U);
  EXPECT_DOUBLE_EQ(spec->items[2].seconds, 45);
  EXPECT_DOUBLE_EQ(spec->items[2].weight, 2);
}

TEST_F(CampaignSpecTest, WithoutKernelsEachCaseHasItsOwnCleanOne) {
  const auto spec = read("summary = \"s\"\ntrials = 5\ncases = \"all\"\ntrial_seconds = 7\n");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_THAT(labels(*spec), ElementsAre("one on clean", "two on assert"));
  EXPECT_EQ(spec->budget_trials, 5U);
  EXPECT_DOUBLE_EQ(spec->items[1].seconds, 7);
}

TEST_F(CampaignSpecTest, MistakesAreShownWhereTheyAre) {
  EXPECT_THAT(complaint(with("budget = \"8h\"", "budget = \"8 hours\"")),
              AllOf(StartsWith("2:10: "), HasSubstr("1h30m")));
  EXPECT_THAT(complaint(with("budget = \"8h\"\n", "")), HasSubstr("'budget' is missing"));
  EXPECT_THAT(complaint(with("\"other\"]", "\"claen\"]")),
              AllOf(StartsWith("3:21: "), HasSubstr("did you mean 'clean'")));
  EXPECT_THAT(complaint(with("[\"m\"]", "[\"n\"]")), StartsWith("4:13: "));
  EXPECT_THAT(complaint(with("[\"one\"]", "[\"oen\"]")),
              AllOf(StartsWith("5:10: "), HasSubstr("did you mean 'one'")));
  EXPECT_THAT(complaint(with("[\"one\"]", "\"every\"")),
              AllOf(StartsWith("5:9: "), HasSubstr("\"all\"")));
  EXPECT_THAT(complaint(with("\"migrate-verify\"", "\"migrate-verfy\"")),
              AllOf(StartsWith("7:8: "), HasSubstr("did you mean 'migrate-verify'")));
  EXPECT_THAT(complaint(with("weight = 2", "weight = 0")), HasSubstr("0.001 to 1000"));
  EXPECT_THAT(complaint(with("weight = 2", "wieght = 2")), HasSubstr("did you mean 'weight'"));
  EXPECT_THAT(complaint(with("\"anon-thp\"", "\"anon\"")),
              AllOf(StartsWith("11:11: "), HasSubstr("all, anon-thp")));
  EXPECT_THAT(complaint(with("seconds = 45", "seconds = 0")), HasSubstr("1 to 86400"));
  EXPECT_THAT(complaint(std::string(kCampaign) + "[[workload]]\nname = \"migrate-verify\"\n"
                                                 "params = {backing = \"anon-thp\"}\n"),
              HasSubstr("twice"));
  EXPECT_THAT(complaint("summary = \"s\"\ntrials = 1\n"), HasSubstr("'cases' is missing"));
  EXPECT_THAT(complaint("summary = \"s\"\ntrials = 1\n[[workload]]\nname = \"migrate-verify\"\n"),
              AllOf(HasSubstr("kernels' is missing"), HasSubstr("machines' is missing")));
  EXPECT_THAT(complaint("summary = "), StartsWith("1:"));
}

TEST_F(CampaignSpecTest, ComposeIsOneItemForEachKernelMachineAndSwitch) {
  tree_.write("configs/kernels/buggy.toml",
              "summary = \"s\"\nsource = \"debian:linux-source-6.1\"\nfragments = "
              "[\"base.config\"]\npatches = [\"p.patch\"]\nbugs = [\"b-one\", \"b-two\"]\n");
  tree_.write("images/patches/p.patch", "");
  const auto spec = read(R"(summary = "s"
trials = 10
machines = ["m"]
[[compose]]
kernels = ["clean"]
learn = false
trials_per_boot = 12
[[compose]]
kernels = ["buggy"]
bugs = "each"
)");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_FALSE(spec->composer_learns);
  ASSERT_EQ(spec->items.size(), 3U);
  for (const CampaignItem& item : spec->items) EXPECT_TRUE(item.composed);
  EXPECT_EQ(item_label(spec->items[0]), "compose on clean, m");
  EXPECT_EQ(spec->items[0].trials_per_boot, 12U);
  EXPECT_EQ(spec->items[1].trials_per_boot, 1U);
  EXPECT_EQ(item_label(spec->items[2]), "compose with b-two on buggy, m");
  EXPECT_THAT(spec->items[1].bugs, ElementsAre("b-one"));

  const auto wrong = read(R"(summary = "s"
trials = 10
machines = ["m"]
[[compose]]
kernels = ["buggy"]
bugs = ["b-three"]
)");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("kernel 'buggy' has no switch 'b-three'"));
}

TEST_F(CampaignSpecTest, ComposeMaySayWhatIsDrawn) {
  const auto spec = read(R"(summary = "s"
trials = 10
machines = ["m"]
kernels = ["clean"]
[[compose]]
[[compose]]
backings = ["hugetlb-1g", "anon-4k"]
[[compose]]
backings = ["shmem-thp"]
movers = []
disturbers = ["dontneed", "punch-hole"]
)");
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->items.size(), 3U);
  EXPECT_TRUE(spec->items[0].only.empty());
  EXPECT_THAT(spec->items[1].only.at(Slot::kBacking), ElementsAre("hugetlb-1g", "anon-4k"));
  EXPECT_EQ(item_label(spec->items[1]), "compose hugetlb-1g anon-4k on clean, m");
  EXPECT_TRUE(spec->items[2].only.at(Slot::kMover).empty());
  EXPECT_THAT(spec->items[2].only.at(Slot::kDisturber), ElementsAre("dontneed", "punch-hole"));
  EXPECT_FALSE(spec->items[2].only.contains(Slot::kWatcher));
  EXPECT_EQ(item_label(spec->items[2]),
            "compose shmem-thp no-mover disturber: dontneed punch-hole on clean, m");
  CampaignItem named = spec->items[2];
  named.label = "who truncates";
  EXPECT_EQ(item_label(named), "who truncates on clean, m");

  const auto wrong = read(R"(summary = "s"
trials = 10
machines = ["m"]
kernels = ["clean"]
[[compose]]
backings = ["hugetlb-2g"]
)");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("mmquake compose --space"));

  const auto mover = read(R"(summary = "s"
trials = 10
machines = ["m"]
kernels = ["clean"]
[[compose]]
label = 7
backings = []
movers = ["dontneed"]
)");
  ASSERT_FALSE(mover);
  EXPECT_THAT(mover.error().message, HasSubstr("must name one at least"));
  EXPECT_THAT(mover.error().message, HasSubstr("is no mover"));
  EXPECT_THAT(mover.error().message, HasSubstr("label"));
}

TEST_F(CampaignSpecTest, ComposeHasTheRootsSitesOrItsOwn) {
  const auto spec = read(R"(summary = "s"
trials = 10
machines = ["m"]
kernels = ["clean"]
widen = ["one:1-2", "two:1-2"]
[[compose]]
[[compose]]
kernels = ["other"]
widen = ["three:1-2"]
)");
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->items.size(), 2U);
  ASSERT_EQ(spec->items[0].widen_choices.size(), 2U);
  EXPECT_EQ(spec->items[0].widen_choices[1].site, "two");
  EXPECT_TRUE(spec->items[0].widen_choices[1].may_miss);
  ASSERT_EQ(spec->items[1].widen_choices.size(), 1U);
  EXPECT_EQ(spec->items[1].widen_choices[0].site, "three");

  const auto nobody = read(R"(summary = "s"
trials = 10
widen = ["one:1-2"]
kernels = ["clean"]
machines = ["m"]
[[workload]]
name = "w"
)");
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("is for [[compose]]"));
}

TEST_F(CampaignSpecTest, UnknownCampaignHasSuggestions) {
  ASSERT_TRUE(read(kCampaign));
  tree_.write("configs/campaigns/nightly.toml", kCampaign);
  const auto found = Catalogue(tree_.root() / "configs").campaign_file("nihgtly");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("did you mean 'nightly'"));
}

// The campaigns that come with mmquake, with its own catalogue; the workloads are the guest's.
TEST(OwnCampaigns, NameOnlyWhatIsThere) {
  const Catalogue catalogue(std::filesystem::path(MMQUAKE_SOURCE_DIR) / "configs");
  EXPECT_THAT(catalogue.campaign_names(), testing::IsSupersetOf({"clean", "nightly"}));
}

}  // namespace
}  // namespace mmquake
