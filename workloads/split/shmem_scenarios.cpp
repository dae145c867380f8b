// SPDX-License-Identifier: GPL-2.0-or-later
//
// Splits, truncations and moves of huge pages in a shmem file.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/memory/numa.h"
#include "workloads/split/reservation.h"
#include "workloads/split/scenario.h"
#include "workloads/split/split_command.h"
#include "workloads/uffd/shmem_always_huge.h"

namespace mmquake {
namespace {

using Must = SeenValue::Must;
constexpr std::size_t kPages = kHugePage / kSmallPage;
constexpr std::size_t kLastPage = kHugePage - kSmallPage;
constexpr std::uint64_t kScribble = 0xdead;

// A memfd whose content is one huge page, as long as nobody splits it.
class HugeFile {
 public:
  Result<> create() {
    if (Result<> set = always_.set(); !set) {
      return set;
    }
    fd_ = UniqueFd(memfd_create("mmquake-split", MFD_CLOEXEC));
    return fd_ ? Result<>() : Result<>(skipped("memfd_create: " + errno_text(errno)));
  }

  // Empty and 2 MiB long, in new pages.
  Result<> renew() const {
    Result<> cut = resize(0);
    return cut ? resize(kHugePage) : cut;
  }

  Result<> resize(std::size_t bytes) const {
    if (ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) {
      return broken("ftruncate the shmem file: " + errno_text(errno));
    }
    return {};
  }

  Result<> write(std::size_t offset, std::uint64_t value) const {
    const ssize_t done = pwrite(fd_.get(), &value, sizeof(value), static_cast<off_t>(offset));
    return done == sizeof(value) ? Result<>() : Result<>(broken("write the shmem file"));
  }

  Result<std::uint64_t> read(std::size_t offset) const {
    std::uint64_t value = 0;
    if (pread(fd_.get(), &value, sizeof(value), static_cast<off_t>(offset)) != sizeof(value)) {
      return broken("read the shmem file");
    }
    return value;
  }

  int fd() const { return fd_.get(); }

 private:
  ShmemAlwaysHuge always_;
  UniqueFd fd_;
};

// What the scenarios of this file share: one file, addresses, and the answers that most give.
class ShmemScenario : public SplitScenario {
 public:
  const char* first_role() const override { return "splitter"; }
  const char* second_role() const override { return "zapper"; }
  const char* proof() const override { return "thp_split_page"; }
  bool can(Provoke provoke) const override { return provoke != Provoke::kNoZap; }
  std::uintptr_t huge_address() const override { return addresses_.at(0); }

  Result<> set_up(const std::vector<int>& /*nodes*/, Provoke provoke) override {
    provoke_ = provoke;
    if (Result<> made = file_.create(); !made) {
      return made;
    }
    if (Result<> open = by_command() ? command_.open() : Result<>(); !open) {
      return open;
    }
    return addresses_.reserve(kReserved);
  }

 protected:
  // Whether it is debugfs that splits.
  virtual bool by_command() const { return false; }
  static constexpr std::size_t kReserved = 4 * kHugePage;

  // A fresh huge page, mapped by a PMD and stamped at both ends.
  Result<> map_fresh(std::uint64_t stamp) {
    if (Result<> renewed = file_.renew(); !renewed) {
      return renewed;
    }
    if (Result<> mapped = addresses_.map_file(0, kHugePage, file_.fd(), 0); !mapped) {
      return mapped;
    }
    addresses_.word(0).store(stamp);
    addresses_.word(kLastPage).store(stamp);
    return {};
  }

  Result<SeenValue> in_file(Must must, std::size_t offset, std::uint64_t stamp) const {
    if (provoke_ == Provoke::kScribble && must == Must::kStay) {
      if (Result<> written = file_.write(offset, kScribble); !written) {
        return tl::make_unexpected(written.error());
      }
    }
    const Result<std::uint64_t> seen = file_.read(offset);
    if (!seen) {
      return tl::make_unexpected(seen.error());
    }
    return SeenValue{must, "page " + std::to_string(offset / kSmallPage) + " of the file", stamp,
                     *seen};
  }

  Result<std::vector<SeenValue>> both(Result<SeenValue> a, Result<SeenValue> b) const {
    if (!a || !b) {
      return tl::make_unexpected(a ? b.error() : a.error());
    }
    return std::vector<SeenValue>{*a, *b};
  }

  Provoke provoke_ = Provoke::kNone;
  HugeFile file_;
  Reservation addresses_;
  SplitCommand command_;
};

// Page 511 of the file is mapped by one PTE, in an area that no PMD fits into. The kernel splits
// the file's page with no mmap_lock held.
class SinglePte final : public ShmemScenario {
 public:
  double focus() const override { return 0.25; }
  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> renewed = file_.renew(); !renewed) {
      return renewed;
    }
    if (Result<> written = file_.write(0, stamp); !written) {
      return written;
    }
    if (Result<> mapped = addresses_.map_file(0, kSmallPage, file_.fd(), kLastPage); !mapped) {
      return mapped;
    }
    addresses_.word(0).store(stamp);
    return {};
  }
  Result<> first() override { return command_.split_file(file_.fd(), 0); }
  Result<> second() override {
    return addresses_.advise(0, kSmallPage, MADV_DONTNEED, "MADV_DONTNEED");
  }
  // MADV_DONTNEED takes a shared page off the page table only.
  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    return both(in_file(Must::kStay, 0, stamp), in_file(Must::kStay, kLastPage, stamp));
  }

 protected:
  bool by_command() const override { return true; }
};

