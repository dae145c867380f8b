// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/session.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <limits>
#include <system_error>

#include "host/cli/interrupt.h"
#include "host/cli/status_line.h"
#include "host/console/console.h"
#include "host/console/line_sites.h"
#include "host/image/initramfs.h"
#include "host/machine/libvirt_hypervisor.h"
#include "host/plan/directories.h"

namespace mmquake {
namespace {

std::string progress_text(const std::string& kernel, const Progress& progress) {
  return fmt::format("kernel {}: {}", kernel, to_text(progress));
}

std::string status_text(const ReportedTrial& trial, const TrialStatus& status) {
  std::string head = fmt::format("{} {}/{}: {} {:.0f} s", trial.side, trial.number, trial.of,
                                 status.phase, status.seconds);
  if (status.phase == "booting") return head;
  std::string out = fmt::format("{} of {:.0f}, {} rounds", head, trial.plan.guest.seconds,
                                thousands(status.rounds));
  const auto migrations = status.counters.find("thp_migrations");
  if (migrations != status.counters.end()) {
    out += fmt::format(", {} THP migrations", thousands(migrations->second));
  }
  return out + fmt::format(", {} findings", status.findings);
}

}  // namespace

Result<> check_bugs(const KernelSpec& kernel, const std::vector<std::string>& bugs) {
  for (const std::string& bug : bugs) {
    if (std::find(kernel.bugs.begin(), kernel.bugs.end(), bug) != kernel.bugs.end()) continue;
    if (kernel.bugs.empty()) {
      return usage(
          fmt::format("kernel '{}' has no switches, so --bugs {} cannot be put on; use "
                      "--kernel specimen",
                      kernel.name, bug));
    }
    return tl::make_unexpected(unknown_name("switch", bug, kernel.bugs));
  }
  return {};
}

int fail(const Error& error) {
  const bool colour = wants_colour(stderr);
  fmt::print(stderr, "{}mmquake:{} {}\n", colour ? "\x1b[1;31m" : "", colour ? "\x1b[0m" : "",
             escape_for_terminal(error.message));
  switch (error.kind) {
    case ErrorKind::kUsage:
      return kExitUsage;
    case ErrorKind::kBroken:
      return kExitBroken;
    case ErrorKind::kSkipped:
      return kExitSkipped;
  }
  return kExitBroken;
}

int exit_code_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return kExitExpected;
    case Outcome::kFound:
      return kExitUnexpected;
    case Outcome::kSkipped:
      return kExitSkipped;
    case Outcome::kBroken:
      return kExitBroken;
  }
  return kExitBroken;
}

std::filesystem::path runs_root(const CommonOptions& common) {
  return common.out.empty() ? state_dir() / "runs" : std::filesystem::absolute(common.out);
}

std::filesystem::path store_path(const CommonOptions& common) {
  return runs_root(common) / "store.sqlite";
}

Result<Store> open_old_store(const CommonOptions& common) {
  std::error_code error;
  if (std::filesystem::exists(store_path(common), error)) return Store::open(store_path(common));
  return usage(
      fmt::format("there is no {}: no campaign was run yet; start one with: {} soak nightly",
                  store_path(common).string(), common.program));
}

std::filesystem::path guest_binary() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = self.parent_path() / "mmquake-guest";
  const std::filesystem::path installed =
      self.parent_path().parent_path() / "lib/mmquake/mmquake-guest";
  return !std::filesystem::exists(beside, error) && std::filesystem::exists(installed, error)
             ? installed
             : beside;
}

Session::Session(CommonOptions options, WorkloadCatalogue workloads)
    : options_(std::move(options)),
      catalogue_(data_dir() / "configs"),
      workloads_(std::move(workloads)),
      kernels_(cache_dir()) {}

Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::open(CommonOptions options) {
  auto workloads = WorkloadCatalogue::open(guest_binary());
  if (!workloads) return tl::make_unexpected(workloads.error());
  return std::unique_ptr<Session>(new Session(std::move(options), std::move(*workloads)));
}

