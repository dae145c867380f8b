// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vcpu_threads.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "host/machine/qemu_process.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

TEST(VcpuTime, IsReadFromProc) {
  const auto time = parse_vcpu_time("1500000000 250000000 17\n", "77 (CPU 0/KVM) S 1 2 3\n");
  ASSERT_TRUE(time);
  EXPECT_DOUBLE_EQ(time->ran_s, 1.5);
  EXPECT_DOUBLE_EQ(time->waited_s, 0.25);
  EXPECT_EQ(time->state, VcpuState::kIdle);
  EXPECT_EQ(parse_vcpu_time("1 2 3\n", "77 (CPU 0) R) R 1\n")->state, VcpuState::kRunnable);
  EXPECT_EQ(parse_vcpu_time("1 2 3\n", "77 (CPU 0/TCG) D 1\n")->state, VcpuState::kHeld);
  EXPECT_EQ(parse_vcpu_time("1 2 3\n", "77 (CPU 0/TCG) T 1\n")->state, VcpuState::kHeld);
}

TEST(VcpuTime, OfNonsenseIsNone) {
  for (const char* schedstat : {"", "x", "12"}) {
    EXPECT_FALSE(parse_vcpu_time(schedstat, "77 (CPU 0/KVM) S 1\n")) << schedstat;
  }
  for (const char* stat : {"", "77", "77 (CPU", "77 (CPU) "}) {
    EXPECT_FALSE(parse_vcpu_time("1 2 3\n", stat)) << stat;
  }
}

void add_thread(const TestTree& tree, const std::string& tid, const std::string& name,
                const std::string& schedstat) {
  const std::string folder = "42/task/" + tid + "/";
  tree.write(folder + "comm", name + "\n");
  tree.write(folder + "schedstat", schedstat + "\n");
  tree.write(folder + "stat", tid + " (" + name + ") R 1 2\n");
}

TEST(VcpuThreads, AreFoundByNameInTheOrderOfTheCpus) {
  const TestTree tree;
  add_thread(tree, "42", "qemu-system-x86", "9000000000 0 1");
  add_thread(tree, "43", "CPU 10/TCG", "3000000000 0 1");
  add_thread(tree, "44", "CPU 2/TCG", "2000000000 5000000000 1");
  add_thread(tree, "45", "CPU x", "9000000000 0 1");
  const VcpuThreads threads(42, tree.root());
  const auto times = threads.read();
  ASSERT_EQ(times.size(), 2U);
  EXPECT_DOUBLE_EQ(times[0].ran_s, 2);
  EXPECT_DOUBLE_EQ(times[0].waited_s, 5);
  EXPECT_DOUBLE_EQ(times[1].ran_s, 3);

  std::filesystem::remove_all(tree.root() / "42/task/44");
  EXPECT_TRUE(threads.read().empty()) << "half of the truth is none";
}

TEST(VcpuThreads, OfNobodyAreNone) {
  EXPECT_TRUE(VcpuThreads().read().empty());
  EXPECT_TRUE(VcpuThreads(getpid(), "/nonexistent").read().empty());
  EXPECT_TRUE(VcpuThreads(getpid()).read().empty()) << "none of ours is named so";
}

// The host's own /proc, with a thread that bears a vCPU's name.
TEST(VcpuThreads, OfThisProcessHaveRun) {
  std::promise<void> named;
  std::promise<void> done;
  std::thread vcpu([&] {
    prctl(PR_SET_NAME, "CPU 0/TCG");
    named.set_value();
    done.get_future().wait();
  });
  named.get_future().wait();
  const auto times = VcpuThreads(getpid()).read();
  done.set_value();
  vcpu.join();
  ASSERT_EQ(times.size(), 1U);
  EXPECT_GT(times[0].ran_s + times[0].waited_s, 0);
}

TEST(QemuProcess, IsFoundByItsArgumentsAndOnlyIfItIsOne) {
  EXPECT_FALSE(is_qemu_of(getpid(), "")) << "this is a test";
  EXPECT_TRUE(find_qemus("no VM has this in its arguments").empty());
}

}  // namespace
}  // namespace mmquake
