// SPDX-License-Identifier: GPL-2.0-or-later
//
// Faults on pages that are migration entries just then. Whoever meets such an entry waits until the
// page is unlocked. Until ffa65753c431 ("mm/migrate.c: rework migration_entry_wait() to not take a
// pageref", 6.0) it took a reference for that, as somebody else may freeze them to split the page.
#include <sched.h>
#include <sys/mman.h>

#include <atomic>

#include "guest/memory/numa.h"
#include "guest/memory/ram_swap.h"
#include "workloads/split/reservation.h"
#include "workloads/split/scenario.h"

namespace mmquake {
namespace {

constexpr std::uint64_t kScribble = 0xdead;
// What is left of a huge page, mapped by PTEs. A few: each has to be swapped in again.
constexpr std::size_t kLeft = 32;

class TouchEntries : public SplitScenario {
 public:
  const char* second_role() const override { return "toucher"; }
  bool can(Provoke provoke) const override { return provoke != Provoke::kNoZap; }
  std::uintptr_t huge_address() const override { return addresses_.at(0); }
  std::vector<std::string> watched() const override {
    return {"__migration_entry_wait", "migration_entry_wait_on_locked", "migration_entry_wait"};
  }

  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> mapped = addresses_.map_anon(0, kHugePage); !mapped) {
      return mapped;
    }
    for (std::size_t page = 0; page < kLeft; ++page) {
      addresses_.word(page * kSmallPage).store(stamp);
    }
    busy_ = true;
    // The rest goes, so the PMD becomes a table; the page itself stays a huge one.
    return addresses_.release(kLeft * kSmallPage, kHugePage - kLeft * kSmallPage);
  }

  Result<> first() override {
    Result<> done = disturb();
    busy_ = false;
    return done;
  }

  Result<> second() override {
    do {
      for (std::size_t page = 0; page < kLeft; ++page) {
        addresses_.word(page * kSmallPage).load();
      }
      sched_yield();
    } while (busy_);
    return {};
  }

  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    if (provoke_ == Provoke::kScribble) {
      addresses_.word(0).store(kScribble);
    }
    std::vector<SeenValue> values;
    for (std::size_t page = 0; page < kLeft; ++page) {
      values.push_back({SeenValue::Must::kStay, "page " + std::to_string(page), stamp,
                        addresses_.word(page * kSmallPage).load()});
    }
    return values;
  }

 protected:
  virtual Result<> disturb() = 0;

  Provoke provoke_ = Provoke::kNone;
  Reservation addresses_;

 private:
  std::atomic<bool> busy_{false};
};

// Reclaim splits the page first: its PTEs are migration entries meanwhile, its references frozen.
class PageoutTouch final : public TouchEntries {
 public:
  const char* first_role() const override { return "reclaimer"; }
  const char* proof() const override { return "thp_split_page"; }
  Result<> set_up(const std::vector<int>& /*nodes*/, Provoke provoke) override {
    provoke_ = provoke;
    if (Result<> swap = swap_.start(); !swap) {
      return swap;
    }
    return addresses_.reserve(kHugePage);
  }

 private:
  Result<> disturb() override {
    return addresses_.advise(0, kLeft * kSmallPage, MADV_PAGEOUT, "MADV_PAGEOUT");
  }
  RamSwap swap_;
};

// The page moves to the other node as a whole, or split where there is no huge page free.
class MoveTouch final : public TouchEntries {
 public:
  const char* first_role() const override { return "mover"; }
  const char* proof() const override { return "pgmigrate_success"; }
  Result<> set_up(const std::vector<int>& nodes, Provoke provoke) override {
    if (nodes.size() < 2) {
      return skipped("move-touch needs two nodes with memory");
    }
    nodes_ = nodes;
    provoke_ = provoke;
    return addresses_.reserve(kHugePage);
  }

 private:
  Result<> disturb() override {
    // There and back. A page that is busy does not move; vmstat says how many did.
    for (std::size_t turn = 0; turn < 4; ++turn) {
      (void)move_pages_to(0, {addresses_.at(0)}, nodes_.at(turn % 2));
    }
    return {};
  }
  std::vector<int> nodes_;
};

}  // namespace

std::unique_ptr<SplitScenario> make_wait_scenario(std::string_view name) {
  if (name == "pageout-touch") {
    return std::make_unique<PageoutTouch>();
  }
  return name == "move-touch" ? std::make_unique<MoveTouch>() : nullptr;
}

}  // namespace mmquake
