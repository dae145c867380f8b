// SPDX-License-Identifier: GPL-2.0-or-later
//
// Processes that write to pages which migrate. Each writer owns a cell in each page, on a small
// page of its own. It reads again what it wrote, after others ran on its CPU: only then has the
// CPU forgotten an old translation (LOSTWRITE). The migrator, in the runner's process, reads
// what all of them published (STALEMAP).
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <span>

#include "workloads/hugetlb/consumer.h"
#include "workloads/hugetlb/shared_pmd_area.h"

namespace mmquake {
namespace {

constexpr int kMovesPerRound = 4;
// A switch of address spaces drops old translations: they must live for a while before that, or
// nobody writes through one.
constexpr std::uint64_t kPassesPerYield = 8;
constexpr std::uint64_t kProvokedRound = 2;

struct WriterState {
  std::atomic<int> pid{0};
  std::atomic<std::uint64_t> moves_over{0};  // the last round whose moves are over; of no. 0 only
};

class CpuConsumer final : public Consumer {
 public:
  CpuConsumer(Setting& setting, SharedMemory& book, int writers)
      : setting_(setting), book_(book), writers_(static_cast<std::size_t>(writers)) {}

  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  void check() override;

 private:
  CellPlace place(std::size_t writer, std::size_t page) const {
    return {0, static_cast<std::uint32_t>(writer), page};
  }
  std::byte* cell(std::size_t writer, std::size_t page) const {
    return reinterpret_cast<std::byte*>(area_.page(page) + (1 + writer) * kSmallPage);
  }
  Published& published(std::size_t writer, std::size_t page) const {
    return cells_[writer * setting_.pages + page];
  }
  std::uint64_t writes() const;
  std::vector<pid_t> processes() const;  // the runner's, then the writers'
  void write(RoleContext& context, std::size_t writer);
  void write_cell(RoleContext& context, std::size_t writer, std::size_t page);
  bool roll_back(std::size_t writer, std::size_t page);
  void migrate(RoleContext& context);
  // As a third party; `quiet`: nobody writes.
  void read_all(bool quiet);

