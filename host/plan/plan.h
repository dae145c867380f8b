// SPDX-License-Identifier: GPL-2.0-or-later
//
// configs/*.toml as typed, validated structs. What comes out of here is in range and every name
// in it exists; what doesn't is an ErrorKind::kUsage error with file, line, column and range, or
// with the nearest names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace mmquake {

// configs/kernels/NAME.toml
struct KernelSpec {
  std::string name;
  std::string source;  // "debian:linux-source-6.1", "dir:/path", "git:/path@rev"
  std::vector<std::filesystem::path> fragments;  // absolute, in order
  std::vector<std::filesystem::path> patches;    // absolute, in order
  std::vector<std::string> boot_args;
  std::vector<std::string> bugs;  // the switches its patches offer; empty on a clean kernel
};

struct NodeSpec {
  int cpus = 0;                 // 0: memory-only node
  std::uint64_t memory_mib = 0;
};

// configs/machines/NAME.toml
struct MachineSpec {
  std::string name;
  std::string summary;
  std::vector<NodeSpec> nodes;
  std::vector<std::vector<int>> distances;  // nodes x nodes, 10 on the diagonal, 10..254
  std::vector<std::string> boot_args;
  int cpus() const;
  std::uint64_t memory_mib() const;
};

// configs/cases/NAME.toml
struct CaseSpec {
  std::string name;
  std::string summary;  // "linux-mm, Nov 2017: userfaultfd waits on a THP migration entry"
  std::string workload;
  std::map<std::string, std::string> params;
  std::string machine;
  std::string bug_kernel;               // kernel that has the switch
  std::vector<std::string> bugs;        // switches that put the bug back
  std::string clean_kernel;
  std::vector<std::string> expect_kinds;  // e.g. "hang"
  std::string expect_title;             // the finding's exact title
  double bug_seconds = 30;              // guest time within which the bug kernel must find
  double clean_seconds = 60;
  std::vector<WidenSite> widen;
};

// Where the configuration and the build's other files are: $MMQUAKE_DATA, or the source tree that
// this binary was built from, or share/mmquake beside the binary.
std::filesystem::path data_dir();

class Catalogue {
 public:
  // `root` holds kernels/, machines/ and cases/. Nothing is read before it is asked for.
  explicit Catalogue(std::filesystem::path root) : root_(std::move(root)) {}

  Result<KernelSpec> kernel(const std::string& name) const;
  Result<MachineSpec> machine(const std::string& name) const;
  Result<CaseSpec> find_case(const std::string& name) const;
  std::vector<std::string> kernel_names() const;
  std::vector<std::string> machine_names() const;
  std::vector<std::string> case_names() const;

 private:
  std::filesystem::path root_;
};

// A machine that this host cannot hold (its memory, with `reserve_mib` left for the host).
Result<> fits_host(const MachineSpec& machine, std::uint64_t host_available_mib);

// "unknown KIND 'NAME'; did you mean 'A' or 'B'? (mmquake list shows all)"
Error unknown_name(std::string_view kind, std::string_view name,
                   const std::vector<std::string>& known);

}  // namespace mmquake
