// SPDX-License-Identifier: GPL-2.0-or-later
//
// A page that is given back while it migrates must not come back: after MADV_DONTNEED private
// memory reads as zeros (madvise(2)), whatever page the kernel was about to put there; and what is
// written afterwards stays. This is the example of docs/writing_a_workload.md.
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>

#include "guest/memory/mapping.h"
#include "guest/memory/numa.h"
#include "guest/runner/workload.h"

namespace mmquake {
namespace {

constexpr int kZapsPerRound = 200;
constexpr int kMovesPerRound = 10;

class ZapVsMove final : public Workload {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info;
    info.name = "zap-vs-move";
    info.summary = "private pages that are given back while they migrate";
    info.exercises = {"move_pages", "MADV_DONTNEED"};
    info.needs.numa_nodes = 2;
    info.needs.cpus = 2;
    info.needs.free_mib_per_node = 16;
    info.params = {{"pages", ParamSpec::Type::kInteger, "16", 1, 1024, {}, "pages in the region"},
                   {"provoke",
                    ParamSpec::Type::kChoice,
                    "none",
                    0,
                    0,
                    {"none", "no-zap"},
                    "no-zap: pages are not given back, so the oracle must find old data"}};
    return info;
  }

  Result<> set_up(Environment& env) override {
    nodes_ = env.memory_nodes();
    no_zap_ = env.param("provoke") == "no-zap";
    pages_ = static_cast<std::size_t>(env.param_int("pages"));
    moved_ = env.counter("pages/moved");
    absent_ = env.counter("pages/absent");
    busy_ = env.counter("pages/busy");
    Result<Mapping> mapping = Mapping::create(Backing::kAnon4k, pages_ * kSmallPage);
    if (!mapping) {
      return tl::make_unexpected(mapping.error());
    }
    mapping_ = std::move(*mapping);
    return {};
  }

  std::vector<Role> roles() override {
    return {{"zapper", [this](RoleContext& context) { zap(context); }},
            {"migrator", [this](RoleContext& context) { migrate(context); }}};
  }

  std::optional<FindingRecord> check() override {
    const std::uint64_t seen = came_back_.exchange(0);
    if (seen == 0) {
      return std::nullopt;
    }
    FindingRecord finding;
    finding.kind = "corruption";
    finding.title = "a page came back after MADV_DONTNEED";
    finding.role = "zapper";
    finding.evidence["value"] = std::to_string(seen) + ", written in that round";
    return finding;
  }

  Result<> verify_work() override {
    return moved_.value() > 0 ? Result<>() : Result<>(broken("no page was migrated"));
  }

 private:
  std::atomic_ref<std::uint64_t> word(std::size_t page) const {
    return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(mapping_.data() + page * kSmallPage));
  }

  void zap(RoleContext& context) {
    for (int i = 0; i < kZapsPerRound && !context.stopping(); ++i) {
      const std::size_t page = context.random().below(pages_);
      if (!no_zap_ && !mapping_.discard(page * kSmallPage, kSmallPage)) {
        return;
      }
      const std::uint64_t seen = word(page).load();
      if (seen != 0) {
        came_back_ = seen;
      }
      word(page).store(context.round());
      context.step();
    }
  }

  // A status says where a page is, not who brought it there: ask before, and count what changed.
  void migrate(RoleContext& context) {
    std::vector<std::uintptr_t> addresses(pages_);
    for (std::size_t page = 0; page < pages_; ++page) {
      addresses[page] = mapping_.address() + page * kSmallPage;
    }
    for (int i = 0; i < kMovesPerRound && !context.stopping(); ++i) {
      const int target = nodes_[static_cast<std::size_t>(i) % nodes_.size()];
      const Result<std::vector<int>> before = nodes_of(0, addresses);
      const MoveResult after = move_pages_to(0, addresses, target);
      for (std::size_t page = 0; page < pages_ && before; ++page) {
        const int status = after.status[page];
        if (status >= 0) {
          moved_.add((*before)[page] >= 0 && (*before)[page] != status ? 1 : 0);
        } else {
          (status == -ENOENT || status == -EFAULT ? absent_ : busy_).add();
        }
      }
      context.step();
    }
  }

  std::vector<int> nodes_;
  bool no_zap_ = false;
  std::size_t pages_ = 0;
  Mapping mapping_;
  std::atomic<std::uint64_t> came_back_{0};
  Counter moved_, absent_, busy_;
};

REGISTER_WORKLOAD(ZapVsMove);

}  // namespace
}  // namespace mmquake
