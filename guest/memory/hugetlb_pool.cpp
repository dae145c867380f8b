// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/hugetlb_pool.h"

#include <fmt/core.h>

#include <utility>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

Result<std::uint64_t> read_count(const std::string& path) {
  auto text = read_text(path);
  if (!text) return skipped(fmt::format("{}: no 2 MiB hugetlb pages in this kernel", path));
  std::string_view rest = *text;
  const auto line = next_line(rest);
  const auto count = to_number(line.value_or(""));
  if (!count) return broken(fmt::format("{}: '{}' is no number", path, *text));
  return *count;
}

}  // namespace

Result<HugetlbPool> HugetlbPool::reserve(const std::vector<int>& nodes, std::uint64_t per_node,
                                         std::string sysfs_nodes) {
  HugetlbPool pool;
  pool.per_node_ = per_node;
  if (per_node == 0) return pool;
  for (int node : nodes) {
    const std::string path =
        fmt::format("{}/node{}/hugepages/hugepages-2048kB/nr_hugepages", sysfs_nodes, node);
    auto before = read_count(path);
    if (!before) return tl::make_unexpected(before.error());
    pool.before_.push_back({path, *before});
    const std::uint64_t wanted = *before + per_node;
    if (auto ok = write_text(path, std::to_string(wanted)); !ok)
      return context("reserve hugetlb pages", ok.error());
    auto after = read_count(path);
    if (!after) return tl::make_unexpected(after.error());
    if (*after < wanted)
      return skipped(
          fmt::format("node {} gave {} of {} hugetlb pages of 2 MiB: give the machine "
                      "more memory, or ask for less",
                      node, *after - std::min(*after, *before), per_node));
  }
  return pool;
}

HugetlbPool& HugetlbPool::operator=(HugetlbPool&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  before_ = std::exchange(other.before_, {});
  per_node_ = other.per_node_;
  return *this;
}

HugetlbPool::~HugetlbPool() {
  give_back();
}

void HugetlbPool::give_back() {
  for (const Before& node : before_) {
    // Nothing can be done about a failure here; the pages stay in the pool, visibly.
    auto ignored = write_text(node.path, std::to_string(node.pages));
    static_cast<void>(ignored);
  }
  before_.clear();
}

}  // namespace mmquake
