// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/strobe.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace mmquake {
namespace {

int some_cpu() {
  return sched_getcpu();
}

TEST(Strobe, TakesTheCpuAndEndsWithItsOwner) {
  StrobePlan plan;
  plan.cpus = {some_cpu()};
  plan.max_flash = std::chrono::microseconds(50);
  plan.max_pause = std::chrono::microseconds(100);
  auto strobe = Strobe::start(plan);
  if (!strobe) GTEST_SKIP() << strobe.error().message;  // an ordinary user may not
  while ((*strobe)->flashes() < 20) sched_yield();
  strobe->reset();  // joins
}

TEST(Strobe, ACpuThatIsNotThereIsAnError) {
  StrobePlan plan;
  plan.cpus = {1023};
  const auto strobe = Strobe::start(plan);
  ASSERT_FALSE(strobe);
  EXPECT_NE(strobe.error().message.find("1023"), std::string::npos);
}

}  // namespace
}  // namespace mmquake
