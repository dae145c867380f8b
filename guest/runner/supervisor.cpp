// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <optional>

#include "guest/runner/bug_switches.h"
#include "guest/runner/crash.h"
#include "guest/runner/evidence.h"
#include "guest/runner/host_look.h"
#include "guest/runner/requirements.h"
#include "guest/runner/selftest_hook.h"

namespace mmquake {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHeartbeatNs = kSecond;
constexpr double kExitMs = 2000;  // scaled
constexpr std::int64_t kTickNs = kSecond / 10;
// Longer than any set_up() or check() should take; scaled.
constexpr double kRunnerLimitNs = 60.0 * kSecond;

// For the host to look at the guest as it is at a finding; scaled. It stops the guest to do so,
// and this clock with it.
constexpr std::int64_t kAnswerNs = 5 * kSecond;

std::int64_t answer_limit(const GuestPlan& plan) {
  return static_cast<std::int64_t>(static_cast<double>(kAnswerNs) * std::max(plan.slowdown, 1.0));
}

// The runner's end: writes frames, waits for the supervisor to read them, and after a finding until
// the host has seen it, if there is a host.
class SocketSink final : public RecordSink {
 public:
  SocketSink(int fd, std::int64_t answer_ns) : fd_(fd), answer_ns_(answer_ns) {}
  void send(const Record& record) override {
    const bool waits = std::holds_alternative<FindingRecord>(record);
    if (waits) {
      forget_answers();
    }
    write(encode(record));
    if (waits) {
      wait_for_answer();
    }
  }
  void let_host_look() const {
    if (answer_ns_ > 0) {
      forget_answers();
      write(encode(Hello{}));
      wait_for_answer();
    }
  }

 private:
  // Those that came too late.
  void forget_answers() const {
    std::array<char, 16> answer{};
    while (recv(fd_, answer.data(), answer.size(), MSG_DONTWAIT) > 0) {
    }
  }
  void wait_for_answer() const {
    pollfd answered{fd_, POLLIN, 0};
    poll(&answered, 1, static_cast<int>(answer_ns_ / 1'000'000));
  }
  void write(const std::string& frame) const {
    const std::lock_guard<std::mutex> whole(mutex_);
    for (std::size_t at = 0; at < frame.size();) {
      const ssize_t sent = ::send(fd_, frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
      if (sent < 0 && errno != EINTR) {
        _exit(1);  // no supervisor, nobody to tell
      }
      at += sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
  }

  int fd_;
  std::int64_t answer_ns_;
  mutable std::mutex mutex_;
};

// In the runner's process.
const SocketSink* runners_sink = nullptr;

// On the console; nothing without lockdep.
void show_held_locks() {
  const int fd = access("/proc/lockdep_stats", F_OK) == 0
                     ? open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC)
                     : -1;
  if (fd < 0) {
    return;
  }
  // Evidence that is missing is no reason to end the trial.
  [[maybe_unused]] const ssize_t written = write(fd, "d", 1);
  close(fd);
}

const char* state_name(const RoleSlot& slot, std::int64_t now, std::int64_t quiet_ns) {
  switch (slot.state.load()) {
    case RoleState::kParked:
      return "parked";
    case RoleState::kDone:
      return "done";
    case RoleState::kHung:
      return "hung";
    case RoleState::kRunning:
      break;
  }
  return now - slot.progress_ns.load() > quiet_ns ? "hung" : "running";
}

class Supervisor {
 public:
  Supervisor(const GuestPlan& plan, Outlet& outlet, SharedState& state,
             const SuperviseOptions& options)
      : plan_(plan), outlet_(outlet), state_(state), options_(options), hits_before_(bug_hits()) {}

  Summary watch(int runner, int socket) {
    runner_ = runner;
    socket_ = socket;
    state_.runner_progress_ns.store(monotonic_ns());
    next_beat_ns_ = monotonic_ns() + kHeartbeatNs;
    while (!done_) {
      wait_for_something();
      take_records();
      reap();
      check_pulse();
      beat();
    }
    socket_ = -1;  // the runner has said all
    // The guest stays as it is until the host has looked at it.
    while (asked_ns_ != 0 && monotonic_ns() < asked_ns_ + answer_limit(plan_)) {
      wait_for_something();
    }
    Summary summary = summary_.value_or(Summary{});
    summary.counters.insert({"records_dropped", outlet_.dropped()});
    summary.counters.merge(hits());
    if (summary.outcome == Outcome::kSkipped && !options_.refused_modules.empty()) {
      summary.reason +=
          fmt::format("; modules not loaded: {}", fmt::join(options_.refused_modules, ", "));
    }
    send(summary);
    return summary;
  }

