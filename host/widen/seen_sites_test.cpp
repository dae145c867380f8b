// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/seen_sites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> names(const std::vector<SiteSeen>& sites) {
  std::vector<std::string> out;
  out.reserve(sites.size());
  for (const SiteSeen& seen : sites) out.push_back(seen.side + ": " + seen.function);
  return out;
}

TEST(SitesSeen, AreTakenFromEachSideByTurns) {
  const std::vector<NamedStack> stacks{
      {"folio_copy", "migrate_pages", "__x64_sys_move_pages", "x64_sys_call", "do_syscall_64",
       "entry_SYSCALL_64_after_hwframe"},
      {"remap", "migrate_pages", "__x64_sys_move_pages", "do_syscall_64"},
      {"migrate_pages", "__x64_sys_move_pages", "do_syscall_64"},
      {"handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
      {"handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
  };
  EXPECT_THAT(names(sites_seen(stacks, 5)),
              ElementsAre("__x64_sys_move_pages: migrate_pages", "exc_page_fault: handle_userfault",
                          "__x64_sys_move_pages: __x64_sys_move_pages",
                          "exc_page_fault: exc_page_fault", "__x64_sys_move_pages: folio_copy"));
  EXPECT_EQ(sites_seen(stacks, 100).size(), 6U);
}

TEST(SitesSeen, ARareSideIsLeftOut) {
  std::vector<NamedStack> stacks(40, {"zap", "__x64_sys_munmap", "do_syscall_64"});
  stacks.push_back({"vfs_read", "__x64_sys_read", "do_syscall_64"});
  EXPECT_EQ(sites_seen(stacks, 100).size(), 2U);
}

TEST(SitesSeen, WhoIdlesSleepsOrIsInterruptedSaysNothingOfTheRace) {
  const std::vector<NamedStack> stacks{
      {"default_idle", "do_idle", "cpu_startup_entry"},
      {"__schedule", "schedule", "handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
      {"tick", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt", "zap", "exit_mmap",
       "do_syscall_64"},
      {"futex_wake", "__x64_sys_futex", "do_syscall_64"},
      {"_raw_spin_lock", "exc_page_fault", "asm_exc_page_fault"},
      {"", "", "unknown"},
      {},
  };
  EXPECT_THAT(names(sites_seen(stacks, 100)),
              testing::UnorderedElementsAre("exc_page_fault: handle_userfault",
                                            "exc_page_fault: exc_page_fault", "exit_mmap: zap",
                                            "exit_mmap: exit_mmap", "unknown: unknown"));
}

// Who calls whom, and how often in a trial.
struct MadeUpKernel {
  std::map<std::string, std::vector<std::string>> callees;
  std::map<std::string, std::uint64_t> calls;
  std::vector<std::size_t> counted;  // functions at a time

  Result<std::vector<SiteSeen>> sites(const std::vector<SiteSeen>& seen, std::size_t most) {
    return sites_that_run(
        seen, [this](const std::string& function) { return callees[function]; },
        [this](const std::vector<SiteSeen>& part) -> Result<std::map<std::string, std::uint64_t>> {
          counted.push_back(part.size());
          return calls;
        },
        most);
  }
};

TEST(SitesThatRun, AreWhatWasSeenAndAllBeneathItThatIsCalled) {
  MadeUpKernel kernel;
  kernel.callees = {{"unmap", {"zap", "cold", "_raw_spin_lock"}},
                    {"zap", {"remove_rmap", "unmap"}},
                    {"cold", {"never"}}};
  kernel.calls = {
      {"unmap", 10}, {"zap", 20}, {"remove_rmap", 30}, {"_raw_spin_lock", 40}, {"never", 50}};
  const auto sites = kernel.sites({{.function = "unmap", .side = "munmap", .stacks = 3}}, 100);
  ASSERT_TRUE(sites) << sites.error().message;
  EXPECT_THAT(names(*sites), ElementsAre("munmap: unmap", "munmap: zap", "munmap: remove_rmap"));
  EXPECT_EQ(sites->back().calls, 30U);
  EXPECT_EQ(sites->back().stacks, 0U);
}

TEST(SitesThatRun, AreCountedAFewAtATimeAndNoMoreThanAreWanted) {
  MadeUpKernel kernel;
  for (int i = 0; i < 150; ++i) {
    kernel.callees["root"].push_back(std::to_string(i));
    kernel.calls[std::to_string(i)] = 1;
  }
  kernel.calls["root"] = 1;
  EXPECT_EQ(kernel.sites({{.function = "root", .side = "s"}}, 1000)->size(), 151U);
  EXPECT_THAT(kernel.counted, ElementsAre(1U, 64U, 64U, 22U));
  EXPECT_EQ(kernel.sites({{.function = "root", .side = "s"}}, 50)->size(), 50U);
}

TEST(SitesThatRun, WhoCannotCountSaysSo) {
  const auto sites = sites_that_run(
      {{.function = "root", .side = "s"}},
      [](const std::string&) { return std::vector<std::string>(); },
      [](const std::vector<SiteSeen>&) -> Result<std::map<std::string, std::uint64_t>> {
        return broken("no VM");
      },
      10);
  ASSERT_FALSE(sites);
  EXPECT_EQ(sites.error().message, "no VM");
}

}  // namespace
}  // namespace mmquake
