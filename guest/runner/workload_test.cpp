// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/workload.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

class Plain final : public Workload {
 public:
  Result<> set_up(Environment& /*env*/) override { return {}; }
  std::vector<Role> roles() override { return {}; }
  std::optional<FindingRecord> check() override { return std::nullopt; }
};

TEST(WorkloadJudge, WhoSleepsByHisOwnWishIsNoHang) {
  Plain workload;
  Stuck stuck{"mover", 7, "[<0>] folio_wait_bit+0x10/0x90\n", "folio_wait_bit"};
  ASSERT_TRUE(workload.judge(stuck));
  stuck.stack = "[<0>] hrtimer_nanosleep+0x87/0xf0\n[<0>] __x64_sys_clock_nanosleep+0xc8/0x120\n";
  EXPECT_FALSE(workload.judge(stuck));
  stuck = {"mover", 7, "", "hrtimer_nanosleep"};
  EXPECT_FALSE(workload.judge(stuck));
}

}  // namespace
}  // namespace mmquake