  bool runner_is_reaped() const { return runner_is_reaped_; }

 private:
  // Since this trial began: the kernel counts since it was booted.
  Counters hits() const {
    Counters out = bug_hits();
    for (auto& [bug, count] : out) {
      const auto before = hits_before_.find(bug);
      if (before != hits_before_.end()) count -= std::min(count, before->second);
    }
    return out;
  }

  void send(const Record& record) {
    if (state_.muted.load() == 0) {
      outlet_.send(record);
      outlet_.pump();
    }
  }

  void send_finding(const Record& finding) {
    if (options_.reap_orphans && !locks_shown_) {
      show_held_locks();
      locks_shown_ = true;
    }
    send(finding);
    ask();
  }

  // Answered, as any hello, with the plan: once the host has looked.
  void ask() {
    if (outlet_.is_answered() && state_.muted.load() == 0) {
      send(Hello{});
      asked_ns_ = monotonic_ns();
    }
  }

  void take_answers() {
    for (const Record& record : outlet_.received()) {
      if (asked_ns_ == 0 || !std::holds_alternative<GuestPlan>(record)) {
        continue;
      }
      asked_ns_ = 0;
      if (socket_ >= 0) {
        ::send(socket_, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
      }
    }
  }

  void wait_for_something() {
    std::array<pollfd, 2> fds = {{{socket_, POLLIN, 0}, {outlet_.fd(), outlet_.events(), 0}}};
    poll(fds.data(), outlet_.fd() < 0 ? 1 : 2, static_cast<int>(kTickNs / 1'000'000));
    outlet_.pump();
    take_answers();
  }

  void take_records() {
    std::array<char, 16384> block{};
    ssize_t got = 0;
    while (socket_ >= 0 && (got = recv(socket_, block.data(), block.size(), MSG_DONTWAIT)) > 0) {
      for (Record& record : reader_.feed({block.data(), static_cast<std::size_t>(got)})) {
        if (auto* summary = std::get_if<Summary>(&record)) {
          summary_ = std::move(*summary);
          done_ = true;
        } else if (std::holds_alternative<FindingRecord>(record)) {
          send_finding(record);
        } else if (std::holds_alternative<Hello>(record)) {
          ask();
        } else {
          send(record);
        }
      }
    }
    if (got == 0) {
      socket_ = -1;  // poll ignores it from now on; reap() learns why
    }
  }

  void reap() {
    int status = 0;
    pid_t pid = 0;
    while ((pid = waitpid(options_.reap_orphans ? -1 : runner_, &status, WNOHANG)) > 0) {
      if (pid == runner_) {
        take_records();
        done_ = true;
        runner_is_reaped_ = true;
        if (!summary_) {
          fail(describe_death("the runner", status, state_));
        }
        return;
      }
    }
  }

  void fail(const std::string& reason) {
    Summary summary;
    summary.outcome = Outcome::kBroken;
    summary.reason = reason;
    summary.time_s = time_s();
    summary.rounds = state_.round.load();
    summary.counters = SharedCounters(state_).values();
    summary_ = std::move(summary);
    done_ = true;
  }

  // The runner's main thread is in the address space of the roles, so it may hang with them.
  void check_pulse() {
    const double quiet = static_cast<double>(monotonic_ns() - state_.runner_progress_ns.load());
    if (done_ || state_.muted.load() != 0 ||
        quiet < kRunnerLimitNs * std::max(plan_.slowdown, 1.0)) {
      return;
    }
    const TaskEvidence seen = take_evidence(runner_, runner_);
    const std::string phase = state_.runner_phase.load();
    const std::string function = blamed_function(seen.stack, seen.wchan);
    if (function.empty()) {
      fail("the runner made no progress while " + phase + ", and was in user space");
      return;
    }
    FindingRecord finding;
    finding.kind = "hang";
    finding.title = "hang in " + function;
    finding.role = "runner";
    finding.time_s = time_s();
    finding.round = state_.round.load();
    finding.evidence = {
        {"stack", seen.stack}, {"wchan", seen.wchan}, {"status", seen.status}, {"phase", phase}};
    send_finding(finding);
    fail("the runner itself hung while " + phase);
    summary_->outcome = Outcome::kFound;
  }

  void beat() {
    const std::int64_t now = monotonic_ns();
    if (done_ || now < next_beat_ns_) {
      return;
    }
    next_beat_ns_ = now + kHeartbeatNs;
    Heartbeat beat;
    beat.time_s = time_s();
    beat.uptime_s = static_cast<double>(now) / 1e9;
    beat.round = state_.round.load();
    const std::uint32_t count = state_.role_count.load(std::memory_order_acquire);
    const auto quiet_ns = static_cast<std::int64_t>(3.0 * kSecond * std::max(plan_.slowdown, 1.0));
    for (std::uint32_t i = 0; i < count && i < kMaxRoles; ++i) {
      const RoleSlot& slot = state_.roles[i];
      beat.roles.push_back({slot.name.data(), slot.steps.load(), state_name(slot, now, quiet_ns)});
    }
    beat.counters = SharedCounters(state_).values();
    beat.counters.merge(hits());
    send(beat);
  }

  double time_s() const {
    const std::int64_t started = state_.started_ns.load();
    return started == 0 ? 0 : static_cast<double>(monotonic_ns() - started) / 1e9;
  }

  const GuestPlan& plan_;
  Outlet& outlet_;
  SharedState& state_;
  const SuperviseOptions& options_;
  int runner_ = -1;
  int socket_ = -1;
  RecordReader reader_;
  std::optional<Summary> summary_;
  std::int64_t next_beat_ns_ = 0;
  std::int64_t asked_ns_ = 0;  // when the host was last asked and has not answered; 0: never
  bool locks_shown_ = false;
  bool done_ = false;
  bool runner_is_reaped_ = false;
  Counters hits_before_;
};

[[noreturn]] void run_child(const GuestPlan& plan, const Registry& registry, SharedState& state,
                            Widener* widener, int socket, std::int64_t answer_ns) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  mark_crashes(state);
  selftest::set_shared_state(&state);
  SocketSink sink(socket, answer_ns);
  runners_sink = &sink;
  {
    Trial trial(plan, registry, state, sink, widener);
    sink.send(trial.run());
    if (trial.stuck()) {
      _exit(0);  // a thread may still use what a destructor would take away
    }
  }
  _exit(0);
}

// Lets the runner give back what it reserved. One whose role is stuck in the kernel cannot even
// be killed: it is never waited for without a bound.
void end_runner(pid_t runner, double slowdown) {
  const int limit = static_cast<int>(kExitMs * std::max(slowdown, 1.0));
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, runner, 0));
  pollfd ended{handle, POLLIN, 0};
  if (handle < 0 || poll(&ended, 1, limit) != 1) {
    kill(runner, SIGKILL);
    if (handle >= 0) {
      poll(&ended, 1, limit);
    }
  }
  if (handle >= 0) {
    close(handle);
  }
  waitpid(runner, nullptr, WNOHANG);
}

