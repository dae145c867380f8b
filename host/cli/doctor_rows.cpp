// SPDX-License-Identifier: GPL-2.0-or-later
//
// The rows of doctor's table. Each looks at one thing and knows what mends it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/cli/doctor_command.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// A kernel's source and build take 2.5 GiB; two kernels and a reserve.
constexpr std::uint64_t kCacheMib = std::uint64_t{6} * 1024;
constexpr std::uint64_t kRunsMib = 1024;
// The machines numa2 and numa2-small, with QEMU's own part and some for the host.
constexpr std::uint64_t kMemoryMib = 2048 + 768;
constexpr std::uint64_t kSmallMemoryMib = 1536 + 512;

std::string as_root(const DoctorHost& host, const std::string& command) {
  return (host.is_root ? "" : "sudo ") + command;
}

std::string install(const DoctorHost& host, const std::string& packages) {
  return as_root(host, "apt-get install --no-install-recommends " + packages);
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

DoctorRow row(std::string what, DoctorStatus status, std::string how, std::string mend = "") {
  DoctorRow out;
  out.what = std::move(what);
  out.status = status;
  out.how = std::move(how);
  out.mend = std::move(mend);
  return out;
}

// A program that says its version; what it says is the proof that it runs.
DoctorRow program(const DoctorHost& host, const std::string& what, const std::string& name,
                  const std::string& packages) {
  auto answer = host.run({name, "--version"});
  if (answer) {
    return row(what, DoctorStatus::kOk, name + " --version: " + first_line(*answer));
  }
  return row(what, DoctorStatus::kMissing, answer.error().message, install(host, packages));
}

DoctorRow libvirt(const DoctorHost& host) {
  const char* what = "libvirt, embedded";
  auto version = host.open_libvirt();
  if (version) return row(what, DoctorStatus::kOk, "opened: " + *version);
  const std::string& message = version.error().message;
  const std::size_t advice = message.find("useradd ");
  if (advice != std::string::npos) {
    return row(what, DoctorStatus::kUnusable, message.substr(0, message.find(';')),
               as_root(host, message.substr(advice)));
  }
  const bool no_driver = message.find("no connection driver") != std::string::npos ||
                         message.find("not find") != std::string::npos;
  return row(what, no_driver ? DoctorStatus::kMissing : DoctorStatus::kUnusable, message,
             install(host, "libvirt0 libvirt-daemon libvirt-daemon-driver-qemu"));
}

DoctorRow tcg(const DoctorHost& host) {
  auto answer = host.run({"qemu-system-x86_64", "-accel", "help"});
  if (!answer) {
    return row("accelerator TCG", DoctorStatus::kMissing, answer.error().message,
               install(host, "qemu-system-x86"));
  }
  std::istringstream lines(*answer);
  for (std::string word; lines >> word;) {
    if (word == "tcg") {
      return row("accelerator TCG", DoctorStatus::kOk, "qemu-system-x86_64 -accel help lists tcg");
    }
  }
  return row("accelerator TCG", DoctorStatus::kMissing,
             "qemu-system-x86_64 -accel help does not list tcg", install(host, "qemu-system-x86"));
}

DoctorRow memory(const DoctorHost& host) {
  const std::uint64_t mib = host.available_memory_mib;
  const std::string how = fmt::format("/proc/meminfo: {} MiB available", mib);
  if (mib >= kMemoryMib) return row("memory", DoctorStatus::kOk, how);
  if (mib >= kSmallMemoryMib) {
    return row("memory", DoctorStatus::kWarning, how + fmt::format(", numa2 wants {}", kMemoryMib),
               "use --machine numa2-small");
  }
  return row("memory", DoctorStatus::kUnusable,
             how + fmt::format(", numa2-small wants {}", kSmallMemoryMib),
             "end other programs, or take a host with more memory");
}

// The nearest folder that exists decides the disk.
DoctorRow disk(const DoctorHost& host, const std::string& what, const fs::path& path,
               std::uint64_t wanted, const char* variable) {
  fs::path there = path;
  while (!host.exists(there) && there.has_relative_path()) there = there.parent_path();
  const std::uint64_t mib = host.free_mib(there);
  const std::string how = fmt::format("{}: {} MiB free", path.string(), mib);
  if (mib >= wanted) return row(what, DoctorStatus::kOk, how);
  return row(what, DoctorStatus::kUnusable, how + fmt::format(", {} are needed", wanted),
             fmt::format("make room, or set {} to a folder on a larger disk", variable));
}

DoctorRow kernel_sources(const DoctorHost& host) {
  const char* what = "kernel sources";
  const std::string package = "linux-source-6.1";
  auto answer = host.run({"apt-cache", "policy", package});
  if (!answer) {
    return row(what, DoctorStatus::kWarning, answer.error().message,
               "no Debian? give kernels as dir:PATH or git:PATH@REV");
  }
  const std::string word = "Candidate: ";
  const std::size_t at = answer->find(word);
  const std::string candidate =
      at == std::string::npos ? "" : first_line(answer->substr(at + word.size()));
  if (candidate.empty() || candidate == "(none)") {
    return row(what, DoctorStatus::kMissing,
               "apt-cache policy " + package + ": no candidate to install",
               as_root(host, "apt-get update"));
  }
  return row(what, DoctorStatus::kOk, "apt-cache policy: " + package + " " + candidate);
}

struct Tool {
  const char* program;
  const char* package;
};
constexpr Tool kTools[] = {{"make", "make"}, {"flex", "flex"},   {"bison", "bison"},
                           {"bc", "bc"},     {"ld", "binutils"}, {"patch", "patch"},
                           {"tar", "tar"},   {"xz", "xz-utils"}, {"dpkg-deb", "dpkg"}};

struct Header {
  const char* path;
  const char* package;
};
// objtool, which the x86 build runs, is linked with libelf.
constexpr Header kHeaders[] = {{"/usr/include/libelf.h", "libelf-dev"}};

DoctorRow kernel_tools(const DoctorHost& host) {
  std::vector<std::string> missing;
  std::vector<std::string> packages;
  std::vector<std::string> found;
  for (const Tool& tool : kTools) {
    if (host.run({tool.program, "--version"})) {
      found.emplace_back(tool.program);
    } else {
      missing.emplace_back(tool.program);
      packages.emplace_back(tool.package);
    }
  }
  for (const Header& header : kHeaders) {
    if (host.exists(header.path)) {
      found.emplace_back(fs::path(header.path).filename());
    } else {
      missing.emplace_back(header.path);
      packages.emplace_back(header.package);
    }
  }
  if (missing.empty()) {
    return row("tools for kernels", DoctorStatus::kOk,
               fmt::format("{} are here", fmt::join(found, ", ")));
  }
  return row("tools for kernels", DoctorStatus::kMissing,
             fmt::format("not there: {}", fmt::join(missing, ", ")),
             install(host, fmt::format("{}", fmt::join(packages, " "))));
}

DoctorRow ccache(const DoctorHost& host) {
  DoctorRow out = program(host, "ccache", "ccache", "ccache");
  out.needed = false;
  if (out.status == DoctorStatus::kMissing) {
    out.how += "; a changed kernel is compiled from scratch";
  }
  return out;
}

const char* word(DoctorStatus status) {
  switch (status) {
    case DoctorStatus::kOk:
      return "ok";
    case DoctorStatus::kWarning:
      return "warning";
    case DoctorStatus::kMissing:
      return "missing";
    case DoctorStatus::kUnusable:
      return "unusable";
  }
  return "?";
}

const char* colour_of(const DoctorRow& row) {
  if (row.status == DoctorStatus::kOk) return "\x1b[32m";
  const bool serious = row.needed && row.status != DoctorStatus::kWarning;
  return serious ? "\x1b[1;31m" : "\x1b[33m";
}

bool is_fatal(const DoctorRow& row) {
  return row.needed &&
         (row.status == DoctorStatus::kMissing || row.status == DoctorStatus::kUnusable);
}

}  // namespace

