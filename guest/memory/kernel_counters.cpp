// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/kernel_counters.h"

#include <fmt/core.h>

#include <utility>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {

Result<KernelCounters> parse_counters(std::string_view text) {
  KernelCounters counters;
  while (auto line = next_line(text)) {
    std::string_view rest = *line;
    std::string_view name = next_word(rest);
    if (name.empty()) continue;
    if (name.back() == ':') name.remove_suffix(1);
    const auto value = to_number(next_word(rest));
    if (!value) return broken(fmt::format("no number in '{}'", *line));
    counters[std::string(name)] = *value;
  }
  return counters;
}

Result<KernelCounters> read_vmstat() {
  auto text = read_text("/proc/vmstat");
  if (!text) return tl::make_unexpected(text.error());
  auto counters = parse_counters(*text);
  if (!counters) return context("/proc/vmstat", counters.error());
  return counters;
}

void fold_vmstat() {
  // Some kernels answer EINVAL when an amount is below zero; it is folded all the same. Without
  // the right to do it, the amounts are as they are.
  auto ignored = write_text("/proc/sys/vm/stat_refresh", "1");
  static_cast<void>(ignored);
}

std::uint64_t value_of(const KernelCounters& counters, std::string_view name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

std::string describe(const HugetlbCounts& counts) {
  return fmt::format("total {}, free {}, reserved {}, surplus {}", counts.total, counts.free,
                     counts.reserved, counts.surplus);
}

Result<HugetlbCounts> hugetlb_in_meminfo(std::string_view meminfo) {
  auto counters = parse_counters(meminfo);
  if (!counters) return context("/proc/meminfo", counters.error());
  if (!counters->contains("HugePages_Total"))
    return skipped("/proc/meminfo has no HugePages_Total: the kernel lacks CONFIG_HUGETLB_PAGE");
  if (value_of(*counters, "Hugepagesize") != kHugePage / 1024)
    return skipped(
        fmt::format("the default hugetlb size is {} kB, not 2048: boot without "
                    "default_hugepagesz",
                    value_of(*counters, "Hugepagesize")));
  return HugetlbCounts{.total = value_of(*counters, "HugePages_Total"),
                       .free = value_of(*counters, "HugePages_Free"),
                       .reserved = value_of(*counters, "HugePages_Rsvd"),
                       .surplus = value_of(*counters, "HugePages_Surp")};
}

Result<HugetlbCounts> read_hugetlb() {
  auto text = read_text("/proc/meminfo");
  if (!text) return tl::make_unexpected(text.error());
  return hugetlb_in_meminfo(*text);
}

Result<HugetlbCounts> read_hugetlb_of_node(int node, const std::string& sysfs_nodes) {
  HugetlbCounts counts;
  for (auto& [name, value] : {std::pair{"nr_hugepages", &counts.total},
                              {"free_hugepages", &counts.free},
                              {"surplus_hugepages", &counts.surplus}}) {
    const std::string path =
        fmt::format("{}/node{}/hugepages/hugepages-2048kB/{}", sysfs_nodes, node, name);
    auto text = read_text(path);
    if (!text) return skipped(fmt::format("{}: no 2 MiB hugetlb pages in this kernel", path));
    std::string_view rest = *text;
    const auto number = to_number(next_line(rest).value_or(""));
    if (!number) return broken(fmt::format("{}: '{}' is no number", path, *text));
    *value = *number;
  }
  return counts;
}

}  // namespace mmquake
