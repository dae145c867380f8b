// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/soak_world.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

MachineSpec machine(int cpus, std::uint64_t memory_mib) {
  MachineSpec out;
  out.nodes = {{cpus, memory_mib}};
  return out;
}

TEST(DefaultJobs, IsACoreForEachVcpuAsMemoryAllows) {
  const std::vector<MachineSpec> machines = {machine(2, 1024), machine(4, 2048)};
  EXPECT_EQ(default_jobs(2, 20000, machines), 1) << "never less than one";
  EXPECT_EQ(default_jobs(32, 100000, machines), 8);
  EXPECT_EQ(default_jobs(32, 3 * (2048 + kVmOverheadMib) + kHostReserveMib, machines), 3);
  EXPECT_EQ(default_jobs(32, 100, machines), 1) << "the trial itself says that memory is short";
  EXPECT_EQ(default_jobs(32, 0, machines), 8) << "the host does not say";
  EXPECT_EQ(default_jobs(0, 1000, {}), 1);
}

}  // namespace
}  // namespace mmquake
