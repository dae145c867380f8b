// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/stack_sampler.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/campaign/vcpu_registers.h"
#include "host/machine/fake_hypervisor.h"

namespace mmquake {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::uint64_t>;

constexpr std::uint64_t kStack = 0xffffc90000010000;
constexpr std::uint64_t kText = 0xffffffff81000000;

VcpuRegisters vcpu_at(std::uint64_t rsp, std::uint64_t rbp) {
  return {"0", kText, rsp, rbp, false};
}

TEST(WalkFrames, FollowsTheChainOfFramePointers) {
  const Words words{7, kStack + 32, kText + 1, 8, 0, kText + 2};
  EXPECT_THAT(walk_frames(vcpu_at(kStack, kStack + 8), words),
              ElementsAre(kText, kText + 1, kText + 2));
}

TEST(WalkFrames, EndsWhereTheChainIsBroken) {
  // No kernel address, and a frame that points to itself, below, beside a word, or outside.
  EXPECT_THAT(walk_frames(vcpu_at(kStack, kStack), Words{kStack + 16, 5}), ElementsAre(kText));
  for (const std::uint64_t next : {kStack + 8, kStack, kStack + 21, kStack + 8192, UINT64_MAX}) {
    EXPECT_THAT(walk_frames(vcpu_at(kStack, kStack + 8), Words{0, next, kText + 1, 0, 0}),
                ElementsAre(kText, kText + 1));
  }
  EXPECT_THAT(walk_frames(vcpu_at(kStack, kStack - 8), Words{0, kText}), ElementsAre(kText));
  EXPECT_THAT(walk_frames(vcpu_at(kStack, kStack), Words()), ElementsAre(kText));
  EXPECT_THAT(walk_frames(vcpu_at(UINT64_MAX - 7, UINT64_MAX), Words{1, 2}), ElementsAre(kText));
}

TEST(WalkFrames, AnEndlessChainHasAnEnd) {
  Words words;
  for (std::uint64_t i = 0; i < 400; i += 2) {
    words.push_back(kStack + 8 * (i + 2));
    words.push_back(kText + i);
  }
  EXPECT_EQ(walk_frames(vcpu_at(kStack, kStack), words).size(), 64U);
}

TEST(MemoryWords, AreReadAsQemuPrintsThem) {
  EXPECT_THAT(memory_words("ffffc90000010000: 0x0000000000000007 0xffffffff81000001\r\n"
                           "ffffc90000010010: 0x00000000000000ff\r\n"),
              ElementsAre(7, 0xffffffff81000001, 255));
  EXPECT_THAT(memory_words("Cannot access memory\r\n"), IsEmpty());
  EXPECT_THAT(memory_words("1: 0x5 0xzz 0x6"), ElementsAre(5));
  EXPECT_THAT(memory_words("0x"), IsEmpty());
}

TEST(StackSampler, ReadsTheStacksOfWhoIsInTheKernel) {
  FakeScript script;
  script.monitor = [](const std::string& command) -> Result<std::string> {
    if (command == "info status") return std::string("VM status: paused\r\n");
    if (command.starts_with("x /")) {
      return fmt::format("{0:x}: {1:#x} {2:#x}\r\n", kStack, kStack + 16, kText + 1);
    }
    std::string out;
    for (const auto& [rip, halted] :
         {std::pair(kText, 0), std::pair(kText, 1), std::pair(std::uint64_t{0x400000}, 0)}) {
      out += fmt::format("CPU#0\r\nRSI=0 RBP={0:x} RSP={0:x}\r\nRIP={1:x} RFL=0 HLT={2}\r\n",
                         kStack, rip, halted);
    }
    return out;
  };
  FakeHypervisor fake({script});
  auto machine = fake.start({});
  StackSampler sampler;
  sampler.sample(**machine);
  EXPECT_THAT(sampler.stacks(), ElementsAre(Words{kText, kText + 1}));
  EXPECT_THAT(fake.log().at(0)->monitor,
              ElementsAre("stop", "info status", "info registers -a",
                          fmt::format("x /2048gx {:#x}", kStack), "cont"));
}

TEST(StackSampler, LeavesAGuestThatPanickedAlone) {
  FakeScript script;
  script.monitor = [](const std::string& command) {
    return Result<std::string>(command == "info status" ? "VM status: paused (guest-panicked)"
                                                        : "");
  };
  FakeHypervisor fake({script});
  auto machine = fake.start({});
  StackSampler sampler;
  sampler.sample(**machine);
  EXPECT_THAT(sampler.stacks(), IsEmpty());
  EXPECT_THAT(fake.log().at(0)->monitor, Not(Contains("cont")));
}

}  // namespace
}  // namespace mmquake
