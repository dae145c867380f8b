// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "host/cli/doctor_command.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Not;

// A healthy host, which each test makes ill in one place.
class DoctorTest : public testing::Test {
 protected:
  DoctorTest() {
    host_.run = [this](const std::vector<std::string>& argv) -> Result<std::string> {
      if (absent_.count(argv[0]) != 0) return broken("there is no program '" + argv[0] + "'");
      if (argv[0] == "apt-cache") return policy_;
      if (argv.size() > 1 && argv[1] == "-accel") return accelerators_;
      return argv[0] + " 1.2.3\nmore\n";
    };
    host_.exists = [this](const std::filesystem::path& path) {
      return absent_.count(path.string()) == 0;
    };
    host_.free_mib = [this](const std::filesystem::path& path) {
      asked_disks_.insert(path.string());
      return free_mib_;
    };
    host_.available_memory_mib = 8000;
    host_.open_libvirt = [] { return Result<std::string>("QEMU 1, libvirt 2"); };
    host_.ask_kvm = [] {
      DoctorRow row;
      row.what = "accelerator KVM";
      row.status = DoctorStatus::kMissing;
      row.needed = false;
      return row;
    };
    host_.cache = "/home/u/.cache/mmquake";
    host_.runs = "/home/u/.local/state/mmquake/runs";
  }

  DoctorRow find(const std::string& what) const {
    for (const DoctorRow& row : doctor_rows(host_)) {
      if (row.what == what) return row;
    }
    ADD_FAILURE() << "no row '" << what << "'";
    return {};
  }
  int exit_code() const { return doctor_exit_code(doctor_rows(host_)); }

  DoctorHost host_;
  std::set<std::string> absent_;
  std::set<std::string> asked_disks_;
  std::string policy_ = "linux-source-6.1:\n  Installed: (none)\n  Candidate: 6.1.9-1\n";
  std::string accelerators_ = "Accelerators supported in QEMU binary:\ntcg\nkvm\n";
  std::uint64_t free_mib_ = 50000;
};

TEST_F(DoctorTest, AHealthyHostWithoutKvmIsHealthy) {
  EXPECT_EQ(exit_code(), 0);
  const std::string table = doctor_table(doctor_rows(host_), false);
  EXPECT_THAT(table, HasSubstr("All that mmquake needs is here."));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(doctor_table(doctor_rows(host_), true), HasSubstr("\x1b[32m"));
  EXPECT_EQ(find("QEMU").how, "qemu-system-x86_64 --version: qemu-system-x86_64 1.2.3");
}

TEST_F(DoctorTest, SaysWhichPackageMendsAMissingProgram) {
  const std::map<std::string, std::pair<std::string, std::string>> cases = {
      {"qemu-system-x86_64", {"QEMU", "qemu-system-x86"}},
      {"gcc", {"compiler for kernels", "gcc"}},
      {"flex", {"tools for kernels", "flex"}},
      {"ld", {"tools for kernels", "binutils"}},
      {"/usr/include/libelf.h", {"tools for kernels", "libelf-dev"}}};
  for (const auto& [program, expected] : cases) {
    absent_ = {program};
    const DoctorRow row = find(expected.first);
    EXPECT_EQ(row.status, DoctorStatus::kMissing) << program;
    EXPECT_THAT(row.how, HasSubstr(program));
    EXPECT_EQ(row.mend, "sudo apt-get install --no-install-recommends " + expected.second);
    EXPECT_EQ(exit_code(), 3) << program;
  }
}

TEST_F(DoctorTest, RootNeedsNoSudo) {
  host_.is_root = true;
  absent_ = {"gcc"};
  EXPECT_EQ(find("compiler for kernels").mend, "apt-get install --no-install-recommends gcc");
}

TEST_F(DoctorTest, CcacheIsNotNeeded) {
  absent_ = {"ccache"};
  EXPECT_EQ(find("ccache").status, DoctorStatus::kMissing);
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(DoctorTest, TellsAMissingLibvirtFromABrokenOne) {
  host_.open_libvirt = [] {
    return Result<std::string>(broken("no connection driver available for qemu:///embed"));
  };
  EXPECT_EQ(find("libvirt, embedded").status, DoctorStatus::kMissing);
  EXPECT_THAT(find("libvirt, embedded").mend, HasSubstr("libvirt-daemon-driver-qemu"));
  host_.open_libvirt = [] {
    return Result<std::string>(broken("Failed to parse user 'x'; as root: useradd --system x"));
  };
  EXPECT_EQ(find("libvirt, embedded").status, DoctorStatus::kUnusable);
  EXPECT_EQ(find("libvirt, embedded").mend, "sudo useradd --system x");
  EXPECT_EQ(exit_code(), 3);
}

TEST_F(DoctorTest, WantsTcg) {
  accelerators_ = "Accelerators supported in QEMU binary:\nkvm\n";
  EXPECT_EQ(find("accelerator TCG").status, DoctorStatus::kMissing);
  EXPECT_EQ(exit_code(), 3);
}

TEST_F(DoctorTest, MeasuresMemory) {
  host_.available_memory_mib = 2100;
  EXPECT_EQ(find("memory").status, DoctorStatus::kWarning);
  EXPECT_THAT(find("memory").mend, HasSubstr("numa2-small"));
  EXPECT_EQ(exit_code(), 0);
  host_.available_memory_mib = 500;
  EXPECT_EQ(find("memory").status, DoctorStatus::kUnusable);
  EXPECT_EQ(exit_code(), 3);
}

TEST_F(DoctorTest, MeasuresTheDiskOfTheNearestFolderThatExists) {
  absent_ = {"/home/u/.cache/mmquake", "/home/u/.cache"};
  free_mib_ = 100;
  EXPECT_EQ(find("disk for kernels").status, DoctorStatus::kUnusable);
  EXPECT_THAT(find("disk for kernels").mend, HasSubstr("XDG_CACHE_HOME"));
  EXPECT_EQ(asked_disks_.count("/home/u"), 1U);
  EXPECT_EQ(exit_code(), 3);
}

TEST_F(DoctorTest, AsksAptForKernelSources) {
  EXPECT_THAT(find("kernel sources").how, HasSubstr("6.1.9-1"));
  for (const char* nothing : {"", "linux-source-6.1:\n  Candidate: (none)\n"}) {
    policy_ = nothing;
    EXPECT_EQ(find("kernel sources").status, DoctorStatus::kMissing);
    EXPECT_EQ(find("kernel sources").mend, "sudo apt-get update");
  }
  absent_ = {"apt-cache"};
  EXPECT_EQ(find("kernel sources").status, DoctorStatus::kWarning);
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(DoctorTest, PrintsJson) {
  absent_ = {"gcc"};
  const auto json = nlohmann::json::parse(doctor_json(doctor_rows(host_)));
  EXPECT_FALSE(json["ok"].get<bool>());
  EXPECT_EQ(json["rows"].size(), doctor_rows(host_).size());
  EXPECT_EQ(json["rows"][0]["what"], "QEMU");
  EXPECT_EQ(json["rows"][0]["status"], "ok");
}

TEST_F(DoctorTest, PrintsJsonOfBytesThatAreNoText) {
  host_.open_libvirt = [] { return Result<std::string>(std::string("\xff\xfe")); };
  EXPECT_FALSE(nlohmann::json::parse(doctor_json(doctor_rows(host_))).is_discarded());
}

}  // namespace
}  // namespace mmquake
