// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that a host must survive: garbage and endless lines on the record channel, a flooded
// console, silence, crashes of the kernel and of the guest's own program.
#include <fcntl.h>
#include <linux/types.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "guest/memory/mapping.h"
#include "guest/runner/selftest_hook.h"
#include "guest/runner/workload.h"

namespace mmquake {
namespace {

constexpr std::chrono::hours kNoLimit{24};

// Writes all of `bytes`, however slowly the reader takes them; ends early when the round does.
void write_slowly(int fd, std::string_view bytes, RoleContext& context) {
  while (!bytes.empty() && !context.stopping()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
      context.step();
      continue;
    }
    pollfd ready{fd, POLLOUT, 0};
    poll(&ready, 1, 100);
  }
}

// One role with a body; subclasses name it and fill it in.
class OneRole : public Workload {
 public:
  Result<> set_up(Environment& env) override {
    channel_ = selftest::raw_channel();
    bytes_ = env.counter("bytes");
    return {};
  }
  std::vector<Role> roles() override {
    Role role{"culprit", [this](RoleContext& context) { act(context); }};
    role.limit = kNoLimit;
    return {role};
  }

 protected:
  virtual void act(RoleContext& context) = 0;
  int channel_ = -1;
  Counter bytes_;
};

WorkloadInfo info_of(const char* name, const char* summary) {
  WorkloadInfo info;
  info.name = name;
  info.summary = summary;
  return info;
}

// Random bytes, half frames, frames with wrong checksums and hostile payloads.
class SelftestGarbage final : public OneRole {
 public:
  static WorkloadInfo info() {
    return info_of("selftest-garbage", "garbage on the record channel");
  }

 protected:
  void act(RoleContext& context) override {
    std::string bytes(256 + context.random().below(8192), '\0');
    for (char& c : bytes) {
      c = static_cast<char>(context.random().next());
    }
    const std::string frame = encode(Note{"half of me"});
    bytes += frame.substr(0, context.random().below(frame.size()));
    bytes += "\x1eMMQ1 00000000 {\"type\":\"summary\",\"outcome\":\"passed\"}\n";
    bytes += "\x1eMMQ1 zzzzzzzz " + std::string(1000, '[') + "\n";
    write_slowly(channel_, bytes, context);
    bytes_.add(bytes.size());
  }
};
REGISTER_WORKLOAD(SelftestGarbage);

// A frame that never ends.
class SelftestEndlessLine final : public OneRole {
 public:
  static WorkloadInfo info() {
    return info_of("selftest-endless-line", "a record that never ends");
  }

 protected:
  void act(RoleContext& context) override {
    const std::string block =
        (context.round() == 1 ? "\x1eMMQ1 00000000 \"" : "") + std::string(65536, 'x');
    write_slowly(channel_, block, context);
    bytes_.add(block.size());
  }
};
REGISTER_WORKLOAD(SelftestEndlessLine);

// Much text on the console, through the terminal or as kernel messages.
class SelftestFlood final : public OneRole {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = info_of("selftest-flood", "a flooded console");
    info.params = {
        {"mib", ParamSpec::Type::kInteger, "100", 1, 1000, {}, "how much"},
        {"through", ParamSpec::Type::kChoice, "tty", 0, 0, {"tty", "kmsg"}, "which way"}};
    return info;
  }
  Result<> set_up(Environment& env) override {
    left_ = static_cast<std::size_t>(env.param_int("mib")) << 20;
    const bool tty = env.param("through") == "tty";
    const char* const path = tty ? "/dev/ttyS0" : "/dev/kmsg";
    line_ = std::string(tty ? 127 : 900, 'f') + "\n";
    fd_ = UniqueFd(open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (!fd_) {
      return broken(std::string("open ") + path + ": " + std::strerror(errno));
    }
    return OneRole::set_up(env);
  }

 protected:
  void act(RoleContext& context) override {
    for (std::size_t sent = 0; sent < kRoundBytes && left_ > 0 && !context.stopping();) {
      const std::size_t size = std::min(line_.size(), left_);
      write_slowly(fd_.get(), std::string_view(line_).substr(0, size), context);
      sent += size;
      left_ -= size;
      bytes_.add(size);
    }
  }

 private:
  static constexpr std::size_t kRoundBytes = std::size_t{64} * 1024;
  UniqueFd fd_;
  std::size_t left_ = 0;
  std::string line_;
};
REGISTER_WORKLOAD(SelftestFlood);

// Sends nothing more, for ever, and never ends.
class SelftestSilent final : public OneRole {
 public:
  static WorkloadInfo info() { return info_of("selftest-silent", "falls silent and never ends"); }

 protected:
  void act(RoleContext& /*context*/) override {
    selftest::mute();
    for (;;) {
      pause();
    }
  }
};
REGISTER_WORKLOAD(SelftestSilent);

class SelftestPanic final : public OneRole {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = info_of("selftest-panic", "crashes the kernel by sysrq");
    info.needs.files = {"/proc/sysrq-trigger"};
    return info;
  }

 protected:
  void act(RoleContext& context) override {
    const int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "c", 1) == 1) {
      context.step();
    }
    close(fd);
  }
  Result<> verify_work() override { return broken("the kernel survived sysrq c"); }
};
REGISTER_WORKLOAD(SelftestPanic);

// A real WARNING: gup_test allocates as many pointers as it is told, and the kernel warns when
// they take more than INT_MAX bytes.
class SelftestWarn final : public OneRole {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = info_of("selftest-warn", "makes the kernel warn once");
    info.needs.files = {"/sys/kernel/debug/gup_test"};
    return info;
  }

 protected:
  // The kernel's mm/gup_test.h, which is no part of its exported headers.
  struct GupTest {
    __u64 get_delta_usec, put_delta_usec, addr, size;
    __u32 nr_pages_per_call, gup_flags, test_flags, which_pages[8];
  };

  void act(RoleContext& context) override {
    const int fd = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);
    GupTest request{};
    request.size = std::uint64_t{1} << 43;
    request.nr_pages_per_call = 1;
    if (fd >= 0 && ioctl(fd, _IOWR('g', 1, GupTest), &request) != 0) {
      context.step();  // refused, which is right: the warning is what this is for
    }
    close(fd);
  }
};
REGISTER_WORKLOAD(SelftestWarn);

// The guest's own program dies.
class SelftestCrash final : public OneRole {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = info_of("selftest-crash", "the guest's program crashes");
    info.params = {
        {"how", ParamSpec::Type::kChoice, "segv", 0, 0, {"segv", "abort", "kill"}, "which way"},
        {"process", ParamSpec::Type::kInteger, "0", 0, 8, {}, "where the role runs"}};
    return info;
  }
  Result<> set_up(Environment& env) override {
    how_ = env.param("how");
    process_ = static_cast<int>(env.param_int("process"));
    return OneRole::set_up(env);
  }
  std::vector<Role> roles() override {
    std::vector<Role> roles = OneRole::roles();
    roles[0].process = process_;
    return roles;
  }

 protected:
  void act(RoleContext& /*context*/) override {
    if (how_ == "segv") {
      volatile int* const nowhere = reinterpret_cast<int*>(0x1230);
      *nowhere = 1;
    }
    raise(how_ == "abort" ? SIGABRT : SIGKILL);
  }

 private:
  std::string how_;
  int process_ = 0;
};
REGISTER_WORKLOAD(SelftestCrash);

}  // namespace
}  // namespace mmquake
