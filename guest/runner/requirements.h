// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the machine has, and whether a workload's Needs are met. A lack is `skipped`.
#pragma once

#include <string>
#include <vector>

#include "guest/runner/workload.h"

namespace mmquake {

struct MachineFacts {
  std::vector<int> memory_nodes;  // nodes with memory; {0} on a kernel without NUMA
  std::vector<int> cpus;          // that this process may run on
};

// `root` stands before /sys and /proc, for tests.
MachineFacts read_machine_facts(const std::string& root = "");

// "0-2,5" as the kernel prints sets of CPUs and nodes. What is no number ends the list.
std::vector<int> parse_cpu_list(const std::string& text);

// The error names the first lack.
Result<> check_needs(const Needs& needs, const MachineFacts& facts, const std::string& root = "");

// The hugetlb pages of one trial, all of one size: reserved on each of `nodes`, given back at the
// end.
class HugetlbReservation {
 public:
  static Result<HugetlbReservation> reserve(std::uint64_t pages_per_node,
                                            const std::vector<int>& nodes,
                                            const std::string& root = "",
                                            std::uint64_t page_kb = 2048);
  HugetlbReservation() = default;
  HugetlbReservation(HugetlbReservation&& other) noexcept : before_(std::move(other.before_)) {
    other.before_.clear();
  }
  HugetlbReservation& operator=(HugetlbReservation&& other) noexcept {
    before_.swap(other.before_);
    return *this;
  }
  HugetlbReservation(const HugetlbReservation&) = delete;
  HugetlbReservation& operator=(const HugetlbReservation&) = delete;
  ~HugetlbReservation();

 private:
  std::map<std::string, std::uint64_t> before_;  // nr_hugepages file -> its value before
};

}  // namespace mmquake
