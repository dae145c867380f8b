// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/init/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace mmquake {
namespace {

using std::chrono::milliseconds;

// A channel whose other end is a socket that the test reads, or leaves unread.
class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    host_ = ends[0];
    channel_.emplace(ends[1], "test");
  }
  void TearDown() override {
    if (host_ >= 0) {
      close(host_);
    }
  }
  std::vector<Record> host_reads() {
    std::vector<Record> out;
    std::array<char, 65536> block{};
    ssize_t got = 0;
    while ((got = recv(host_, block.data(), block.size(), MSG_DONTWAIT)) > 0) {
      for (Record& record : reader_.feed({block.data(), static_cast<std::size_t>(got)})) {
        out.push_back(std::move(record));
      }
      channel_->pump();
    }
    return out;
  }

  int host_ = -1;
  std::optional<Channel> channel_;
  RecordReader reader_;
};

TEST_F(ChannelTest, CarriesRecordsBothWays) {
  channel_->send(Note{"up"});
  EXPECT_TRUE(channel_->drain(milliseconds(1000)));
  ASSERT_EQ(host_reads().size(), 1U);
  GuestPlan plan;
  plan.workload = "w";
  const std::string frame = encode(plan);
  ASSERT_EQ(write(host_, frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
  channel_->pump();
  const std::vector<Record> got = channel_->received();
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(std::get<GuestPlan>(got[0]).workload, "w");
  EXPECT_TRUE(channel_->received().empty());
}

TEST_F(ChannelTest, NobodyReadsAndHeartbeatsAreDroppedButNoFinding) {
  constexpr std::uint64_t kSent = 200;
  for (std::uint64_t i = 0; i < kSent; ++i) {
    channel_->send(Note{std::string(50'000, 'n')});
    channel_->pump();
  }
  FindingRecord finding;
  finding.title = "hang in f";
  channel_->send(finding);
  channel_->send(Summary{});
  EXPECT_FALSE(channel_->drain(milliseconds(50)));
  EXPECT_GT(channel_->dropped(), 0U);
  std::uint64_t notes = 0;
  std::uint64_t others = 0;
  for (const Record& record : host_reads()) {
    (std::holds_alternative<Note>(record) ? notes : others) += 1;
  }
  EXPECT_EQ(others, 2U);
  EXPECT_EQ(notes + channel_->dropped(), kSent);
  EXPECT_EQ(reader_.stats().bad_frames, 0U);
}

TEST_F(ChannelTest, AHostThatIsAwayNeitherBlocksNorSpins) {
  close(host_);
  host_ = -1;
  channel_->send(Note{"x"});
  channel_->pump();
  EXPECT_EQ(channel_->fd(), -1);
  const auto start = std::chrono::steady_clock::now();
  channel_->wait(milliseconds(30));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
}

TEST_F(ChannelTest, AHostThatSendsGarbageIsSurvived) {
  const std::string garbage(100'000, '\x1e');
  ASSERT_GT(write(host_, garbage.data(), garbage.size()), 0);
  for (int i = 0; i < 100; ++i) {
    channel_->pump();
  }
  EXPECT_TRUE(channel_->received().empty());
}

}  // namespace
}  // namespace mmquake
