// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/trial_options.h"

#include <fmt/format.h>

#include <system_error>

#include "host/cli/commands.h"
#include "host/cli/kernel_recipe.h"
#include "host/plan/widen_text.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr double kSeconds = 30;
constexpr const char* kMachine = "numa2";
constexpr const char* kKernel = "clean";

// Where the current directory changes, a file's name shall not.
std::string lasting_name(const std::string& name) {
  const bool is_file = name.find('/') != std::string::npos || name.ends_with(".toml");
  return is_file ? fs::absolute(name).lexically_normal().string() : name;
}

Result<bisect::VmTrial> trial_of_case(const Session& session, const TrialOptions& options) {
  auto spec = session.catalogue().find_case(options.case_name);
  if (!spec) return tl::make_unexpected(spec.error());
  auto params = parse_params(options.params);
  if (!params) return tl::make_unexpected(params.error());
  // Those given win.
  params->insert(spec->params.begin(), spec->params.end());
  if (auto fits = session.workloads().check_params(spec->workload, *params); !fits) {
    return tl::make_unexpected(fits.error());
  }
  bisect::VmTrial out;
  out.case_name = spec->name;
  out.expect_kinds = spec->expect_kinds;
  out.expect_titles = spec->expect_titles;
  out.workload = spec->workload;
  out.params = std::move(*params);
  out.machine = spec->machine;
  out.seconds = spec->bug_seconds;
  out.widen = spec->widen;
  return out;
}

Result<bisect::VmTrial> trial_of_workload(const Session& session, const TrialOptions& options) {
  RunOptions run;
  run.workload = options.workload;
  run.params = options.params;
  auto guest = guest_plan(session, run);
  if (!guest) return tl::make_unexpected(guest.error());
  bisect::VmTrial out;
  out.workload = guest->workload;
  out.params = guest->params;
  out.machine = kMachine;
  out.seconds = kSeconds;
  return out;
}

}  // namespace

void add_common(CLI::App& app, CommonOptions& common) {
  app.add_flag("--json", common.json, "Print the result as JSON on stdout, the rest on stderr");
}

void add_vm_options(CLI::App& app, CommonOptions& common) {
  add_common(app, common);
  app.add_option("--accel", common.accel,
                 "auto: KVM if a real kernel boots under it, else TCG; or kvm, tcg")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
      ->capture_default_str();
  app.add_option("--connect", common.connect, "libvirt URI")->capture_default_str();
  app.add_option("--out", common.out,
                 "Folder for this run's files (default: a new one in the XDG state folder)");
}

void add_trial_options(CLI::App& command, TrialOptions& options, CommonOptions& common) {
  CLI::Option* name = command.add_option(
      "--case", options.case_name,
      "One trial is this case, without its bug switch: workload, machine, widening");
  command.add_option("--workload", options.workload, "One trial is this workload")->excludes(name);
  command.add_option("--param", options.params, "Workload parameter as key=value; repeatable");
  command.add_option("--machine", options.machine, "Machine (default: the case's, or numa2)");
  command
      .add_option("--seconds", options.seconds,
                  "Guest time per trial (default: what the case's bug may take, or 30)")
      ->check(CLI::Range(1.0, 86400.0, "1 to 86400"));
  command.add_option("--widen", options.widen,
                     "Delay site instead of the case's: SITE[:MIN-MAX us][:p=PROBABILITY]"
                     "[:comm=THREAD][:spin][:may-miss]; repeatable");
  command.add_option("--bugs", options.bugs, "Switches of the kernel's patches to put on")
      ->delimiter(',');
  command.add_option("--kernel-config", options.kernel_config,
                     "The kernel whose fragments, patches and boot arguments are taken (default: "
                     "the case's clean one, or clean), or a fragment on top of them; repeatable");
  command
      .add_option("--with-patch", options.patches,
                  "A patch that each kernel is built with; where it does not apply, the commit "
                  "cannot be tested; repeatable")
      ->check(CLI::ExistingFile);
  command.add_option("--accel", common.accel, "auto, kvm or tcg, as for mmquake run")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
      ->capture_default_str();
  command.add_option("--connect", common.connect, "libvirt URI")->capture_default_str();
}

bool TrialOptions::has_more() const {
  return !params.empty() || !machine.empty() || seconds > 0 || !widen.empty() || !bugs.empty() ||
         !kernel_config.empty() || !patches.empty();
}

Result<bisect::VmTrial> vm_trial(const Session& session, const TrialOptions& options) {
  if (!options.is_given())
    return usage("what is one trial? Say --case CASE or --workload WORKLOAD");
  auto trial = options.case_name.empty() ? trial_of_workload(session, options)
                                         : trial_of_case(session, options);
  if (!trial) return trial;
  if (!options.machine.empty()) trial->machine = options.machine;
  trial->machine = lasting_name(trial->machine);
  if (options.seconds > 0) trial->seconds = options.seconds;
  if (!options.widen.empty()) trial->widen.clear();
  for (const std::string& text : options.widen) {
    auto site = parse_widen(text);
    if (!site) return tl::make_unexpected(site.error());
    trial->widen.push_back(std::move(*site));
  }
  trial->bugs = options.bugs;
  trial->accelerator = session.options().accel;
  trial->connect = session.options().connect;
  return trial;
}

Result<KernelSpec> kernel_like(const Session& session, const TrialOptions& options) {
  std::string name;
  std::vector<fs::path> fragments;
  for (const std::string& one : options.kernel_config) {
    std::error_code error;
    const bool is_fragment = !one.ends_with(".toml") && fs::is_regular_file(one, error);
    if (is_fragment) {
      fragments.push_back(fs::absolute(one));
    } else if (name.empty()) {
      name = one;
    } else {
      return usage(
          fmt::format("--kernel-config names two kernels, '{}' and '{}'; more than one "
                      "may only be fragments (files)",
                      name, one));
    }
  }
  if (name.empty() && !options.case_name.empty()) {
    auto spec = session.catalogue().find_case(options.case_name);
    if (!spec) return tl::make_unexpected(spec.error());
    name = spec->clean_kernel;
  }
  auto kernel = session.catalogue().kernel(name.empty() ? kKernel : name);
  if (!kernel) return context("--kernel-config", kernel.error());
  if (auto fine = check_is_built(*kernel); !fine) return tl::make_unexpected(fine.error());
  kernel->fragments.insert(kernel->fragments.end(), fragments.begin(), fragments.end());
  for (const fs::path& patch : options.patches) kernel->patches.push_back(fs::absolute(patch));
  if (auto known = check_bugs(*kernel, options.bugs); !known) {
    return tl::make_unexpected(known.error());
  }
  return kernel;
}

}  // namespace mmquake