std::vector<DoctorRow> doctor_rows(const DoctorHost& host) {
  std::vector<DoctorRow> rows;
  rows.push_back(program(host, "QEMU", "qemu-system-x86_64", "qemu-system-x86"));
  rows.push_back(libvirt(host));
  rows.push_back(host.ask_kvm());
  rows.push_back(tcg(host));
  rows.push_back(memory(host));
  rows.push_back(disk(host, "disk for kernels", host.cache, kCacheMib, "XDG_CACHE_HOME"));
  rows.push_back(disk(host, "disk for runs", host.runs, kRunsMib, "XDG_STATE_HOME"));
  rows.push_back(kernel_sources(host));
  rows.push_back(program(host, "compiler for kernels", "gcc", "gcc"));
  rows.push_back(kernel_tools(host));
  rows.push_back(ccache(host));
  return rows;
}

int doctor_exit_code(const std::vector<DoctorRow>& rows) {
  return std::any_of(rows.begin(), rows.end(), is_fatal) ? 3 : 0;
}

std::string doctor_table(const std::vector<DoctorRow>& rows, bool colour) {
  std::size_t width = 0;
  for (const DoctorRow& row : rows) width = std::max(width, row.what.size());
  std::string out;
  for (const DoctorRow& row : rows) {
    const std::string status = fmt::format("{:<8}", word(row.status));
    out += fmt::format("{:<{}}  {}{}{}  {}\n", row.what, width, colour ? colour_of(row) : "",
                       status, colour ? "\x1b[0m" : "", row.how);
    if (!row.mend.empty()) out += fmt::format("{:<{}}  {:<8}  mend: {}\n", "", width, "", row.mend);
  }
  const auto fatal = std::count_if(rows.begin(), rows.end(), is_fatal);
  out += fatal == 0 ? "All that mmquake needs is here.\n"
                    : fmt::format("{} of {} rows must be mended first.\n", fatal, rows.size());
  return out;
}

std::string doctor_json(const std::vector<DoctorRow>& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const DoctorRow& row : rows) {
    list.push_back({{"what", row.what},
                    {"status", word(row.status)},
                    {"how", row.how},
                    {"mend", row.mend},
                    {"needed", row.needed}});
  }
  const nlohmann::json all = {{"ok", doctor_exit_code(rows) == 0}, {"rows", list}};
  // A program's version text is not ours to trust: replace what is no UTF-8.
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace mmquake
