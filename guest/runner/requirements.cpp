// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/requirements.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>

namespace mmquake {
namespace {

std::string node_directory(const std::string& root, int node) {
  return fmt::format("{}/sys/devices/system/node/node{}", root, node);
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// MemFree of a node; of the whole machine on a kernel without NUMA.
std::uint64_t free_mib(const std::string& root, int node) {
  std::ifstream file(node_directory(root, node) + "/meminfo");
  if (!file) {
    file.open(root + "/proc/meminfo");
  }
  std::string word;
  while (file >> word) {
    std::uint64_t kib = 0;
    if (word == "MemFree:" && file >> kib) {
      return kib / 1024;
    }
  }
  return 0;
}

Result<> check_userfaultfd() {
  const long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return skipped(
        fmt::format("the kernel gives no userfaultfd ({}): it needs CONFIG_USERFAULTFD "
                    "and root or vm.unprivileged_userfaultfd=1",
                    errno == ENOSYS ? "not built in" : "not permitted"));
  }
  close(static_cast<int>(fd));
  return {};
}

Result<> check_thp(const std::string& root) {
  const std::string path = root + "/sys/kernel/mm/transparent_hugepage/enabled";
  const std::string enabled = first_line(path);
  if (enabled.empty() || enabled.find("[never]") != std::string::npos) {
    return skipped(enabled.empty() ? "the kernel has no transparent huge pages: it needs "
                                     "CONFIG_TRANSPARENT_HUGEPAGE"
                                   : "transparent huge pages are off: " + path + " says never");
  }
  return {};
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> out;
  std::istringstream in(text);
  int first = 0;
  while (in >> first) {
    int last = first;
    if (in.peek() == '-') {
      in.get();
      if (!(in >> last)) {
        break;
      }
    }
    for (int i = first; i <= last && out.size() < 4096; ++i) {
      out.push_back(i);
    }
    if (in.peek() == ',') {
      in.get();
    }
  }
  return out;
}

MachineFacts read_machine_facts(const std::string& root) {
  MachineFacts facts;
  facts.memory_nodes = parse_cpu_list(first_line(root + "/sys/devices/system/node/has_memory"));
  if (facts.memory_nodes.empty()) {
    facts.memory_nodes = {0};
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) {
        facts.cpus.push_back(cpu);
      }
    }
  }
  return facts;
}

Result<> check_needs(const Needs& needs, const MachineFacts& facts, const std::string& root) {
  const auto nodes = static_cast<std::size_t>(needs.numa_nodes);
  if (facts.memory_nodes.size() < nodes) {
    return skipped(fmt::format("the machine has {} NUMA node(s) with memory, the workload needs {}",
                               facts.memory_nodes.size(), needs.numa_nodes));
  }
  if (facts.cpus.size() < static_cast<std::size_t>(needs.cpus)) {
    return skipped(fmt::format("the machine has {} CPU(s), the workload needs {}",
                               facts.cpus.size(), needs.cpus));
  }
  for (std::size_t i = 0; i < nodes && needs.free_mib_per_node > 0; ++i) {
    const std::uint64_t got = free_mib(root, facts.memory_nodes[i]);
    if (got < needs.free_mib_per_node) {
      return skipped(fmt::format("node {} has {} MiB of free memory, the workload needs {}",
                                 facts.memory_nodes[i], got, needs.free_mib_per_node));
    }
  }
  for (const std::string& file : needs.files) {
    if (access((root + file).c_str(), R_OK) != 0) {
      return skipped(
          fmt::format("{} is not there or not readable, and the workload needs it", file));
    }
  }
  if (needs.userfaultfd) {
    if (Result<> got = check_userfaultfd(); !got) {
      return got;
    }
  }
  return needs.thp ? check_thp(root) : Result<>();
}

Result<HugetlbReservation> HugetlbReservation::reserve(std::uint64_t pages_per_node,
                                                       const std::vector<int>& nodes,
                                                       const std::string& root,
                                                       std::uint64_t page_kb) {
  HugetlbReservation out;
  for (const int node : nodes) {
    if (pages_per_node == 0) {
      break;
    }
    const std::string path = fmt::format("{}/hugepages/hugepages-{}kB/nr_hugepages",
                                         node_directory(root, node), page_kb);
    std::ifstream before(path);
    std::uint64_t had = 0;
    if (!(before >> had)) {
      return skipped(
          fmt::format("{} is not there: the workload needs hugetlb pages of {} MiB "
                      "(CONFIG_HUGETLBFS)",
                      path, page_kb / 1024));
    }
    out.before_[path] = had;
    std::ofstream(path) << had + pages_per_node << '\n';
    std::uint64_t got = 0;
    std::ifstream(path) >> got;
    if (got < had + pages_per_node) {
      return skipped(
          fmt::format("node {} gave {} of the {} hugetlb pages of {} MiB that the "
                      "workload needs: give the machine more memory",
                      node, got > had ? got - had : 0, pages_per_node, page_kb / 1024));
    }
  }
  return out;
}

HugetlbReservation::~HugetlbReservation() {
  for (const auto& [path, pages] : before_) {
    std::ofstream(path) << pages << '\n';
  }
}

}  // namespace mmquake