Result<TrialPlan> Session::prepare(const std::string& kernel, const std::string& machine,
                                   const std::vector<std::string>& bugs,
                                   const std::optional<Payload>& payload) {
  auto kernel_spec = catalogue_.kernel(kernel);
  if (!kernel_spec) return tl::make_unexpected(kernel_spec.error());
  auto machine_spec = machine_that_fits(machine);
  if (!machine_spec) return tl::make_unexpected(machine_spec.error());
  if (auto known = check_bugs(*kernel_spec, bugs); !known) {
    return tl::make_unexpected(known.error());
  }
  StatusLine status(human());
  auto artifact = kernels_.obtain(
      *kernel_spec,
      [&](const Progress& progress) { status.show(progress_text(kernel_spec->name, progress)); },
      interrupted);
  if (!artifact) return tl::make_unexpected(artifact.error());
  return plan_for(*kernel_spec, *artifact, *machine_spec, bugs, payload, status);
}

Result<MachineSpec> Session::machine_that_fits(const std::string& name) const {
  auto machine = catalogue_.machine(name);
  if (!machine) return machine;
  if (auto fits = fits_host(*machine, host_available_mib()); !fits) {
    return tl::make_unexpected(fits.error());
  }
  return machine;
}

Result<TrialPlan> Session::plan_for(const KernelSpec& kernel, const KernelArtifact& artifact,
                                    const MachineSpec& machine,
                                    const std::vector<std::string>& bugs,
                                    const std::optional<Payload>& payload, StatusLine& status) {
  TrialPlan plan;
  plan.machine = machine;
  plan.bugs = bugs;
  plan.kernel_boot_args = kernel.boot_args;
  plan.kernel = artifact;
  status.show("writing the initramfs");
  InitramfsContents contents;
  contents.init = guest_binary();
  if (!artifact.widener.empty()) contents.widener = artifact.widener;
  contents.modules = artifact.modules;
  contents.payload = payload;
  auto image = cached_initramfs(contents, cache_dir() / "initramfs");
  if (!image) return tl::make_unexpected(image.error());
  plan.initramfs = *image;
  status.show("choosing the accelerator: does a kernel boot under KVM?");
  auto chosen = accelerator(artifact, *image);
  if (!chosen) return tl::make_unexpected(chosen.error());
  plan.accelerator = chosen->accelerator;
  status.clear();
  if (!chosen->message.empty() && chosen->message != told_) {
    fmt::print(human(), "{}\n", escape_for_terminal(chosen->message));
    told_ = chosen->message;
  }
  return plan;
}

Result<Hypervisor*> Session::hypervisor() {
  if (!hypervisor_) {
    auto opened = LibvirtHypervisor::open(options_.connect);
    if (!opened) return tl::make_unexpected(opened.error());
    hypervisor_ = std::move(*opened);
  }
  return hypervisor_.get();
}

Result<AcceleratorChoice> Session::accelerator(const KernelArtifact& kernel,
                                               const std::filesystem::path& initramfs) {
  auto host = hypervisor();
  if (!host) return tl::make_unexpected(host.error());
  AcceleratorProbe probe;
  probe.cache_file = cache_dir() / "accelerator.json";
  return choose_accelerator(options_.accel, probe, **host, kernel, initramfs);
}

namespace {

// Two runs in one second, or an --out that was used before: never mix two runs' files.
Result<std::filesystem::path> fresh_directory(const std::filesystem::path& root) {
  std::filesystem::path dir = root;
  for (int n = 2;; ++n) {
    std::error_code error;
    if (std::filesystem::create_directories(dir, error)) return dir;
    if (error) return broken("cannot make '" + dir.string() + "': " + error.message());
    if (std::filesystem::is_empty(dir, error)) return dir;
    dir = root.string() + "." + std::to_string(n);
  }
}

std::string timed_name(const std::string& label) {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  return fmt::format("{:%Y-%m-%dT%H-%M-%SZ}-{}", utc, label);
}

}  // namespace

Result<std::filesystem::path> Session::run_directory(const std::string& label) {
  if (options_.out.empty()) return directory_in(state_dir() / "runs", label);
  return fresh_directory(std::filesystem::absolute(options_.out));
}

Result<std::filesystem::path> Session::directory_in(const std::filesystem::path& root,
                                                    const std::string& label) {
  return fresh_directory(std::filesystem::absolute(root) / timed_name(label));
}

