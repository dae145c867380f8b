// SPDX-License-Identifier: GPL-2.0-or-later
//
// Splits of anonymous huge pages.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "guest/memory/ram_swap.h"
#include "workloads/split/reservation.h"
#include "workloads/split/scenario.h"
#include "workloads/split/split_command.h"

namespace mmquake {
namespace {

constexpr std::size_t kLastPage = kHugePage - kSmallPage;
constexpr std::uint64_t kScribble = 0xdead;

// A huge page of which two PTEs are left, in two areas and two page tables: page 0 in R, page 511
// in D. The rmap walk visits the areas in the order of their offsets, so D comes last: nothing
// that it does afterwards can wait for who unmaps D. One more PTE would be one more lock to take.
class TwoPtes final : public SplitScenario {
 public:
  explicit TwoPtes(bool pageout) : pageout_(pageout) {}
  const char* first_role() const override { return "splitter"; }
  const char* second_role() const override { return "zapper"; }
  const char* proof() const override { return "thp_split_page"; }
  bool can(Provoke /*provoke*/) const override { return true; }
  // A split unmaps first; most of its time goes to the 512 pages behind that.
  double focus() const override { return 0.25; }
  std::uintptr_t huge_address() const override { return addresses_.at(kR); }

  Result<> set_up(const std::vector<int>& /*nodes*/, Provoke provoke) override {
    provoke_ = provoke;
    if (Result<> ready = pageout_ ? swap_.start() : command_.open(); !ready) {
      return ready;
    }
    return addresses_.reserve(kD + kHugePage);
  }

  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> mapped = addresses_.map_anon(kR, kHugePage); !mapped) {
      return mapped;
    }
    addresses_.word(kR).store(stamp);
    addresses_.word(kR + kLastPage).store(stamp);
    if (mremap(addresses_.pointer(kR + kLastPage), kSmallPage, kSmallPage,
               MREMAP_MAYMOVE | MREMAP_FIXED, addresses_.pointer(kD)) == MAP_FAILED) {
      return broken("mremap the last page: " + errno_text(errno));
    }
    return addresses_.release(kR + kSmallPage, kHugePage - kSmallPage);
  }

  Result<> first() override {
    return pageout_ ? addresses_.advise(kR, kSmallPage, MADV_PAGEOUT, "MADV_PAGEOUT")
                    : command_.split(addresses_.at(kR), kSmallPage);
  }

  Result<> second() override {
    if (provoke_ == Provoke::kNoZap) {
      return {};
    }
    return addresses_.advise(kD, kSmallPage, MADV_DONTNEED, "MADV_DONTNEED");
  }

  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    if (provoke_ == Provoke::kScribble) {
      addresses_.word(kR).store(kScribble);
    }
    using Must = SeenValue::Must;
    return std::vector<SeenValue>{
        {Must::kStay, "page 0, never unmapped", stamp, addresses_.word(kR).load()},
        {Must::kBeGone, "page 511, after MADV_DONTNEED", stamp, addresses_.word(kD).load()}};
  }

 private:
  static constexpr std::size_t kR = 0;
  static constexpr std::size_t kD = 2 * kHugePage;
  bool pageout_;
  Provoke provoke_ = Provoke::kNone;
  Reservation addresses_;
  SplitCommand command_;
  RamSwap swap_;
};

// Huge pages are split, and their PMDs become tables of migration entries for a while, as somebody
// reads /proc/self/smaps, which asks each page for its mapcount.
class SmapsReader final : public SplitScenario {
 public:
  const char* first_role() const override { return "splitter"; }
  const char* second_role() const override { return "reader"; }
  const char* proof() const override { return "thp_split_page"; }
  bool can(Provoke provoke) const override { return provoke != Provoke::kNoZap; }
  std::uintptr_t huge_address() const override { return addresses_.at(0); }

  Result<> set_up(const std::vector<int>& /*nodes*/, Provoke provoke) override {
    provoke_ = provoke;
    if (Result<> ready = command_.open(); !ready) {
      return ready;
    }
    return addresses_.reserve(kBytes);
  }

  Result<> prepare(std::uint64_t stamp) override {
    if (Result<> mapped = addresses_.map_anon(0, kBytes); !mapped) {
      return mapped;
    }
    for (std::size_t at = 0; at < kBytes; at += kHugePage) {
      addresses_.word(at + kLastPage).store(stamp);
    }
    return {};
  }

  Result<> first() override {
    for (std::size_t at = 0; at < kBytes; at += kHugePage) {
      if (Result<> asked = command_.split(addresses_.at(at), kSmallPage); !asked) {
        return asked;
      }
    }
    return {};
  }

  // The whole file: the areas are not in one read's buffer.
  Result<> second() override {
    const UniqueFd smaps(open("/proc/self/smaps", O_RDONLY | O_CLOEXEC));
    if (!smaps) {
      return skipped("/proc/self/smaps: " + errno_text(errno));
    }
    std::array<char, 16384> buffer{};
    ssize_t got = 0;
    while ((got = read(smaps.get(), buffer.data(), buffer.size())) > 0) {
    }
    return got == 0 ? Result<>() : Result<>(broken("read smaps: " + errno_text(errno)));
  }

  Result<std::vector<SeenValue>> look(std::uint64_t stamp) override {
    if (provoke_ == Provoke::kScribble) {
      addresses_.word(kLastPage).store(kScribble);
    }
    std::vector<SeenValue> values;
    for (std::size_t at = 0; at < kBytes; at += kHugePage) {
      values.push_back({SeenValue::Must::kStay, "page 511 of a split huge page", stamp,
                        addresses_.word(at + kLastPage).load()});
    }
    return values;
  }

 private:
  static constexpr std::size_t kBytes = 4 * kHugePage;
  Provoke provoke_ = Provoke::kNone;
  Reservation addresses_;
  SplitCommand command_;
};

}  // namespace

std::unique_ptr<SplitScenario> make_anon_scenario(std::string_view name) {
  if (name == "anon-split-dontneed" || name == "anon-pageout") {
    return std::make_unique<TwoPtes>(name == "anon-pageout");
  }
  return name == "smaps-split" ? std::make_unique<SmapsReader>() : nullptr;
}

std::vector<std::string> scenario_names() {
  return {"anon-split-dontneed", "anon-pageout",  "shmem-single-pte", "truncate-munmap",
          "smaps-split",         "move-dontneed", "munlock-split",    "mlock-truncate",
          "pageout-touch",       "move-touch"};
}

std::unique_ptr<SplitScenario> make_scenario(std::string_view name) {
  std::unique_ptr<SplitScenario> scenario = make_anon_scenario(name);
  if (!scenario) {
    scenario = make_shmem_scenario(name);
  }
  return scenario ? std::move(scenario) : make_wait_scenario(name);
}

}  // namespace mmquake
