// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/doctor_command.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "host/cli/interrupt.h"
#include "host/cli/session.h"
#include "host/cli/status_line.h"
#include "host/image/initramfs.h"
#include "host/machine/accelerator.h"
#include "host/machine/libvirt_hypervisor.h"
#include "host/plan/directories.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

Result<std::string> output_of(const std::vector<std::string>& argv) {
  Command command;
  command.argv = argv;
  command.environment["LC_ALL"] = "C";
  auto done = run_command(command, {}, interrupted);
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code != 0) {
    return broken(fmt::format("{} ended with exit code {}", argv.at(0), done->exit_code));
  }
  return done->output_tail;
}

std::uint64_t free_mib(const fs::path& path) {
  struct statvfs info {};
  if (statvfs(path.c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize >> 20;
}

// Opens libvirt once, for its own row and for KVM's.
class Doctor {
 public:
  explicit Doctor(const DoctorOptions& options) : options_(options) {}
  DoctorHost host();

 private:
  Result<std::string> open_libvirt();
  DoctorRow ask_kvm();
  Result<KvmAnswer> boot(const AcceleratorProbe& probe, const KernelArtifact& kernel);

  DoctorOptions options_;
  std::unique_ptr<LibvirtHypervisor> hypervisor_;
};

Result<std::string> Doctor::open_libvirt() {
  auto opened = LibvirtHypervisor::open(options_.connect);
  if (!opened) return tl::make_unexpected(opened.error());
  hypervisor_ = std::move(*opened);
  return options_.connect + ", " + hypervisor_->version();
}

Result<KvmAnswer> Doctor::boot(const AcceleratorProbe& probe, const KernelArtifact& kernel) {
  std::string scratch = (fs::temp_directory_path() / "doctor-XXXXXX").string();
  if (mkdtemp(scratch.data()) == nullptr) return broken("cannot make '" + scratch + "'");
  const fs::path initramfs = fs::path(scratch) / "initramfs.gz";
  auto written = write_initramfs({guest_binary(), {}}, initramfs);
  Result<KvmAnswer> answer = written ? mmquake::ask_kvm(probe, *hypervisor_, kernel, initramfs)
                                     : tl::make_unexpected(written.error());
  std::error_code ignored;  // scratch
  fs::remove_all(scratch, ignored);
  return answer;
}

DoctorRow Doctor::ask_kvm() {
  DoctorRow row;
  row.what = "accelerator KVM";
  row.needed = false;  // TCG does the same, slower
  const auto say = [&](const KvmAnswer& answer) {
    row.how = answer.how + (answer.cached ? " (asked earlier in this boot of the host)" : "");
    row.status = answer.state == KvmState::kUsable     ? DoctorStatus::kOk
                 : answer.state == KvmState::kUnusable ? DoctorStatus::kUnusable
                                                       : DoctorStatus::kMissing;
    if (answer.state == KvmState::kMissing) {
      row.mend =
          "modprobe kvm_intel or kvm_amd; a host that is a VM needs nesting; else TCG is used";
    } else if (answer.state == KvmState::kUnusable && access("/dev/kvm", R_OK | W_OK) != 0) {
      row.mend = "sudo usermod -aG kvm $USER, then log in again";
    } else if (answer.state == KvmState::kUnusable) {
      row.mend = "none needed: TCG is used";
    }
    return row;
  };
  AcceleratorProbe probe;
  probe.cache_file = cache_dir() / "accelerator.json";
  if (const auto answer = ask_kvm_device(probe)) return say(*answer);
  row.status = DoctorStatus::kWarning;
  const auto spec = Catalogue(data_dir() / "configs").kernel("clean");
  const auto kernel = spec ? KernelStore(cache_dir()).find(*spec)
                           : Result<KernelArtifact>(tl::make_unexpected(spec.error()));
  if (!kernel || !hypervisor_) {
    row.how = kernel ? "/dev/kvm opens; not probed: libvirt does not open"
                     : "/dev/kvm opens; not probed yet: no kernel built";
    row.mend = "mmquake kernel build clean, then mmquake doctor";
    return row;
  }
  const auto answer = boot(probe, *kernel);
  if (answer) return say(*answer);
  row.how = "/dev/kvm opens; the probe failed: " + answer.error().message;
  return row;
}

DoctorHost Doctor::host() {
  DoctorHost host;
  host.is_root = geteuid() == 0;
  host.run = output_of;
  host.exists = [](const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
  };
  host.free_mib = free_mib;
  host.available_memory_mib = host_available_mib();
  host.open_libvirt = [this] { return open_libvirt(); };
  host.ask_kvm = [this] { return ask_kvm(); };
  host.cache = cache_dir();
  host.runs = state_dir() / "runs";
  return host;
}

}  // namespace

int doctor_command(const DoctorOptions& options) {
  std::vector<DoctorRow> rows;
  {
    StatusLine status(stderr);
    status.show("asking the host ...");
    Doctor doctor(options);
    rows = doctor_rows(doctor.host());
  }
  fmt::print("{}", options.json ? doctor_json(rows) : doctor_table(rows, wants_colour(stdout)));
  return doctor_exit_code(rows);
}

void add_doctor_command(CLI::App& app, bool& json, int& code) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command =
      app.add_subcommand("doctor", "Show what this host has, what is missing, and what mends it");
  command->add_flag("--json", json, "Print the rows as JSON on stdout");
  command->add_option("--connect", options->connect, "libvirt URI")->capture_default_str();
  command->callback([options, &json, &code] {
    options->json = json;
    code = doctor_command(*options);
  });
}

}  // namespace mmquake
