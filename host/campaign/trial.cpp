// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/trial.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include "host/campaign/machine_evidence.h"
#include "host/campaign/stack_sampler.h"
#include "host/console/log_shapes.h"
#include "host/console/symbolizer.h"

namespace mmquake {
namespace {

constexpr std::chrono::milliseconds kLookEvery{200};
constexpr std::chrono::milliseconds kSampleEvery{30};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The loop's memory: what came so far, and when.
class Watch {
 public:
  Watch(const TrialPlan& plan, const TrialObserver& observer, const Deadlines& deadlines)
      : plan_(plan), observer_(observer), deadlines_(deadlines), evidence_(plan) {}

  // `vm` may be without a machine: then one is booted for this.
  Result<> open(KeptVm& vm);
  Result<Observation> follow(Machine& machine, const std::function<bool()>& should_stop);
  void fill(TrialResult& result) const;
  HostWatch take_host() { return std::move(host_); }

 private:
  enum class Phase { kBooting, kRunning, kEnding, kPanicking, kDiagnosing };

  std::filesystem::path records_path() const { return plan_.directory / "records.jsonl"; }
  Result<> take(const MachineActivity& activity, Machine& machine);
  Result<> take_record(Record record, Machine& machine);
  Result<> greet(const Hello& hello, Machine& machine);
  Result<bool> on_state(const MachineActivity& activity, Machine& machine);
  Result<bool> on_time(Machine& machine);
  void enter(Phase phase) {
    phase_ = phase;
    entered_ = Clock::now();
  }
  // Before anything else happens to the guest.
  void take_evidence(Machine& machine, bool crashed);
  bool has_report() const;
  void report_status();
  void fill_windows();

