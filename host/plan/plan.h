// SPDX-License-Identifier: GPL-2.0-or-later
//
// configs/*.toml as typed, validated structs. What comes out of here is in range and every name
// in it exists; what doesn't is an ErrorKind::kUsage error with file, line, column and range, or
// with the nearest names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"
#include "host/plan/nearest.h"

namespace mmquake {

// configs/kernels/NAME.toml
struct KernelSpec {
  std::string name;  // of its file; "dir" or "git" of a kernel that has none
  // "debian:linux-source-6.1", "dir:/path", "git:/path@rev"; "debian-image:PACKAGE" is not built,
  // and has neither fragments nor patches
  std::string source;
  std::string suite;  // with debian-image: the release that has the package; empty: the host's
  std::vector<std::filesystem::path> fragments;  // absolute, in order
  std::vector<std::filesystem::path> patches;    // absolute, in order
  std::vector<std::string> boot_args;
  std::vector<std::string> bugs;  // the switches its patches offer; empty on a clean kernel
  std::string summary;
};

struct NodeSpec {
  int cpus = 0;  // 0: memory-only node
  std::uint64_t memory_mib = 0;
};

// Memory that the guest finds in a slot, as one that was plugged in: not in the firmware's map.
struct DimmSpec {
  int node = 0;
  std::uint64_t memory_mib = 0;  // whole sections of 128 MiB
};

// What a machine has beside CPUs, memory and the console on ttyS0.
struct MachineDevices {
  bool virtio_serial = true;  // the record channel
  bool serial = true;         // ttyS1: the record channel of a guest without the one above
  bool pvpanic = true;        // a panicked guest stops where it is
};

// configs/machines/NAME.toml
struct MachineSpec {
  std::string name;
  std::string summary;
  std::vector<NodeSpec> nodes;
  std::vector<DimmSpec> dimms;
  // nodes x nodes, [from][to]: 10 on the diagonal, 11..254 elsewhere; need not be symmetric
  std::vector<std::vector<int>> distances;
  std::vector<std::string> boot_args;
  MachineDevices devices;  // with virtio_serial, serial or both
  int cpus() const;
  std::uint64_t memory_mib() const;  // of nodes and DIMMs
};

// configs/cases/NAME.toml
struct CaseSpec {
  std::string name;
  std::string summary;  // "linux-mm, Nov 2017: userfaultfd waits on a THP migration entry"
  std::string workload;
  std::map<std::string, std::string> params;
  std::string machine;
  std::string bug_kernel;         // kernel that has the switch
  std::vector<std::string> bugs;  // switches that put the bug back
  std::string clean_kernel;
  std::vector<std::string> expect_kinds;   // e.g. "hang"; each is_finding_kind()
  std::vector<std::string> expect_titles;  // exact; any of them will do
  double bug_seconds = 30;                 // guest time within which the bug kernel must find
  double clean_seconds = 60;
  std::vector<WidenSite> widen;
};

// The folder that holds configs/, images/ and guest/widener/: $MMQUAKE_DATA, or share/mmquake
// beside the binary or its folder (`make install`), or the source tree that it was built from.
std::filesystem::path data_dir();

class Catalogue {
 public:
  // `root` holds kernels/, machines/, cases/ and campaigns/. Nothing is read before it is asked
  // for.
  explicit Catalogue(std::filesystem::path root) : root_(std::move(root)) {}

  // A name may also be the path of a file (it holds a '/' or ends with .toml); a kernel also
  // "dir:PATH" or "git:PATH@REV", which is configured with base.config.
  Result<KernelSpec> kernel(const std::string& name) const;
  Result<MachineSpec> machine(const std::string& name) const;
  // The kernels, switches and the machine that it names exist; the workload is the guest's to
  // know (WorkloadCatalogue).
  Result<CaseSpec> find_case(const std::string& name) const;
  // Where the campaign `name` is; read_campaign_spec() reads it.
  Result<std::filesystem::path> campaign_file(const std::string& name) const;
  // Sorted; empty when the folder cannot be read.
  std::vector<std::string> kernel_names() const;
  std::vector<std::string> machine_names() const;
  std::vector<std::string> case_names() const;
  std::vector<std::string> campaign_names() const;

 private:
  std::filesystem::path root_;
};

// Whether an oracle or the kernel's log can give a finding of this kind.
bool is_finding_kind(std::string_view kind);

// A site that is a line of the kernel's source: "mm/rmap.c:1834". nullopt: it is none.
struct SourceLine {
  std::string file;
  int line = 0;
};
std::optional<SourceLine> source_line(std::string_view site);
// As guest/widener/control.c has it (WIDENER_MAX_SITES).
inline constexpr std::size_t kMaxWidenSites = 64;

// What the widener would refuse: which field of a site, and why, with the range.
struct WidenFault {
  std::string_view field;  // "site", "min_us", ...
  std::string what;        // "is 20; it must be at most 'max_us', which is 10"
};
std::optional<WidenFault> find_fault(const WidenSite& site);

// Memory that this host could give to a VM now, in MiB; 0 when it does not say.
std::uint64_t host_available_mib();

// What a host keeps for itself beside the guest's memory.
inline constexpr std::uint64_t kHostReserveMib = 512;

// Usage error when this host cannot hold the machine's memory with the reserve left over.
Result<> fits_host(const MachineSpec& machine, std::uint64_t available_mib);

}  // namespace mmquake