  Setting& setting_;
  SharedMemory& book_;
  std::size_t writers_;
  pid_t runner_ = getpid();
  SharedPmdArea area_;
  std::span<Published> cells_;
  std::span<WriterState> states_;
  Counter writes_counter_;
};

Result<> CpuConsumer::set_up(Environment& env) {
  writes_counter_ = env.counter("writes");
  Result<std::span<Published>> cells = book_.take<Published>(writers_ * setting_.pages);
  if (!cells) {
    return tl::make_unexpected(cells.error());
  }
  cells_ = *cells;
  Result<std::span<WriterState>> states = book_.take<WriterState>(writers_);
  if (!states) {
    return tl::make_unexpected(states.error());
  }
  states_ = *states;
  Result<SharedPmdArea> area = SharedPmdArea::create();
  if (!area) {
    return tl::make_unexpected(area.error());
  }
  area_ = std::move(*area);
  if (Result<> mapped = area_.renew(); !mapped) {
    return mapped;
  }
  for (std::size_t page = 0; page < setting_.pages; ++page) {
    load_cell(cell(0, page));  // faults the page in
  }
  return {};
}

std::vector<Role> CpuConsumer::roles() {
  // More writers than CPUs, so that address spaces change; the migrator has a CPU for itself.
  const std::size_t writer_cpus = std::max<std::size_t>(setting_.cpus.size(), 2) - 1;
  std::vector<Role> roles(writers_ + 1);
  for (std::size_t i = 0; i < writers_; ++i) {
    roles[i].name = "writer-" + std::to_string(i);
    roles[i].body = [this, i](RoleContext& context) { write(context, i); };
    roles[i].process = static_cast<int>(i) + 1;
    roles[i].cpu = static_cast<int>(i % writer_cpus);
  }
  roles[writers_].name = "migrator";
  roles[writers_].body = [this](RoleContext& context) { migrate(context); };
  roles[writers_].cpu = static_cast<int>(writer_cpus);
  return roles;
}

std::uint64_t CpuConsumer::writes() const {
  std::uint64_t sum = 0;
  for (const Published& book : cells_) {
    sum += book.published.load(std::memory_order_relaxed);
  }
  return sum;
}

void CpuConsumer::write(RoleContext& context, std::size_t writer) {
  states_[writer].pid = getpid();
  for (bool last = false; !last && !setting_.over();) {
    // One pass more after the last move: then every process has every page again.
    last = context.stopping() || states_[0].moves_over.load() >= context.round();
    for (std::size_t page = 0; page < setting_.pages; ++page) {
      write_cell(context, writer, page);
    }
    writes_counter_.add(setting_.pages);
    context.step();
    if (context.random().below(kPassesPerYield) == 0) {
      sched_yield();
    }
  }
}

void CpuConsumer::write_cell(RoleContext& context, std::size_t writer, std::size_t page) {
  Published& book = published(writer, page);
  const bool provoked = writer == 0 && context.round() == kProvokedRound;
  if (provoked && setting_.provoked("no-store")) {
    // What is announced and published, but never written, a third party must miss.
    book.intended += 1;
    book.published += 1;
    return;
  }
  if (provoked && setting_.provoked("roll-back") && !roll_back(writer, page)) {
    return;
  }
  const CellReading own = read_own_cell(cell(writer, page), place(writer, page), book);
  if (own.damage) {
    setting_.report(Witness::kOwner, "writer-" + std::to_string(writer), own, place(writer, page),
                    describe_mappings(area_.page(page), processes()));
    return;
  }
  publish_next(cell(writer, page), place(writer, page), book);
}

// Puts the generation before the last one back.
bool CpuConsumer::roll_back(std::size_t writer, std::size_t page) {
  const std::uint64_t now = published(writer, page).published.load();
  if (now < 2) {
    return false;
  }
  store_cell(cell(writer, page), make_cell(place(writer, page), now - 1));
  return true;
}

void CpuConsumer::migrate(RoleContext& context) {
  const std::vector<std::uintptr_t> pages = area_.pages(setting_.pages);
  for (int i = 0; i < kMovesPerRound && !context.stopping() && !setting_.over(); ++i) {
    const std::uint64_t before = writes();
    std::size_t moved = 0;
    if (!setting_.provoked("no-move")) {
      const std::size_t target = static_cast<std::size_t>(i) % setting_.nodes.size();
      moved = setting_.move(0, pages, setting_.nodes[target], Recount::kTouched);
    }
    setting_.overlaps.add(moved > 0 && writes() > before ? 1 : 0);
    read_all(false);
    context.step();
  }
  states_[0].moves_over = context.round();
}

void CpuConsumer::read_all(bool quiet) {
  for (std::size_t writer = 0; writer < writers_; ++writer) {
    if (writer == 0 && setting_.provoked("roll-back")) {
      continue;  // the writer itself is to notice
    }
    for (std::size_t page = 0; page < setting_.pages; ++page) {
      const CellPlace where = place(writer, page);
      const CellReading reading =
          quiet ? judge_quiet_cell(load_cell(cell(writer, page)), where,
                                   published(writer, page).published.load())
                : read_cell(cell(writer, page), where, published(writer, page));
      if (reading.damage) {
        setting_.report(Witness::kThirdParty, quiet ? "check" : "migrator", reading, where,
                        describe_mappings(area_.page(page), processes()));
        return;
      }
    }
  }
}

void CpuConsumer::check() {
  read_all(true);
  setting_.note_sharing(area_.page(0), processes());
}

std::vector<pid_t> CpuConsumer::processes() const {
  std::vector<pid_t> pids{runner_};
  for (const WriterState& state : states_) {
    pids.push_back(state.pid.load());
  }
  return pids;
}

}  // namespace

std::unique_ptr<Consumer> make_cpu_consumer(Setting& setting, SharedMemory& book, int writers) {
  return std::make_unique<CpuConsumer>(setting, book, writers);
}

}  // namespace mmquake
