// SPDX-License-Identifier: GPL-2.0-or-later
//
// The right number of 2 MiB hugetlb pages on each node, for as long as this lives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// Adds `per_node` pages of 2 MiB to the pool of each node, and takes them off again when it dies.
// A node that cannot give them is an error of kind kSkipped, and nothing stays reserved.
class HugetlbPool {
 public:
  static Result<HugetlbPool> reserve(const std::vector<int>& nodes, std::uint64_t per_node,
                                     std::string sysfs_nodes = "/sys/devices/system/node");
  HugetlbPool(HugetlbPool&&) = default;
  HugetlbPool& operator=(HugetlbPool&& other) noexcept;
  HugetlbPool(const HugetlbPool&) = delete;
  HugetlbPool& operator=(const HugetlbPool&) = delete;
  ~HugetlbPool();

  std::uint64_t per_node() const { return per_node_; }

 private:
  struct Before {
    std::string path;  // the node's nr_hugepages
    std::uint64_t pages = 0;
  };
  HugetlbPool() = default;
  void give_back();

  std::vector<Before> before_;
  std::uint64_t per_node_ = 0;
};

}  // namespace mmquake