Summary could_not_start(Outlet& outlet, const std::string& reason) {
  Summary summary;
  summary.reason = reason;
  outlet.send(summary);
  outlet.pump();
  return summary;
}

}  // namespace

void let_host_look() {
  if (runners_sink != nullptr) {
    runners_sink->let_host_look();
  }
}

Summary supervise(const GuestPlan& plan, const Registry& registry, Outlet& outlet,
                  const SuperviseOptions& options) {
  Result<SharedMapping> state = SharedMapping::create();
  if (!state) {
    return could_not_start(outlet, state.error().message);
  }
  // Before any file of ours is open that a runner's death must close.
  const CpuWorkers workers((*state)->cpu_work, read_machine_facts().cpus);
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    return could_not_start(outlet,
                           std::string("make the runner's socket: ") + std::strerror(errno));
  }
  const pid_t runner = fork();
  if (runner == 0) {
    close(sockets[0]);
    run_child(plan, registry, **state, options.widener, sockets[1],
              outlet.is_answered() ? answer_limit(plan) : 0);
  }
  close(sockets[1]);
  if (runner < 0) {
    close(sockets[0]);
    return could_not_start(outlet, std::string("fork the runner: ") + std::strerror(errno));
  }
  Supervisor supervisor(plan, outlet, **state, options);
  Summary summary = supervisor.watch(runner, sockets[0]);
  close(sockets[0]);
  // PID 1 that powers off ends everything.
  const bool must_end = !options.reap_orphans || options.machine_goes_on;
  if (must_end && !supervisor.runner_is_reaped()) {
    end_runner(runner, plan.slowdown);
  }
  return summary;
}

}  // namespace mmquake