// A file is cut to nothing while its PMD is unmapped.
class TruncateMunmap final : public ShmemScenario {
 public:
  const char* first_role() const override { return "truncater"; }
  // Its page was mapped by a PMD: without that zap_huge_pmd() has no part in it.
  const char* proof() const override { return "thp_file_mapped"; }
  bool can(Provoke provoke) const override { return provoke != Provoke::kScribble; }

  Result<> prepare(std::uint64_t stamp) override { return map_fresh(stamp); }
  Result<> first() override { return provoke_ == Provoke::kNoZap ? Result<>() : file_.resize(0); }
  Result<> second() override { return addresses_.release(0, kHugePage); }
  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    if (Result<> grown = file_.resize(kHugePage); !grown) {
      return tl::make_unexpected(grown.error());
    }
    return both(in_file(Must::kBeGone, 0, stamp), in_file(Must::kBeGone, kLastPage, stamp));
  }
};

// A huge page moves between two nodes, so its PMDs are migration entries for a while, as a part of
// one mapping is given back, which splits that mapping's PMD.
class MoveDontneed final : public ShmemScenario {
 public:
  const char* first_role() const override { return "mover"; }
  const char* proof() const override { return "thp_migration_success"; }
  std::uintptr_t huge_address() const override { return addresses_.at(kAlias); }

  Result<> set_up(const std::vector<int>& nodes, Provoke provoke) override {
    if (nodes.size() < 2) {
      return skipped("move-dontneed needs two nodes with memory");
    }
    nodes_ = nodes;
    if (Result<> ready = ShmemScenario::set_up(nodes, provoke); !ready) {
      return ready;
    }
    if (Result<> mapped = map_fresh(1); !mapped) {
      return mapped;
    }
    return addresses_.map_file(kAlias, kHugePage, file_.fd(), 0);
  }

  Result<> prepare(std::uint64_t stamp) override {
    addresses_.word(kAlias).store(stamp);
    // Back in the first mapping, by a PMD, since the page is in the cache.
    addresses_.word(kLastPage).store(stamp);
    return {};
  }
  Result<> first() override {
    turn_ = (turn_ + 1) % 2;
    // A page that is busy does not move; vmstat says how many did.
    (void)move_pages_to(0, {addresses_.at(kAlias)}, nodes_[turn_]);
    return {};
  }
  Result<> second() override {
    return addresses_.advise(0, kSmallPage, MADV_DONTNEED, "MADV_DONTNEED");
  }
  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    return both(in_file(Must::kStay, 0, stamp), in_file(Must::kStay, kLastPage, stamp));
  }

 private:
  static constexpr std::size_t kAlias = 2 * kHugePage;
  std::vector<int> nodes_;
  std::size_t turn_ = 0;
};

// A huge page in a locked area is split as it is unlocked. (Not with anonymous memory: there the
// split holds the mmap_lock that munlock wants for writing.)
class MunlockSplit final : public ShmemScenario {
 public:
  const char* second_role() const override { return "unlocker"; }

  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> mapped = map_fresh(stamp); !mapped) {
      return mapped;
    }
    if (mlock(addresses_.pointer(0), kHugePage) != 0) {
      return broken("mlock: " + errno_text(errno));
    }
    return {};
  }
  Result<> first() override { return command_.split_file(file_.fd(), 0); }
  Result<> second() override {
    if (munlock(addresses_.pointer(0), kHugePage) != 0) {
      return broken("munlock: " + errno_text(errno));
    }
    return {};
  }
  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    return both(in_file(Must::kStay, 0, stamp), in_file(Must::kStay, kLastPage, stamp));
  }

 protected:
  bool by_command() const override { return true; }
};

// A file ends in the middle of a huge page that is locked: the kernel splits it and cuts off what
// is behind the new i_size, as the area is unlocked and unmapped.
class MlockTruncate final : public ShmemScenario {
 public:
  const char* first_role() const override { return "truncater"; }
  bool can(Provoke /*provoke*/) const override { return true; }

  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> mapped = map_fresh(stamp); !mapped) {
      return mapped;
    }
    if (mlock(addresses_.pointer(0), kHugePage) != 0) {
      return broken("mlock: " + errno_text(errno));
    }
    return {};
  }
  Result<> first() override {
    // Within a page, as well: its rest has to be cleared.
    return provoke_ == Provoke::kNoZap ? Result<>()
                                       : file_.resize(kPages / 2 * kSmallPage + kSmallPage / 2);
  }
  Result<> second() override { return addresses_.release(0, kHugePage); }
  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    if (Result<> grown = file_.resize(kHugePage); !grown) {
      return tl::make_unexpected(grown.error());
    }
    return both(in_file(Must::kStay, 0, stamp), in_file(Must::kBeGone, kLastPage, stamp));
  }
};

}  // namespace

std::unique_ptr<SplitScenario> make_shmem_scenario(std::string_view name) {
  if (name == "shmem-single-pte") {
    return std::make_unique<SinglePte>();
  }
  if (name == "truncate-munmap") {
    return std::make_unique<TruncateMunmap>();
  }
  if (name == "move-dontneed") {
    return std::make_unique<MoveDontneed>();
  }
  if (name == "munlock-split") {
    return std::make_unique<MunlockSplit>();
  }
  return name == "mlock-truncate" ? std::make_unique<MlockTruncate>() : nullptr;
}

}  // namespace mmquake
