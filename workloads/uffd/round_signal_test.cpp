// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/uffd/round_signal.h"

#include <gtest/gtest.h>

#include <thread>

namespace mmquake {
namespace {

class FakeContext final : public RoleContext {
 public:
  explicit FakeContext(std::uint64_t round) : round_(round) {}
  std::uint64_t round() const override { return round_; }
  Random& random() override { return random_; }
  void step() override {}
  bool stopping() const override { return stopping_; }

  std::atomic<bool> stopping_{false};

 private:
  std::uint64_t round_;
  Random random_{1, "test"};
};

TEST(RoundSignal, IsOfOneRoundOnly) {
  RoundSignal signal;
  EXPECT_FALSE(signal.announced(0));
  signal.announce(0);
  EXPECT_TRUE(signal.announced(0));
  EXPECT_FALSE(signal.announced(1));
  signal.announce(1);
  EXPECT_FALSE(signal.announced(0));
  EXPECT_TRUE(signal.announced(1));
}

TEST(RoundSignal, TheWaiterSeesWhatWasWrittenBefore) {
  for (std::uint64_t round = 0; round < 200; ++round) {
    RoundSignal signal;
    FakeContext context(round);
    int value = 0;
    std::thread announcer([&] {
      value = 42;
      signal.announce(round);
    });
    EXPECT_TRUE(signal.await(context));
    EXPECT_EQ(value, 42);
    announcer.join();
  }
}

TEST(RoundSignal, AStoppedRoundEndsTheWait) {
  RoundSignal signal;
  FakeContext context(3);
  signal.announce(2);
  bool came = true;
  std::thread waiter([&] { came = signal.await(context); });
  context.stopping_ = true;
  waiter.join();
  EXPECT_FALSE(came);
}

TEST(RoundSignal, ADeadlineEndsTheWait) {
  RoundSignal signal;
  const auto deadline = RoundSignal::Clock::now() + std::chrono::milliseconds(20);
  EXPECT_FALSE(signal.await_until(0, deadline));
  EXPECT_GE(RoundSignal::Clock::now(), deadline);
  signal.announce(0);
  EXPECT_TRUE(signal.await_until(0, deadline));
  EXPECT_LE(signal.at(), RoundSignal::Clock::now());
}

}  // namespace
}  // namespace mmquake
