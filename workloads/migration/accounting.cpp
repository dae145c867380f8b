// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/accounting.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest/race/placement.h"

namespace mmquake {
namespace {

constexpr int kMostLines = 1000;
constexpr std::chrono::milliseconds kBetween{5};  // nobody tells when a count has settled

}  // namespace

Result<HugetlbLedger> read_ledger(const std::vector<int>& nodes) {
  HugetlbLedger ledger;
  Result<HugetlbCounts> whole = read_hugetlb();
  if (!whole) {
    return tl::make_unexpected(whole.error());
  }
  ledger.whole = *whole;
  for (const int node : nodes) {
    Result<HugetlbCounts> counts = read_hugetlb_of_node(node);
    if (!counts) {
      return tl::make_unexpected(counts.error());
    }
    ledger.nodes[node] = *counts;
  }
  return ledger;
}

std::optional<std::string> hugetlb_mismatch(const HugetlbLedger& before, const HugetlbLedger& now,
                                            const std::map<int, std::uint64_t>& mine) {
  std::uint64_t all_mine = 0;
  std::string by_node;
  for (const auto& [node, pages] : mine) {
    all_mine += pages;
    by_node += fmt::format("\nnode {}: {} pages are mapped", node, pages);
  }
  for (const auto& [node, counts] : now.nodes) {
    by_node += fmt::format("\nnode {}: {}", node, describe(counts));
  }
  const auto wrong = [&](const std::string& what) {
    return fmt::format("{}\nbefore: {}\nnow:    {}\nmapped: {}{}", what, describe(before.whole),
                       describe(now.whole), all_mine, by_node);
  };
  if (now.whole.total != before.whole.total || now.whole.surplus != before.whole.surplus) {
    return wrong("the pool has another size than before");
  }
  if (now.whole.reserved != before.whole.reserved) {
    return wrong("a reservation is open although every page is there");
  }
  if (now.whole.free + all_mine != before.whole.free) {
    return wrong("free pages and mapped pages do not add up");
  }
  for (const auto& [node, counts] : now.nodes) {
    const auto then = before.nodes.find(node);
    const auto held = mine.find(node);
    const std::uint64_t used_before =
        then == before.nodes.end() ? 0 : then->second.total - then->second.free;
    const std::uint64_t pages = held == mine.end() ? 0 : held->second;
    if (counts.total - counts.free != used_before + pages) {
      return wrong(fmt::format("node {} counts {} pages in use, and {} are mapped there", node,
                               counts.total - counts.free - used_before, pages));
    }
  }
  return std::nullopt;
}

Result<KernelLog> KernelLog::open() {
  UniqueFd fd(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    return broken(fmt::format("open /dev/kmsg: {}", errno_text(errno)));
  }
  lseek(fd.get(), 0, SEEK_END);
  return KernelLog(std::move(fd));
}

std::vector<std::string> KernelLog::lines_with(std::string_view needle) {
  std::vector<std::string> lines;
  std::array<char, 8192> line{};  // one read gives one record; the kernel's limit is less
  for (int i = 0; i < kMostLines; ++i) {
    const ssize_t got = read(fd_.get(), line.data(), line.size());
    if (got < 0 && (errno == EPIPE || errno == EINTR)) {
      continue;  // EPIPE: the next record was overwritten before it could be read
    }
    if (got <= 0) {
      break;
    }
    const std::string_view text(line.data(), static_cast<std::size_t>(got));
    if (text.find(needle) != std::string_view::npos) {
      lines.emplace_back(text.substr(0, text.find('\n')));
    }
  }
  return lines;
}

Result<std::optional<std::string>> wrong_until(
    Clock::time_point deadline, const std::function<Result<std::optional<std::string>>()>& look) {
  for (;;) {
    Result<std::optional<std::string>> wrong = look();
    if (!wrong || !*wrong || Clock::now() >= deadline) {
      return wrong;
    }
    delay(kBetween);
  }
}

std::optional<std::string> isolated_left(const KernelCounters& vmstat,
                                         const std::vector<std::string>& negative) {
  if (!negative.empty()) {
    return "below zero: " + negative.back();
  }
  for (const char* name : {"nr_isolated_anon", "nr_isolated_file"}) {
    if (const std::uint64_t left = value_of(vmstat, name); left != 0) {
      return fmt::format("{} is {}", name, left);
    }
  }
  return std::nullopt;
}

std::optional<std::string> migrations_not_counted(const KernelCounters& before,
                                                  const KernelCounters& after, std::uint64_t moved,
                                                  std::uint64_t moved_thp) {
  const auto grown = [&](const char* name) {
    return value_of(after, name) - value_of(before, name);
  };
  if (grown("pgmigrate_success") >= moved && grown("thp_migration_success") >= moved_thp) {
    return std::nullopt;
  }
  return fmt::format(
      "moved {} pages, {} of them huge; pgmigrate_success +{}, thp_migration_success +{}, _fail "
      "+{}, _split +{}",
      moved, moved_thp, grown("pgmigrate_success"), grown("thp_migration_success"),
      grown("thp_migration_fail"), grown("thp_migration_split"));
}

}  // namespace mmquake