Result<> Session::resolve_sites(TrialPlan& plan) {
  std::vector<WidenSite> sites;
  for (const WidenSite& site : plan.guest.widen) {
    const auto line = source_line(site.site);
    if (!line) {
      sites.push_back(site);
      continue;
    }
    const std::lock_guard<std::mutex> lock(lines_mutex_);
    std::vector<std::string>& places = lines_[{plan.kernel.key, site.site}];
    if (places.empty()) {
      auto found = sites_of_line(plan.kernel.vmlinux, line->file, line->line);
      if (!found) return context("--widen " + site.site, found.error());
      places = std::move(*found);
    }
    if (places.size() > kMaxWidenSites) {
      return usage(
          fmt::format("--widen {}: the compiler has made {} copies of it, and the widener "
                      "has room for {}: name one of its callers",
                      site.site, places.size(), kMaxWidenSites));
    }
    for (const std::string& place : places) {
      sites.push_back(site);
      sites.back().site = place;
      // Nobody can say which of the copies a workload comes by.
      sites.back().may_miss = site.may_miss || places.size() > 1;
    }
  }
  plan.guest.widen = std::move(sites);
  return {};
}

Result<ReportedTrial> Session::run_quietly(ReportedTrial trial, KeptVm& vm,
                                           const TrialObserver& observer) {
  auto host = hypervisor();
  if (!host) return tl::make_unexpected(host.error());
  if (auto resolved = resolve_sites(trial.plan); !resolved) {
    return tl::make_unexpected(resolved.error());
  }
  auto result = run_trial(trial.plan, **host, vm, observer, interrupted);
  if (!result) return tl::make_unexpected(result.error());
  trial.result = std::move(*result);
  trial.kernel =
      trial.plan.kernel.release.empty() ? trial.plan.kernel.name : trial.plan.kernel.release;
  if (auto written = write_trial(trial); !written) return tl::make_unexpected(written.error());
  return trial;
}

Result<KernelDebugFiles> Session::debug_files(const std::string& kernel) {
  auto spec = catalogue_.kernel(kernel);
  if (!spec) return tl::make_unexpected(spec.error());
  StatusLine status(human());
  return kernels_.obtain_debug_files(
      *spec, [&](const Progress& progress) { status.show(progress_text(spec->name, progress)); },
      interrupted);
}

Result<TrialResult> Session::run_debugged(TrialPlan plan, const TrialObserver& observer,
                                          const std::function<bool()>& is_over) {
  auto host = hypervisor();
  if (!host) return tl::make_unexpected(host.error());
  if (auto resolved = resolve_sites(plan); !resolved) {
    return tl::make_unexpected(resolved.error());
  }
  constexpr double kNever = std::numeric_limits<double>::infinity();
  return run_trial(plan, **host, observer, is_over,
                   {.boot = kNever,
                    .silence = kNever,
                    .overrun = kNever,
                    .power_off = kNever,
                    .panic_print = kNever});
}

Result<ReportedTrial> Session::run(ReportedTrial trial) {
  StatusLine status(human());
  status.show(fmt::format("{} {}/{}: starting the VM", trial.side, trial.number, trial.of));
  const ReportedTrial what = trial;
  KeptVm none;
  return run_quietly(std::move(trial), none,
                     [&](const TrialStatus& now) { status.show(status_text(what, now)); });
}

Result<std::map<std::string, std::string>> parse_params(const std::vector<std::string>& pairs) {
  std::map<std::string, std::string> out;
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return usage("--param '" + pair + "' is not of the form key=value");
    }
    out[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return out;
}

std::string vm_options_text(const CommonOptions& options) {
  std::string out;
  if (options.accel != "auto") out += " --accel " + options.accel;
  if (options.connect != "qemu:///embed") out += " --connect " + shell_word(options.connect);
  return out;
}

std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_-./=:,+@%").find(c) != std::string_view::npos;
  });
  if (plain) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

Result<std::vector<std::string>> shell_words(std::string_view command) {
  std::vector<std::string> out;
  bool quoted = false;
  bool in_word = false;
  for (std::size_t at = 0; at < command.size(); ++at) {
    const char c = command[at];
    if (!quoted && c == ' ') {
      in_word = false;
      continue;
    }
    if (!in_word) out.emplace_back();
    in_word = true;
    if (c == '\'') {
      quoted = !quoted;
    } else if (!quoted && c == '\\' && at + 1 < command.size()) {
      out.back() += command[++at];
    } else {
      out.back() += c;
    }
  }
  if (quoted) return broken(fmt::format("a quote does not end in: {}", command));
  return out;
}

}  // namespace mmquake
