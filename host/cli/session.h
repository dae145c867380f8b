// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the commands that boot a VM share: configuration, kernels, hypervisor, accelerator.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/image/payload.h"
#include "host/kernel/kernel_store.h"
#include "host/machine/accelerator.h"
#include "host/machine/machine.h"
#include "host/plan/plan.h"
#include "host/plan/workloads.h"
#include "host/report/report.h"
#include "host/store/store.h"

namespace mmquake {

class StatusLine;

struct CommonOptions {
  std::string program = "mmquake";        // argv[0], for the command that repeats a run
  std::string connect = "qemu:///embed";  // libvirt URI
  std::string accel = "auto";
  bool json = false;
  std::filesystem::path out;  // where the run's directory goes; empty: the state directory
};

// Prints the error for a person on stderr and gives the exit code of its kind: 2, 3 or 4.
int fail(const Error& error);

// The exit codes of the commands that run trials.
inline constexpr int kExitExpected = 0;
inline constexpr int kExitUnexpected = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitBroken = 3;
inline constexpr int kExitSkipped = 4;

// The exit code that says what trials have come to.
int exit_code_of(Outcome outcome);

// Where runs go, and the store of the soaks among them.
std::filesystem::path runs_root(const CommonOptions& common);
std::filesystem::path store_path(const CommonOptions& common);
// One that is there: who asks for what was run makes no empty store.
Result<Store> open_old_store(const CommonOptions& common);

class Session {
 public:
  // Reads what the guest binary offers; starts no VM.
  static Result<std::unique_ptr<Session>> open(CommonOptions options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const CommonOptions& options() const { return options_; }
  const Catalogue& catalogue() const { return catalogue_; }
  const WorkloadCatalogue& workloads() const { return workloads_; }
  KernelStore& kernels() { return kernels_; }

  // Gets the kernel (builds it if need be, with progress), its initramfs, the machine and the
  // accelerator into a plan that lacks only guest, name and directory.
  Result<TrialPlan> prepare(const std::string& kernel, const std::string& machine,
                            const std::vector<std::string>& bugs,
                            const std::optional<Payload>& payload = std::nullopt);

  // The machine of that name, if this host can hold it.
  Result<MachineSpec> machine_that_fits(const std::string& name) const;
  // What prepare() does after the kernel is there. `kernel` says how it is booted.
  Result<TrialPlan> plan_for(const KernelSpec& kernel, const KernelArtifact& artifact,
                             const MachineSpec& machine, const std::vector<std::string>& bugs,
                             const std::optional<Payload>& payload, StatusLine& status);

  // A fresh directory runs/TIME-LABEL for this run.
  Result<std::filesystem::path> run_directory(const std::string& label);

  // A fresh directory TIME-LABEL in `root`.
  static Result<std::filesystem::path> directory_in(const std::filesystem::path& root,
                                                    const std::string& label);

  // Runs one trial with a status line, writes its files.
  Result<ReportedTrial> run(ReportedTrial trial);
  // The same without a word, in `vm` (see run_trial). From any thread, once prepare() has been
  // called.
  Result<ReportedTrial> run_quietly(ReportedTrial trial, KeptVm& vm, const TrialObserver& observer);

  // What a debugger needs to see a kernel of the catalogue; its sources are put together if need
  // be.
  Result<KernelDebugFiles> debug_files(const std::string& kernel);
  // A trial in a debugger's hands: nothing is ever late, nothing is written about it, and its
  // verdict means nothing. `is_over` is asked every 200 ms.
  Result<TrialResult> run_debugged(TrialPlan plan, const TrialObserver& observer,
                                   const std::function<bool()>& is_over);

  // Where lasting text for a person goes: stdout, or stderr under --json.
  std::FILE* human() const { return options_.json ? stderr : stdout; }

 private:
  Session(CommonOptions options, WorkloadCatalogue workloads);
  Result<Hypervisor*> hypervisor();
  // Sites that are lines of the source become places in the kernel's code, one for each copy.
  Result<> resolve_sites(TrialPlan& plan);
  Result<AcceleratorChoice> accelerator(const KernelArtifact& kernel,
                                        const std::filesystem::path& initramfs);

  CommonOptions options_;
  Catalogue catalogue_;
  WorkloadCatalogue workloads_;
  KernelStore kernels_;
  std::unique_ptr<Hypervisor> hypervisor_;
  std::string told_;  // of the accelerator
  std::mutex lines_mutex_;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>>
      lines_;  // by key and site
};

// Usage error when the kernel has not all of the switches.
Result<> check_bugs(const KernelSpec& kernel, const std::vector<std::string>& bugs);

// The static guest binary: beside this program, or in ../lib/mmquake where that is installed.
std::filesystem::path guest_binary();

// "k=v" pairs to a map; an error names the pair that has no '='.
Result<std::map<std::string, std::string>> parse_params(const std::vector<std::string>& pairs);

// " --accel X --connect Y", as far as they are not the defaults: for a command that repeats.
std::string vm_options_text(const CommonOptions& options);

// A word for a POSIX shell, quoted only where it must be.
std::string shell_word(const std::string& word);
// The words of a command that was put together with shell_word(); a quote that does not end is an
// error.
Result<std::vector<std::string>> shell_words(std::string_view command);

}  // namespace mmquake
