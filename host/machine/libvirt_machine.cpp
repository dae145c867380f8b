// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/libvirt_machine.h"

#include <fmt/format.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>

#include "host/machine/answer_limit.h"
#include "host/machine/qemu_process.h"
#include "host/machine/virt_error.h"

namespace mmquake {
namespace {

constexpr std::size_t kMaxStream = 1 << 20;
// QEMU answers nothing else while it writes a dump.
constexpr std::chrono::minutes kDumpLimit(10);
constexpr std::size_t kLastWords = 6;  // lines
// QEMU writes the console byte by byte: without a pause a chatty guest would wake us for each.
constexpr auto kConsolePause = std::chrono::milliseconds(10);

bool is_libvirts_line(const std::string& line) {
  // The command line ends each of its lines with a backslash.
  if (line.empty() || line.back() == '\\') return true;
  for (const char* part : {"char device redirected to", "is tainted", ": shutting down, reason",
                           ": starting up libvirt", "-device pvpanic-pci"}) {
    if (line.find(part) != std::string::npos) return true;
  }
  return line.rfind("-msg ", 0) == 0 || line.rfind("LC_ALL=", 0) == 0;
}

}  // namespace

std::string qemu_last_words(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::deque<std::string> words;
  for (std::string line; std::getline(file, line);) {
    if (is_libvirts_line(line)) continue;
    words.push_back(line.substr(0, 500));
    if (words.size() > kLastWords) words.pop_front();
  }
  std::string text;
  for (const std::string& line : words) text += (text.empty() ? "" : "\n") + line;
  return text;
}

LibvirtMachine::LibvirtMachine(Parts parts) : parts_(std::move(parts)) {}

LibvirtMachine::~LibvirtMachine() {
  // An error leaves the VM to the reaper; there is nobody here to tell.
  [[maybe_unused]] const Result<> ended = destroy();
}

MachineActivity LibvirtMachine::take() {
  MachineActivity activity;
  // The state before the streams: what a VM wrote before it ended comes with its end.
  parts_.status->clear();
  activity.state = parts_.status->state();
  activity.console = parts_.console.read(kMaxStream);
  if (!activity.console.empty()) console_read_ = Clock::now();
  parts_.virtio.flush();
  parts_.serial.flush();
  activity.records_virtio = parts_.virtio.receive(kMaxStream);
  activity.records_serial = parts_.serial.receive(kMaxStream);
  if (activity.state == MachineState::kHostFailed) {
    activity.host_failure = parts_.status->host_failure();
    const std::string words = qemu_last_words(parts_.qemu_log);
    if (!words.empty()) activity.host_failure += "; its last words: " + words;
  }
  return activity;
}

Result<> LibvirtMachine::sleep_until_news(Clock::time_point deadline) {
  const auto now = Clock::now();
  const bool console_pauses = now < console_read_ + kConsolePause;
  if (console_pauses) deadline = std::min(deadline, console_read_ + kConsolePause);
  std::array<pollfd, 4> fds{};
  fds[0] = {parts_.status->fd(), POLLIN, 0};
  // poll() skips a descriptor of -1.
  fds[1] = {console_pauses ? -1 : parts_.console.fd(), POLLIN, 0};
  int at = 2;
  for (const Channel* channel : {&parts_.virtio, &parts_.serial}) {
    const int events = channel->pending() > 0 ? POLLIN | POLLOUT : POLLIN;
    fds[at++] = {channel->fd(), static_cast<short>(events), 0};
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
  const int time = static_cast<int>(std::max<std::int64_t>(0, left.count()));
  if (poll(fds.data(), fds.size(), time) < 0 && errno != EINTR) {
    return broken(std::string("wait for the VM: ") + std::strerror(errno));
  }
  return {};
}

Result<MachineActivity> LibvirtMachine::wait(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    MachineActivity activity = take();
    const bool something = activity.state != MachineState::kRunning || !activity.console.empty() ||
                           !activity.records_virtio.empty() || !activity.records_serial.empty();
    if (something || Clock::now() >= deadline) return activity;
    if (auto slept = sleep_until_news(deadline); !slept) {
      return tl::make_unexpected(slept.error());
    }
  }
}

Result<> LibvirtMachine::send(std::string_view bytes) {
  // The guest reads one of the two; the other one's buffer fills and then drops messages.
  const bool virtio = parts_.virtio.send(bytes);
  const bool serial = parts_.serial.send(bytes);
  if (virtio || serial) return {};
  return broken("send " + std::to_string(bytes.size()) +
                " bytes to the guest: its record channels are full or closed; the guest does not "
                "read them");
}

Result<> LibvirtMachine::ask(const std::string& what, std::chrono::milliseconds patience,
                             const std::function<int()>& call) {
  AnswerLimit limit(patience, [this] {
    for (const pid_t qemu : find_qemus(parts_.uuid)) kill(qemu, SIGKILL);
  });
  const int answer = call();
  if (limit.end()) {
    return broken(
        fmt::format("{}: QEMU did not answer for {:.0f} s and was killed: was it stopped?", what,
                    std::chrono::duration<double>(patience).count()));
  }
  if (answer < 0) return virt_error(what);
  return {};
}

Result<> LibvirtMachine::inject_nmi() {
  return ask("inject an NMI", [this] { return virDomainInjectNMI(parts_.domain.get(), 0); });
}

Result<> LibvirtMachine::resume() {
  // Before the call: the guest may end while it lasts, and that state must stay.
  const bool crashed = parts_.status->leave_crash();
  auto resumed = ask("resume the guest", [this] { return virDomainResume(parts_.domain.get()); });
  if (!resumed && crashed) parts_.status->return_to_crash();
  return resumed;
}

Result<std::string> LibvirtMachine::monitor(const std::string& hmp_command) {
  char* answer = nullptr;
  auto asked = ask("QEMU monitor command '" + hmp_command + "'", [&] {
    return virDomainQemuMonitorCommand(parts_.domain.get(), hmp_command.c_str(), &answer,
                                       VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP);
  });
  const std::unique_ptr<char, decltype(&std::free)> owner(answer, &std::free);
  if (!asked) return tl::make_unexpected(asked.error());
  return std::string(answer == nullptr ? "" : answer);
}

// Not by the monitor: libvirt 9.0 dies of the event at the end of a dump that it has not begun.
Result<> LibvirtMachine::dump(const std::filesystem::path& file) {
  return ask("dump the guest's memory", kDumpLimit, [&] {
    return virDomainCoreDumpWithFormat(parts_.domain.get(), file.c_str(),
                                       VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB,
                                       VIR_DUMP_MEMORY_ONLY);
  });
}

std::vector<VcpuTime> LibvirtMachine::vcpu_times() {
  if (gone_) return {};
  if (!vcpus_) {
    const std::vector<pid_t> qemus = find_qemus(parts_.uuid);
    vcpus_ = qemus.size() == 1 ? VcpuThreads(qemus[0]) : VcpuThreads();
  }
  return vcpus_->read();
}

Result<> LibvirtMachine::destroy() {
  if (gone_) return {};
  parts_.status->expect_end();
  // After a power-off libvirt ends QEMU by itself, and then sleeps for 0.2 s in which its
  // destroy would wait: QEMU's exit is enough for us.
  const bool ended = parts_.embedded && parts_.status->state() == MachineState::kOff &&
                     parts_.status->has_exited(std::chrono::seconds(1));
  if (!ended && virDomainDestroy(parts_.domain.get()) < 0) {
    const virErrorPtr error = virGetLastError();
    const int code = error != nullptr ? error->code : VIR_ERR_OK;
    // It has ended by itself.
    if (code != VIR_ERR_NO_DOMAIN && code != VIR_ERR_OPERATION_INVALID) {
      return virt_error("end the VM");
    }
  }
  gone_ = true;
  // libvirt's event may come later; for our caller the VM is off now.
  parts_.status->on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED);
  if (parts_.on_gone) parts_.on_gone();
  return {};
}

}  // namespace mmquake
