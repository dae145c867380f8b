// SPDX-License-Identifier: GPL-2.0-or-later
//
// The host's ends of a VM's streams: record channels, console file, QEMU's log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "host/machine/channel.h"
#include "host/machine/console_tail.h"
#include "host/machine/libvirt_machine.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

class StreamsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/streams-test-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }

  static bool readable(int fd, int milliseconds) {
    pollfd poll_fd{fd, POLLIN, 0};
    return poll(&poll_fd, 1, milliseconds) == 1;
  }

  fs::path dir_;
};

class ChannelTest : public StreamsTest {
 protected:
  void SetUp() override {
    StreamsTest::SetUp();
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (dir_ / "s").c_str());
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
  }
  // Our end, and QEMU's in guest_.
  Channel open() {
    auto channel = Channel::connect(dir_ / "s");
    EXPECT_TRUE(channel);
    guest_.reset(accept(listener_.get(), nullptr, nullptr));
    return std::move(*channel);
  }
  FileDescriptor listener_;
  FileDescriptor guest_;
};

TEST_F(ChannelTest, ReceivesInBoundedPieces) {
  Channel channel = open();
  EXPECT_EQ(channel.receive(100), "");
  ASSERT_EQ(write(guest_.get(), "abcdef", 6), 6);
  EXPECT_EQ(channel.receive(4), "abcd");
  EXPECT_EQ(channel.receive(4), "ef");
  EXPECT_FALSE(channel.closed());
}

TEST_F(ChannelTest, ReadsToTheEndOfFile) {
  Channel channel = open();
  ASSERT_EQ(write(guest_.get(), "last", 4), 4);
  guest_.reset();
  EXPECT_EQ(channel.receive(100), "last");
  EXPECT_EQ(channel.receive(100), "");
  EXPECT_TRUE(channel.closed());
  EXPECT_FALSE(channel.send("x"));
}

TEST_F(ChannelTest, DropsWholeMessagesWhenTheGuestDoesNotRead) {
  Channel channel = open();
  const std::string message(100000, 'm');
  std::size_t taken = 0;
  while (channel.send(message)) {
    ++taken;
    ASSERT_LT(taken, 1000U);
  }
  EXPECT_LE(channel.pending(), Channel::kMaxPending);
  // What was taken arrives whole, and then there is room again.
  std::size_t arrived = 0;
  std::vector<char> chunk(65536);
  while (channel.pending() > 0 || readable(guest_.get(), 0)) {
    const ssize_t got = read(guest_.get(), chunk.data(), chunk.size());
    ASSERT_GT(got, 0);
    arrived += static_cast<std::size_t>(got);
    channel.flush();
  }
  EXPECT_EQ(arrived, taken * message.size());
  EXPECT_TRUE(channel.send(message));
}

TEST_F(ChannelTest, SaysWhereItCouldNotConnect) {
  auto channel = Channel::connect(dir_ / "nobody");
  ASSERT_FALSE(channel);
  EXPECT_THAT(channel.error().message, testing::HasSubstr("nobody"));
  EXPECT_FALSE(Channel::connect("/" + std::string(200, 'x')));
}

TEST_F(StreamsTest, ConsoleTailFollowsAFile) {
  auto tail = ConsoleTail::create(dir_ / "console.log");
  ASSERT_TRUE(tail);
  EXPECT_FALSE(readable(tail->fd(), 0));
  // As QEMU does it: its own descriptor, the file truncated at first.
  std::ofstream qemu(dir_ / "console.log", std::ios::trunc);
  qemu << "hello " << std::flush;
  EXPECT_TRUE(readable(tail->fd(), 1000));
  EXPECT_EQ(tail->read(100), "hello ");
  EXPECT_FALSE(readable(tail->fd(), 0));
  qemu << "world" << std::flush;
  EXPECT_EQ(tail->read(3), "wor");
  EXPECT_EQ(tail->read(100), "ld");
  EXPECT_EQ(tail->read(100), "");
}

TEST_F(StreamsTest, ConsoleTailReadsAFloodInBoundedPieces) {
  auto tail = ConsoleTail::create(dir_ / "console.log");
  ASSERT_TRUE(tail);
  const std::string flood((3 << 20) + 5, 'f');
  std::ofstream(dir_ / "console.log", std::ios::app) << flood;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tail->read(1 << 20).size(), 1U << 20);
  EXPECT_EQ(tail->read(1 << 20), "fffff");
}

TEST_F(StreamsTest, ConsoleTailFollowsARotation) {
  const fs::path path = dir_ / "console.log";
  auto tail = ConsoleTail::create(path);
  ASSERT_TRUE(tail);
  std::ofstream(path, std::ios::app) << "old";
  fs::rename(path, dir_ / "console.log.0");
  std::ofstream(path) << "new";
  EXPECT_TRUE(readable(tail->fd(), 1000));
  EXPECT_EQ(tail->read(100), "oldnew");
  std::ofstream(path, std::ios::app) << "er";
  EXPECT_TRUE(readable(tail->fd(), 1000));
  EXPECT_EQ(tail->read(100), "er");
}

TEST_F(StreamsTest, ConsoleTailNamesTheFileItCannotWrite) {
  auto tail = ConsoleTail::create(dir_ / "missing" / "console.log");
  ASSERT_FALSE(tail);
  EXPECT_THAT(tail.error().message, testing::HasSubstr("missing/console.log"));
}

TEST_F(StreamsTest, FindsQemusLastWordsInLibvirtsLog) {
  std::ofstream(dir_ / "vm.log") << "2026-11-21 02:59:44.655+0000: starting up libvirt version: 9\n"
                                    "LC_ALL=C \\\n"
                                    "/usr/bin/qemu-system-x86_64 \\\n"
                                    "-name guest=a \\\n"
                                    "-msg timestamp=on\n"
                                    "char device redirected to /dev/pts/1\n"
                                    "qemu: out of memory\n"
                                    "2026-11-21: shutting down, reason=failed\n";
  EXPECT_EQ(qemu_last_words(dir_ / "vm.log"), "qemu: out of memory");
  EXPECT_EQ(qemu_last_words(dir_ / "none.log"), "");
}

}  // namespace
}  // namespace mmquake