  const TrialPlan& plan_;
  const TrialObserver& observer_;
  Deadlines deadlines_;
  Observation seen_;
  ConsoleParser console_;
  LogShapes shapes_;
  HostWatch host_;
  MachineEvidence evidence_;
  StackSampler sampler_;
  RecordReader virtio_, serial_;
  std::ofstream records_;
  std::ofstream
      console_copy_;  // QEMU writes the console of a boot into the first trial's directory
  std::uint64_t turn_ = 0;
  bool waits_ = false;  // for the next plan
  Heartbeat beat_;
  Phase phase_ = Phase::kBooting;
  Clock::time_point start_ = Clock::now();
  Clock::time_point entered_ = start_;
  Clock::time_point last_record_ = start_;
  Clock::time_point running_since_ = start_;
  Clock::time_point last_status_;
  double boot_seconds_ = 0;
  double slowdown_ = 0;
  double scale_ = 1;
  std::uint64_t records_bytes_ = 0;
};

Result<> Watch::open(KeptVm& vm) {
  records_.open(records_path());
  if (!records_) return broken("cannot write '" + records_path().string() + "': is the disk full?");
  if (plan_.keeps_vm) turn_ = vm.trials.size() + 1;
  if (vm.machine == nullptr) return {};
  // What such a kernel says before it has the plan is as good as what it says later.
  console_copy_.open(plan_.directory / "console.log");
  seen_.hello = vm.hello;
  slowdown_ = vm.slowdown;
  scale_ = detector_scale(slowdown_);
  host_ = std::move(vm.host);
  host_.begin_trial();
  phase_ = Phase::kRunning;
  return {};
}

Result<> Watch::greet(const Hello& hello, Machine& machine) {
  if (phase_ == Phase::kEnding && turn_ > 0 && !hello.kernel.empty()) {
    waits_ = true;
    return {};
  }
  // A repeated hello means that the plan has not arrived yet: send it again.
  if (!seen_.hello) {
    seen_.hello = hello;
    boot_seconds_ = seconds_since(start_);
    const double host = calibrate();
    slowdown_ = host > 0 ? std::clamp(hello.calibration_ms / host, 1.0, 1000.0) : 1.0;
    scale_ = detector_scale(slowdown_);
    seen_.workload_console_offset = console_.bytes();
    running_since_ = Clock::now();
    enter(Phase::kRunning);
  }
  GuestPlan guest = plan_.guest;
  guest.slowdown = scale_;
  guest.turn = turn_;
  return machine.send(encode(guest));
}

Result<> Watch::take_record(Record record, Machine& machine) {
  last_record_ = Clock::now();
  // A guest may send for ever; the file that keeps its words is bounded.
  constexpr std::uint64_t kMaxRecordBytes = 64ULL << 20;
  const std::string json = to_json(record);
  if (records_bytes_ + json.size() < kMaxRecordBytes) {
    // At once: a disk that is full shows here, while QEMU drops a console's bytes without a word.
    records_ << json << '\n' << std::flush;
    records_bytes_ += json.size() + 1;
  }
  if (auto* hello = std::get_if<Hello>(&record)) {
    // One that names no kernel asks the host to look before something is undone.
    if (seen_.hello && hello->kernel.empty()) take_evidence(machine, false);
    return greet(*hello, machine);
  }
  if (auto* beat = std::get_if<Heartbeat>(&record)) {
    if (!seen_.workload_uptime_s && beat->time_s > 0) {
      seen_.workload_uptime_s = beat->uptime_s - beat->time_s;
    }
    beat_ = std::move(*beat);
  }
  if (auto* finding = std::get_if<FindingRecord>(&record)) {
    if (seen_.findings.size() < kMaxFindings) {
      seen_.findings.push_back(std::move(*finding));
      host_.note_finding();
    }
    take_evidence(machine, false);
  }
  if (auto* summary = std::get_if<Summary>(&record)) {
    if (!seen_.summary) {
      seen_.summary = std::move(*summary);
      if (phase_ == Phase::kRunning) enter(Phase::kEnding);
    }
  }
  return {};
}

Result<> Watch::take(const MachineActivity& activity, Machine& machine) {
  console_.feed(activity.console);
  if (console_copy_.is_open()) console_copy_ << activity.console << std::flush;
  if (seen_.hello) shapes_.feed(activity.console);
  for (Record& record : virtio_.feed(activity.records_virtio)) {
    if (auto done = take_record(std::move(record), machine); !done) return done;
  }
  for (Record& record : serial_.feed(activity.records_serial)) {
    if (auto done = take_record(std::move(record), machine); !done) return done;
  }
  return {};
}

void Watch::take_evidence(Machine& machine, bool crashed) {
  const Clock::time_point before = Clock::now();
  if (!evidence_.take(machine, crashed)) return;
  // The guest stood still meanwhile.
  const Clock::duration took = Clock::now() - before;
  for (Clock::time_point* since : {&entered_, &last_record_, &running_since_}) *since += took;
}

// Of the kernel, against itself, and since the workload began.
bool Watch::has_report() const {
  return std::any_of(console_.reports().begin(), console_.reports().end(),
                     [&](const KernelReport& report) {
                       return seen_.hello && report.offset >= seen_.workload_console_offset &&
                              report.kind != "oom" && report.kind != "nmi";
                     });
}

// True: the trial is over.
Result<bool> Watch::on_state(const MachineActivity& activity, Machine& machine) {
  switch (activity.state) {
    case MachineState::kRunning:
      return false;
    case MachineState::kHostFailed:
      seen_.end = TrialEnd::kHostFailure;
      seen_.host_failure = activity.host_failure;
      return true;
    case MachineState::kOff:
      // Who panicked, and may have been asked to by our NMI, goes off by itself (panic=1).
      if (phase_ == Phase::kPanicking) return true;
      seen_.end = phase_ == Phase::kBooting      ? TrialEnd::kNoBoot
                  : phase_ == Phase::kDiagnosing ? TrialEnd::kSilent
                                                 : TrialEnd::kPoweredOff;
      return true;
    case MachineState::kCrashed:
      if (phase_ == Phase::kPanicking) return false;
      if (seen_.hello) take_evidence(machine, true);
      // The guest is paused before the end of its message (PLATFORM.md): let it finish.
      if (auto resumed = machine.resume(); !resumed) {
        return tl::make_unexpected(resumed.error());
      }
      seen_.end = phase_ == Phase::kBooting      ? TrialEnd::kNoBoot
                  : phase_ == Phase::kDiagnosing ? TrialEnd::kSilent
                                                 : TrialEnd::kCrashed;
      enter(Phase::kPanicking);
      return false;
  }
  return broken("unknown machine state");
}

// True: a deadline ended the trial.
Result<bool> Watch::on_time(Machine& machine) {
  const double here = seconds_since(entered_);
  switch (phase_) {
    case Phase::kBooting:
      seen_.end = TrialEnd::kNoBoot;
      return here > deadlines_.boot;
    case Phase::kRunning:
      if (seconds_since(running_since_) > plan_.guest.seconds + deadlines_.overrun * scale_) {
        seen_.end = TrialEnd::kOverran;
        return true;
      }
      if (seconds_since(last_record_) < deadlines_.silence * scale_) return false;
      host_.note_silence(deadlines_.silence * scale_);
      take_evidence(machine, false);
      // Nothing but an NMI gets an answer out of a kernel in this state.
      if (auto nmi = machine.inject_nmi(); !nmi) return tl::make_unexpected(nmi.error());
      enter(Phase::kDiagnosing);
      return false;
    case Phase::kDiagnosing:
      seen_.end = TrialEnd::kSilent;
      return here > deadlines_.power_off * scale_;
    case Phase::kEnding:
      seen_.end = TrialEnd::kNoPowerOff;
      return here > deadlines_.power_off * scale_;
    case Phase::kPanicking:
      return here > deadlines_.panic_print * scale_;
  }
  return true;
}

void Watch::report_status() {
  if (!observer_ || seconds_since(last_status_) < 0.5) return;
  last_status_ = Clock::now();
  TrialStatus status;
  status.phase = phase_ == Phase::kBooting   ? "booting"
                 : phase_ == Phase::kRunning ? "running"
                                             : "ending";
  status.seconds = phase_ == Phase::kBooting ? seconds_since(start_) : beat_.time_s;
  status.rounds = beat_.round;
  status.findings = seen_.findings.size() + console_.reports().size();
  status.counters = beat_.counters;
  observer_(status);
}

Result<Observation> Watch::follow(Machine& machine, const std::function<bool()>& should_stop) {
  seen_.widening_asked = std::any_of(plan_.guest.widen.begin(), plan_.guest.widen.end(),
                                     [](const WidenSite& site) { return !site.may_miss; });
  seen_.bugs_asked = plan_.bugs;
  bool over = false;
  while (!over) {
    auto activity = machine.wait(plan_.samples_stacks ? kSampleEvery : kLookEvery);
    if (!activity) return tl::make_unexpected(activity.error());
    if (auto taken = take(*activity, machine); !taken) {
      // The VM may have ended between its last byte and our answer.
      spdlog::debug("send to guest: {}", taken.error().message);
    }
    host_.tick(machine, console_.bytes());
    report_status();
    const bool drained = activity->console.empty() && activity->records_virtio.empty() &&
                         activity->records_serial.empty();
    if (should_stop && should_stop()) {
      seen_.end = TrialEnd::kInterrupted;
      break;
    }
    if (!records_) {
      seen_.end = TrialEnd::kHostFailure;
      seen_.host_failure = "cannot write '" + records_path().string() + "': is the disk full?";
      break;
    }
    if (console_.bytes() > deadlines_.console_limit) {
      seen_.end = TrialEnd::kConsoleFlood;
      break;
    }
    // What the kernel printed until then belongs to this trial.
    if (waits_ && activity->console.empty()) {
      seen_.end = TrialEnd::kWaits;
      break;
    }
    // What a VM that has ended still left in its channels comes first.
    if (activity->state != MachineState::kRunning && !drained) continue;
    auto ended = on_state(*activity, machine);
    if (ended && !*ended) ended = on_time(machine);
    if (!ended) return tl::make_unexpected(ended.error());
    over = *ended;
    if (over || activity->state != MachineState::kRunning) continue;
    if (has_report()) take_evidence(machine, false);
    if (plan_.samples_stacks && phase_ == Phase::kRunning) sampler_.sample(machine);
  }
  console_.finish();
  seen_.reports = console_.reports();
  fill_windows();
  seen_.console_tail = console_.tail();
  seen_.channel = virtio_.stats();
  seen_.channel.records += serial_.stats().records;
  seen_.channel.bad_frames += serial_.stats().bad_frames;
  seen_.channel.garbage_bytes += serial_.stats().garbage_bytes;
  return seen_;
}

void Watch::fill_windows() {
  const DetectorTimes times = detector_times(scale_);
  for (std::size_t i = 0; i < seen_.findings.size(); ++i) {
    seen_.finding_windows.push_back(host_.before_finding(i, seen_.findings[i], times));
  }
  for (const KernelReport& report : seen_.reports) {
    seen_.report_windows.push_back(host_.before_report(report, times));
  }
  seen_.silence = host_.silence();
}

void Watch::fill(TrialResult& result) const {
  result.end = seen_.end;
  if (seen_.hello) result.hello = *seen_.hello;
  if (seen_.summary) {
    result.summary = *seen_.summary;
  } else {
    result.summary.time_s = beat_.time_s;
    result.summary.rounds = beat_.round;
    result.summary.counters = beat_.counters;
  }
  result.slowdown = slowdown_;
  result.boot_seconds = boot_seconds_;
  result.wall_seconds = seconds_since(start_);
  result.channel = seen_.channel;
  result.console_bytes = console_.bytes();
  result.log_shapes = shapes_.shapes();
  result.machine_evidence = evidence_.lines();
  result.stacks = sampler_.stacks();
}

BootRequest boot_request(const TrialPlan& plan) {
  BootRequest request;
  request.name = plan.name;
  request.machine = plan.machine;
  request.accelerator = plan.accelerator;
  request.bzimage = plan.kernel.bzimage;
  request.initramfs = plan.initramfs;
  request.directory = plan.directory;
  request.boot_args = plan.kernel_boot_args;
  request.gdb_socket = plan.gdb_socket;
  // An Oops that holds a lock would become endless soft lockups; all CPUs' backtraces with a
  // panic; an NMI turns a dead-quiet guest into a panic (dossiers, PLATFORM.md).
  for (const char* arg : {"oops=panic", "panic_print=0x40", "unknown_nmi_panic"}) {
    request.boot_args.emplace_back(arg);
  }
  if (!plan.bugs.empty()) {
    request.boot_args.push_back(fmt::format("mmquake_bugs={}", fmt::join(plan.bugs, ",")));
  }
  return request;
}

// With the kernel's debug information an inlined function counts like any other; packaged kernels
// may have none.
void sign_symbolized(std::vector<Finding>& findings, const std::filesystem::path& vmlinux) {
  if (findings.empty()) return;
  const auto symbolizer = Symbolizer::open(vmlinux);
  if (!symbolizer) return;
  sign(findings, [&](const std::string& text) { return symbolizer->symbolize(text); });
}

}  // namespace

double detector_scale(double slowdown) {
  return std::clamp(slowdown / 4.0, 1.0, 6.0);
}

Result<TrialResult> run_trial(const TrialPlan& plan, Hypervisor& hypervisor,
                              const TrialObserver& observer,
                              const std::function<bool()>& should_stop,
                              const Deadlines& deadlines) {
  KeptVm none;
  return run_trial(plan, hypervisor, none, observer, should_stop, deadlines);
}

Result<TrialResult> run_trial(const TrialPlan& plan, Hypervisor& hypervisor, KeptVm& vm,
                              const TrialObserver& observer,
                              const std::function<bool()>& should_stop,
                              const Deadlines& deadlines) {
  std::error_code error;
  std::filesystem::create_directories(plan.directory, error);
  if (error) {
    return broken("cannot make '" + plan.directory.string() + "': " + error.message());
  }
  TrialResult result;
  result.directory = plan.directory;
  Watch watch(plan, observer, deadlines);
  if (auto opened = watch.open(vm); !opened) return tl::make_unexpected(opened.error());
  KeptVm used = std::exchange(vm, {});
  result.before = used.trials;
  if (used.machine == nullptr) {
    auto machine = hypervisor.start(boot_request(plan));
    if (!machine) {
      result.verdict = {Outcome::kBroken, "host failure: " + machine.error().message, {}};
      return result;
    }
    used.machine = std::move(*machine);
  }
  const auto end_vm = [&] {
    if (auto gone = used.machine->destroy(); !gone) {
      spdlog::warn("end VM '{}': {}", plan.name, gone.error().message);
    }
  };
  auto seen = watch.follow(*used.machine, should_stop);
  const bool waits = seen && seen->end == TrialEnd::kWaits;
  if (!waits) end_vm();
  watch.fill(result);
  if (!seen) {
    result.verdict = {Outcome::kBroken, "host failure: " + seen.error().message, {}};
  } else {
    result.verdict = judge(*seen);
    sign_symbolized(result.verdict.findings, plan.kernel.vmlinux);
  }
  if (waits && result.verdict.outcome == Outcome::kPassed) {
    used.hello = result.hello;
    used.slowdown = result.slowdown;
    used.host = watch.take_host();
    used.trials.push_back(plan.name);
    vm = std::move(used);
  } else if (waits) {
    end_vm();
  }
  return result;
}

}  // namespace mmquake
