// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whole trials of migrate-verify without a VM, on whatever nodes this host has. With one node
// nothing can migrate, but content, books and processes are the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "guest/runner/requirements.h"
#include "guest/runner/supervisor.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

class Collector final : public Outlet {
 public:
  void send(const Record& record) override {
    if (const auto* finding = std::get_if<FindingRecord>(&record)) {
      findings.push_back(*finding);
    }
  }
  std::vector<FindingRecord> findings;
};

class MigrateVerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "page maps with PFNs and MPOL_MF_MOVE_ALL are for root";
    }
    plan_.workload = "migrate-verify";
    plan_.seconds = 60;
    plan_.max_rounds = 8;
    plan_.params = {{"small-pages", "32"}, {"huge-pages", "2"}};
  }

  Summary run(const std::string& backing, const std::string& provoke) {
    plan_.params["backing"] = backing;
    plan_.params["provoke"] = provoke;
    return run();
  }

  Summary run() {
    const Registry::Entry* entry = Registry::instance().find(plan_.workload);
    if (entry == nullptr) {
      return {};
    }
    WorkloadInfo info = entry->info;
    info.needs = {};
    Registry registry;
    registry.add(info, entry->make);
    return supervise(plan_, registry, sink_, {});
  }

  GuestPlan plan_;
  Collector sink_;
};

std::string contents(const std::string& path) {
  std::ifstream file(std::string(MMQUAKE_SOURCE_DIR) + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(WritingAWorkload, ItsListingIsTheFile) {
  const std::string example = contents("/workloads/migration/zap_vs_move.cpp");
  ASSERT_FALSE(example.empty());
  EXPECT_THAT(contents("/docs/writing_a_workload.md"), HasSubstr("```cpp\n" + example + "```\n"));
}

TEST_F(MigrateVerifyTest, FindsNothingWhereNothingIsWrong) {
  for (const char* backing : {"anon-4k", "anon-thp", "shmem-4k"}) {
    const Summary summary = run(backing, "none");
    if (summary.outcome == Outcome::kSkipped) {
      continue;  // e.g. no huge pages here
    }
    EXPECT_TRUE(sink_.findings.empty()) << backing << ": " << sink_.findings.front().title;
    EXPECT_EQ(summary.rounds, 8U) << summary.reason;
    EXPECT_GT(summary.counters.at("cells_written"), 0U);
    EXPECT_GT(summary.counters.at("cells_read"), 0U);
    if (read_machine_facts().memory_nodes.size() == 1) {
      EXPECT_EQ(summary.outcome, Outcome::kBroken);
      EXPECT_THAT(summary.reason, HasSubstr("nothing migrated"));
    }
  }
}

TEST_F(MigrateVerifyTest, FindsLostAndMissingData) {
  for (const auto& [backing, provoke, damage] : {std::array{"anon-4k", "lost-write", "stale"},
                                                 {"anon-4k", "zero", "zero"},
                                                 {"shmem-4k", "lost-write", "stale"},
                                                 {"shmem-4k", "zero", "zero"}}) {
    sink_.findings.clear();
    const Summary summary = run(backing, provoke);
    EXPECT_EQ(summary.outcome, Outcome::kFound) << backing << " " << provoke << summary.reason;
    ASSERT_EQ(sink_.findings.size(), 1U);
    EXPECT_EQ(sink_.findings[0].kind, "corruption");
    // Its owner may have been in the middle of a write.
    EXPECT_THAT(sink_.findings[0].title,
                testing::AnyOf(HasSubstr(std::string("memory is ") + damage), HasSubstr("torn")));
    EXPECT_THAT(sink_.findings[0].evidence.at("details"), HasSubstr("page map"));
  }
}

TEST_F(MigrateVerifyTest, TheExampleFindsOldDataOnlyWhenProvoked) {
  plan_.workload = "zap-vs-move";
  plan_.params = {};
  const Summary quiet = run();
  EXPECT_TRUE(sink_.findings.empty());
  EXPECT_EQ(quiet.rounds, 8U) << quiet.reason;
  plan_.params = {{"provoke", "no-zap"}};
  EXPECT_EQ(run().outcome, Outcome::kFound);
  ASSERT_EQ(sink_.findings.size(), 1U);
  EXPECT_EQ(sink_.findings[0].title, "a page came back after MADV_DONTNEED");
}

TEST_F(MigrateVerifyTest, RefusesAProvocationThatTheMemoryCannotHave) {
  const Summary summary = run("anon-4k", "leak");
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("'leak' does not exist for backing anon-4k"));
}

}  // namespace
}  // namespace mmquake
