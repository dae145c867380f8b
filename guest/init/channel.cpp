// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/init/channel.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* kPortName = "mmquake.records";
constexpr const char* kFallback = "/dev/ttyS1";
constexpr milliseconds kPortDeadline{10000};
constexpr milliseconds kRecheck{50};
constexpr std::size_t kMaxQueuedBytes = 1 << 20;  // of what may be dropped
constexpr const char* kConsoleDeviceId = "0x0003";

std::string first_word(const fs::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// The directory entry below `directory` whose file `file` holds `value`; empty: none.
std::string find_by(const char* directory, const char* file, const char* value) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (first_word(entry.path() / file) == value) {
      return entry.path().filename();
    }
  }
  return {};
}

// The kernel's announcements of devices: wakes whoever waits for one.
int open_uevents() {
  const int fd =
      socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;
  if (fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

std::string wait_for_port() {
  std::string port = find_by("/sys/class/virtio-ports", "name", kPortName);
  if (!port.empty() || find_by("/sys/bus/virtio/devices", "device", kConsoleDeviceId).empty()) {
    return port;
  }
  const int uevents = open_uevents();
  const auto deadline = steady_clock::now() + kPortDeadline;
  while (port.empty() && steady_clock::now() < deadline) {
    pollfd ready{uevents, POLLIN, 0};  // a negative fd is ignored, and the time passes
    poll(&ready, 1, static_cast<int>(kRecheck.count()));
    std::array<char, 4096> event{};
    while (uevents >= 0 && recv(uevents, event.data(), event.size(), 0) > 0) {
    }
    port = find_by("/sys/class/virtio-ports", "name", kPortName);
  }
  if (uevents >= 0) {
    close(uevents);
  }
  return port;
}

// 8 bits, no echo, no translation: a frame passes as it is.
void make_raw(int fd) {
  termios settings{};
  if (tcgetattr(fd, &settings) == 0) {
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    cfsetspeed(&settings, B115200);
    tcsetattr(fd, TCSANOW, &settings);
    tcflush(fd, TCIOFLUSH);
  }
}

}  // namespace

Result<Channel> Channel::open() {
  const std::string port = wait_for_port();
  const std::string path = port.empty() ? kFallback : "/dev/" + port;
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    return broken("open the record channel " + path + ": " + std::strerror(errno));
  }
  if (port.empty()) {
    make_raw(fd);
  }
  return Channel(fd, path);
}

Channel::Channel(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
}

Channel::Channel(Channel&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      hung_up_(other.hung_up_),
      queue_(std::move(other.queue_)),
      queued_bytes_(other.queued_bytes_),
      written_(other.written_),
      dropped_(other.dropped_),
      reader_(std::move(other.reader_)),
      received_(std::move(other.received_)) {}

Channel::~Channel() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

void Channel::send(const Record& record) {
  const bool droppable =
      !std::holds_alternative<FindingRecord>(record) && !std::holds_alternative<Summary>(record);
  if (droppable && queued_bytes_ > kMaxQueuedBytes) {
    ++dropped_;
    return;
  }
  queue_.push_back(encode(record));
  queued_bytes_ += queue_.back().size();
}

short Channel::events() const {
  return static_cast<short>(queue_.empty() ? POLLIN : POLLIN | POLLOUT);
}

void Channel::pump() {
  pollfd state{fd_, POLLIN, 0};
  hung_up_ = poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  if (hung_up_) {
    return;
  }
  read_input();
  write_queue();
}

void Channel::write_queue() {
  while (!queue_.empty()) {
    const std::string& frame = queue_.front();
    const ssize_t wrote = write(fd_, frame.data() + written_, frame.size() - written_);
    if (wrote <= 0) {
      return;  // full, or the host is away: the next pump tries again
    }
    written_ += static_cast<std::size_t>(wrote);
    if (written_ == frame.size()) {
      queued_bytes_ -= frame.size();
      written_ = 0;
      queue_.pop_front();
    }
  }
}

void Channel::read_input() {
  std::array<char, 4096> block{};
  // Bounded, so that a host which never stops writing cannot hold the guest up.
  for (int i = 0; i < 64; ++i) {
    const ssize_t got = read(fd_, block.data(), block.size());
    if (got == 0) {
      hung_up_ = true;
    }
    if (got <= 0) {
      return;
    }
    for (Record& record : reader_.feed({block.data(), static_cast<std::size_t>(got)})) {
      if (received_.size() < 16) {
        received_.push_back(std::move(record));
      }
    }
  }
}

std::vector<Record> Channel::received() {
  return std::exchange(received_, {});
}

void Channel::wait(milliseconds time) {
  const auto deadline = steady_clock::now() + time;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) {
      return;
    }
    pollfd ready{fd(), events(), 0};
    if (poll(&ready, 1, static_cast<int>(left.count())) > 0) {
      pump();
      if (!hung_up_) {
        return;
      }
    }
  }
}

bool Channel::drain(milliseconds time) {
  const auto deadline = steady_clock::now() + time;
  pump();
  while (!queue_.empty() && steady_clock::now() < deadline) {
    wait(kRecheck);
    pump();
  }
  return queue_.empty();
}

}  // namespace mmquake
