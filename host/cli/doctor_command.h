// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake doctor`: what this host has, how that was established, and what mends it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace CLI {
class App;
}

namespace mmquake {

enum class DoctorStatus {
  kOk,
  kWarning,   // mmquake works, but slower or with less
  kMissing,   // it is not there
  kUnusable,  // it is there and does not work
};

struct DoctorRow {
  std::string what;
  DoctorStatus status = DoctorStatus::kOk;
  std::string how;   // how the status was established
  std::string mend;  // a command, or advice; empty when there is nothing to mend
  bool needed = true;
};

// What doctor looks at. Tests put in their own.
struct DoctorHost {
  bool is_root = false;
  // The standard output and error of a program; an error when it is not there or fails.
  std::function<Result<std::string>(const std::vector<std::string>& argv)> run;
  std::function<bool(const std::filesystem::path&)> exists;
  std::function<std::uint64_t(const std::filesystem::path&)> free_mib;  // on its disk
  std::uint64_t available_memory_mib = 0;
  // The embedded libvirt, really opened: its version or why not.
  std::function<Result<std::string>()> open_libvirt;
  // KVM, by the device, an earlier answer, or a boot of the built kernel.
  std::function<DoctorRow()> ask_kvm;
  std::filesystem::path cache;
  std::filesystem::path runs;
};

std::vector<DoctorRow> doctor_rows(const DoctorHost& host);

// 0: all that is needed is ok (or works with a warning); 3: it is not.
int doctor_exit_code(const std::vector<DoctorRow>& rows);

std::string doctor_table(const std::vector<DoctorRow>& rows, bool colour);
std::string doctor_json(const std::vector<DoctorRow>& rows);

struct DoctorOptions {
  bool json = false;
  std::string connect = "qemu:///embed";
};

// Asks this host and prints the table (or JSON) on stdout. Returns the exit code.
int doctor_command(const DoctorOptions& options);

// Adds the command to the program. `json` and `code` outlive `app`'s parse.
void add_doctor_command(CLI::App& app, bool& json, int& code);

}  // namespace mmquake
