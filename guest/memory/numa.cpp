// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/numa.h"

#include <fmt/core.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "guest/memory/mapping.h"

namespace mmquake {
namespace {

constexpr unsigned long kBitsPerWord = 8 * sizeof(unsigned long);
constexpr unsigned long kMaxNodes = 1024;

// A node mask as the kernel reads it.
class NodeMask {
 public:
  explicit NodeMask(int node) {
    const auto bit = static_cast<unsigned long>(node);
    if (bit < kMaxNodes) words_[bit / kBitsPerWord] |= 1UL << (bit % kBitsPerWord);
  }
  const unsigned long* data() const { return words_.data(); }
  // The kernel reads one bit less than it is told.
  static unsigned long size() { return kMaxNodes + 1; }

 private:
  // One word more than kMaxNodes needs, since size() reaches into it.
  std::array<unsigned long, kMaxNodes / kBitsPerWord + 1> words_{};
};

long raw_move_pages(pid_t pid, const std::vector<std::uintptr_t>& addresses, const int* nodes,
                    int* status, int flags) {
  return syscall(SYS_move_pages, pid, addresses.size(), addresses.data(), nodes, status, flags);
}

}  // namespace

std::string status_text(int status) {
  if (status == kNotReported) return "not-reported";
  if (status >= 0) return fmt::format("node {}", status);
  const char* name = strerrorname_np(-status);
  return name ? std::string(name) : fmt::format("errno {}", -status);
}

MoveResult move_pages_to(pid_t pid, const std::vector<std::uintptr_t>& addresses, int node) {
  return move_pages_to(pid, addresses, std::vector<int>(addresses.size(), node));
}

MoveResult move_pages_to(pid_t pid, const std::vector<std::uintptr_t>& addresses,
                         const std::vector<int>& nodes) {
  MoveResult result;
  result.status.assign(addresses.size(), kNotReported);
  if (nodes.size() != addresses.size()) {
    result.returned = -1;
    result.error = EINVAL;
    return result;
  }
  errno = 0;
  result.returned =
      raw_move_pages(pid, addresses, nodes.data(), result.status.data(), MPOL_MF_MOVE_ALL);
  if (result.returned < 0) result.error = errno;
  return result;
}

Result<std::vector<int>> nodes_of(pid_t pid, const std::vector<std::uintptr_t>& addresses) {
  std::vector<int> status(addresses.size(), kNotReported);
  if (addresses.empty()) return status;
  if (raw_move_pages(pid, addresses, nullptr, status.data(), 0) < 0) {
    if (errno == ENOSYS)
      return skipped("move_pages: the kernel lacks CONFIG_NUMA or CONFIG_MIGRATION");
    return broken(fmt::format("ask where {} pages of process {} are: move_pages: {}",
                              addresses.size(), pid, errno_text(errno)));
  }
  return status;
}

int bind_and_move(std::uintptr_t address, std::size_t bytes, int node) {
  const NodeMask mask(node);
  const long rc = syscall(SYS_mbind, address, bytes, MPOL_BIND, mask.data(), NodeMask::size(),
                          MPOL_MF_MOVE_ALL | MPOL_MF_STRICT);
  return rc == 0 ? 0 : errno;
}

int unbind(std::uintptr_t address, std::size_t bytes) {
  const long rc = syscall(SYS_mbind, address, bytes, MPOL_DEFAULT, nullptr, 0UL, 0U);
  return rc == 0 ? 0 : errno;
}

Result<NodeRanges> NodeRanges::read() {
  auto zones = ZoneMap::read();
  if (!zones) return tl::make_unexpected(zones.error());
  return NodeRanges(std::move(*zones));
}

Result<NodeRanges> NodeRanges::from_zoneinfo(std::string_view text) {
  auto zones = ZoneMap::from_zoneinfo(text);
  if (!zones) return tl::make_unexpected(zones.error());
  return NodeRanges(std::move(*zones));
}

std::optional<int> NodeRanges::node_of(std::uint64_t pfn) const {
  std::optional<int> found;
  for (const Zone& zone : zones_.zones()) {
    if (!zone.pfns.holds(pfn) || found == zone.node) continue;
    if (found) return std::nullopt;
    found = zone.node;
  }
  return found;
}

int prefer_node(int node) {
  const NodeMask mask(node);
  const long rc = syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask.data(), NodeMask::size());
  return rc == 0 ? 0 : errno;
}

long migrate_process(pid_t pid, int from, int to) {
  const NodeMask source(from);
  const NodeMask target(to);
  const long rc = syscall(SYS_migrate_pages, pid, NodeMask::size(), source.data(), target.data());
  return rc >= 0 ? rc : -errno;
}

long drain_lru_batches(int node) {
  return migrate_process(0, node, node);
}

}  // namespace mmquake
