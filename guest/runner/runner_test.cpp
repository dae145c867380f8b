// SPDX-License-Identifier: GPL-2.0-or-later
//
// The runner's parts: random streams, counters, parameters, requirements, blame.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "guest/runner/bug_switches.h"
#include "guest/runner/describe.h"
#include "guest/runner/evidence.h"
#include "guest/runner/params.h"
#include "guest/runner/requirements.h"
#include "guest/runner/shared_counters.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(RandomStream, IsDecidedBySeedAndName) {
  Random a(1, "x");
  Random b(1, "x");
  Random other_stream(1, "y");
  Random other_seed(2, "x");
  const std::uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, other_stream.next());
  EXPECT_NE(first, other_seed.next());
}

TEST(RandomStream, BelowStaysBelowAndIsEven) {
  Random random(3, "even");
  std::array<int, 6> seen{};
  for (int i = 0; i < 60'000; ++i) {
    ++seen.at(random.below(6));
  }
  for (const int count : seen) {
    EXPECT_NEAR(count, 10'000, 600);
  }
  EXPECT_EQ(random.below(1), 0U);
}

TEST(RandomStream, ChanceFollowsItsProbability) {
  Random random(4, "chance");
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_FALSE(random.chance(0));
    EXPECT_TRUE(random.chance(1));
    hits += random.chance(0.25) ? 1 : 0;
  }
  EXPECT_NEAR(hits, 2500, 250);
}

TEST(SharedCountersDeathTest, AFullTableAndABadNameAbortWithAMessage) {
  Result<SharedMapping> state = SharedMapping::create();
  ASSERT_TRUE(state);
  SharedCounters counters(**state);
  EXPECT_DEATH(counters.get(std::string(200, 'n')), "at most 1024 counters");
  for (std::size_t i = 0; i < kMaxCounters; ++i) {
    counters.get("c" + std::to_string(i)).add(i);
  }
  EXPECT_EQ(counters.get("c9").value(), 9U);
  EXPECT_EQ(counters.values().size(), kMaxCounters);
  EXPECT_DEATH(counters.get("one too many"), "cannot make counter 'one too many'");
  EXPECT_DEATH(Counter().add(), "never made");
}

TEST(RegistryDeathTest, TwoOfOneNameAbort) {
  Registry registry;
  WorkloadInfo info;
  info.name = "twin";
  registry.add(info, [] { return nullptr; });
  EXPECT_NE(registry.find("twin"), nullptr);
  EXPECT_EQ(registry.find("other"), nullptr);
  EXPECT_DEATH(registry.add(info, [] { return nullptr; }), "two workloads are called 'twin'");
}

WorkloadInfo sample() {
  WorkloadInfo info;
  info.name = "sample";
  info.summary = "a sample";
  info.params = {{"pages", ParamSpec::Type::kInteger, "4", 1, 512, {}, "how many"},
                 {"backing", ParamSpec::Type::kChoice, "anon", 0, 0, {"anon", "shmem"}, "of what"}};
  return info;
}

TEST(Params, DefaultsAndValues) {
  const Result<ParamValues> values = resolve_params(sample(), {{"pages", "512"}});
  ASSERT_TRUE(values);
  EXPECT_EQ(values->at("pages"), "512");
  EXPECT_EQ(values->at("backing"), "anon");
}

TEST(Params, NonsenseIsNamedWithItsRange) {
  for (const char* bad : {"0", "513", "-1", "", "x", "4x", " 4", "99999999999999999999", "1e2"}) {
    const Result<ParamValues> values = resolve_params(sample(), {{"pages", bad}});
    ASSERT_FALSE(values) << bad;
    EXPECT_THAT(values.error().message, HasSubstr("parameter 'pages' of workload 'sample'"));
    EXPECT_THAT(values.error().message, HasSubstr("from 1 to 512"));
  }
  EXPECT_THAT(resolve_params(sample(), {{"backing", "tape"}}).error().message,
              HasSubstr("one of: anon, shmem"));
  EXPECT_THAT(resolve_params(sample(), {{"colour", "red"}}).error().message,
              HasSubstr("no parameter 'colour'; it has: backing, pages"));
}

TEST(Describe, NamesEveryParameter) {
  Registry registry;
  registry.add(sample(), [] { return nullptr; });
  const std::string text = describe(registry);
  EXPECT_THAT(text, HasSubstr("\"name\": \"sample\""));
  EXPECT_THAT(text, HasSubstr("\"max\": 512"));
  EXPECT_THAT(text, HasSubstr("\"shmem\""));
}

TEST(Requirements, CpuLists) {
  EXPECT_THAT(parse_cpu_list("0-2,5\n"), ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(parse_cpu_list("3"), ElementsAre(3));
  EXPECT_THAT(parse_cpu_list(""), ElementsAre());
  EXPECT_THAT(parse_cpu_list("\n"), ElementsAre());
  EXPECT_THAT(parse_cpu_list("1,x"), ElementsAre(1));
}

// A /sys and /proc of our own.
class FakeRoot : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/mmquake-root-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

Needs needs(int nodes, int cpus, std::uint64_t mib = 0) {
  Needs out;
  out.numa_nodes = nodes;
  out.cpus = cpus;
  out.free_mib_per_node = mib;
  return out;
}

TEST_F(FakeRoot, EachLackIsNamed) {
  put("/sys/devices/system/node/has_memory", "0-1\n");
  put("/sys/devices/system/node/node0/meminfo",
      "Node 0 MemTotal: 9 kB\nNode 0 MemFree: 65536 kB\n");
  put("/sys/devices/system/node/node1/meminfo", "Node 1 MemFree: 1024 kB\n");
  put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  MachineFacts facts = read_machine_facts(root_);
  EXPECT_THAT(facts.memory_nodes, ElementsAre(0, 1));
  facts.cpus = {0, 1};
  const auto lack = [&](const Needs& asked) {
    const Result<> met = check_needs(asked, facts, root_);
    EXPECT_FALSE(met);
    EXPECT_EQ(met ? ErrorKind::kBroken : met.error().kind, ErrorKind::kSkipped);
    return met ? std::string() : met.error().message;
  };
  EXPECT_TRUE(check_needs(needs(2, 2), facts, root_));
  EXPECT_TRUE(check_needs(needs(1, 1, 64), facts, root_));
  EXPECT_THAT(lack(needs(3, 1)), HasSubstr("2 NUMA node(s) with memory, the workload needs 3"));
  EXPECT_THAT(lack(needs(1, 3)), HasSubstr("2 CPU(s), the workload needs 3"));
  EXPECT_THAT(lack(needs(2, 1, 64)), HasSubstr("node 1 has 1 MiB"));
  Needs file;
  file.files = {"/proc/x"};
  EXPECT_THAT(lack(file), HasSubstr("/proc/x"));
  Needs thp;
  thp.thp = true;
  EXPECT_THAT(lack(thp), HasSubstr("never"));
}

TEST_F(FakeRoot, HugetlbPagesAreGivenBack) {
  const std::string file = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
  EXPECT_FALSE(HugetlbReservation::reserve(4, {0}, root_));
  put(file, "3\n");
  std::uint64_t pages = 0;
  {
    const Result<HugetlbReservation> reserved = HugetlbReservation::reserve(4, {0}, root_);
    ASSERT_TRUE(reserved);
    std::ifstream(root_ + file) >> pages;
    EXPECT_EQ(pages, 7U);
  }
  std::ifstream(root_ + file) >> pages;
  EXPECT_EQ(pages, 3U);
  EXPECT_TRUE(HugetlbReservation::reserve(0, {5}, root_));
}

TEST(Blame, SkipsTheSchedulerAndTheLocks) {
  EXPECT_EQ(blamed_function("[<0>] schedule+0x5a/0xc0\n[<0>] handle_userfault.isra.0+0x1f/0x50\n"
                            "[<0>] __handle_mm_fault+0x1/0x2\n",
                            ""),
            "handle_userfault");
  EXPECT_EQ(blamed_function("[<0>] rwsem_down_write_slowpath+0x1/0x2\n[<0>] down_write+0x1/0x2\n"
                            "[<0>] vma_merge+0x1/0x2\n",
                            "x"),
            "vma_merge");
  EXPECT_EQ(blamed_function("[<0>] futex_wait_queue+0x1/0x2\n", ""), "futex_wait_queue");
  EXPECT_EQ(blamed_function("[/proc/1/stack: Permission denied]", "pipe_read"), "pipe_read");
  EXPECT_EQ(blamed_function("", ""), "");
}

TEST(BugSwitches, OnlyThoseThatAreOnAreCounted) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(testing::TempDir()) / ("bugs-" + std::to_string(getpid()));
  for (const auto& [name, on] : {std::pair{"one", "Y"}, std::pair{"two", "N"}}) {
    fs::create_directories(root / name);
    std::ofstream(root / name / "on") << on << "\n";
    std::ofstream(root / name / "hits") << "7\n";
  }
  EXPECT_EQ(bug_hits(root), (Counters{{"bug-hits/one", 7}}));
  fs::remove_all(root);
  EXPECT_TRUE(bug_hits(root).empty()) << "a kernel without switches";
}

TEST(Evidence, ATaskThatIsGone) {
  const TaskEvidence seen = take_evidence(getpid(), 0);
  EXPECT_FALSE(seen.alive);
  EXPECT_TRUE(seen.wchan.empty());
}

TEST(Evidence, WhoAsksIsRunnableAndWhoReadsAnEmptyPipeIsNot) {
  EXPECT_TRUE(is_runnable(getpid(), gettid()));
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  std::atomic<int> tid{0};
  std::thread reader([&] {
    tid.store(gettid());
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
  });
  while (tid.load() == 0 || is_runnable(getpid(), tid.load())) {
    std::this_thread::yield();
  }
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  reader.join();
  EXPECT_FALSE(is_runnable(getpid(), tid.load())) << "it is gone";
  close(ends[0]);
  close(ends[1]);
}

TEST(Evidence, OurselvesAreAliveAndHaveAStatus) {
  const TaskEvidence seen = take_evidence(getpid(), getpid());
  EXPECT_TRUE(seen.alive);
  EXPECT_THAT(seen.status, HasSubstr("Threads:"));
}

}  // namespace
}  // namespace mmquake
