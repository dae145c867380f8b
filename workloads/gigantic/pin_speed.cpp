// SPDX-License-Identifier: GPL-2.0-or-later
//
// What `mmquake bench pin` runs: how long does it take to pin huge pages when subpages are found by
// nth_page(), and how long by page++? The thread that asked (linux-mm, January 2021) had 7.8 ms
// against 4.4 ms for a long-term pin of 1 GiB, and expected no difference with
// CONFIG_SPARSEMEM_VMEMMAP.
//
// The kernel is told which way by its switch record-by-increment, so both are measured in one boot
// and by turns; who goes first changes with each round. Times are those of the kernel's own
// gup_test. Its struct pages must be one array where the pages are: else page++ would end the boot.
// This is no test: it finds nothing.
#include <fmt/core.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "guest/device/gup_test.h"
#include "guest/memory/mapping.h"
#include "guest/memory/section_map.h"
#include "guest/memory/text_file.h"
#include "guest/runner/requirements.h"
#include "guest/runner/workload.h"
#include "workloads/gigantic/gigantic_pages.h"

namespace mmquake {
namespace {

constexpr std::int64_t kMostRounds = 60;
constexpr std::uint64_t kPages2mPerNode = 64;
constexpr std::chrono::seconds kLimit{30};
const std::string kSwitch = "/sys/kernel/debug/mmquake_bugs/record-by-increment";
constexpr std::array<const char*, 2> kWays{"nth_page", "increment"};

class PinSpeed final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  Result<> verify_work() override;

 private:
  struct Subject {
    const char* name;  // "longterm-1g"
    PinCall call;
    std::uintptr_t address;
    std::size_t bytes;
  };
  Result<> take_gigantic_page();
  Result<> take_huge_pages(const std::vector<int>& nodes);
  void work(RoleContext& context);
  Result<> measure(std::size_t subject, std::size_t way);
  Result<std::uint64_t> hits() const;

  std::unique_ptr<GupTest> gup_test_;
  GiganticPages gigantic_;
  GiganticPage page_;
  HugetlbReservation reservation_;
  Mapping huge_;
  std::vector<Subject> subjects_;
  std::vector<Counter> times_;  // by round, subject, way
  std::size_t rounds_ = 0, done_ = 0;
  Counter measured_;
  std::optional<Error> error_;
};

WorkloadInfo PinSpeed::info() {
  WorkloadInfo info;
  info.name = "pin-speed";
  info.summary = "nth_page() against page++ (mmquake bench pin)";
  info.exercises = {"FOLL_LONGTERM", "pin_user_pages_fast", "hugetlb 1 GiB", "hugetlb 2 MiB"};
  info.params = {{"rounds",
                  ParamSpec::Type::kInteger,
                  "15",
                  3,
                  kMostRounds,
                  {},
                  "times that each is measured"}};
  return info;
}

Result<> PinSpeed::set_up(Environment& env) {
  if (!hits()) {
    return skipped(
        "the kernel has no switch 'record-by-increment': use kernel pin-speed or "
        "pin-speed-novmemmap");
  }
  Result<std::unique_ptr<GupTest>> opened = GupTest::open();
  if (!opened) {
    return tl::make_unexpected(opened.error());
  }
  gup_test_ = std::move(*opened);
  if (Result<> taken = take_gigantic_page(); !taken) {
    return taken;
  }
  if (Result<> taken = take_huge_pages(env.memory_nodes()); !taken) {
    return taken;
  }
  subjects_ = {{"longterm-1g", PinCall::kLongterm, page_.address(), kGiganticPage},
               {"longterm-2m", PinCall::kLongterm, huge_.address(), huge_.size()},
               {"fast-1g", PinCall::kFast, page_.address(), kGiganticPage},
               {"fast-2m", PinCall::kFast, huge_.address(), huge_.size()}};
  rounds_ = static_cast<std::size_t>(env.param_int("rounds"));
  for (std::size_t round = 0; round < rounds_; ++round) {
    for (const Subject& subject : subjects_) {
      for (const char* way : kWays) {
        times_.push_back(env.counter(fmt::format("us.{}.{}.{:02}", subject.name, way, round)));
      }
    }
  }
  measured_ = env.counter("measured_rounds");
  return {};
}

Result<> PinSpeed::take_gigantic_page() {
  Result<GiganticPages> pages = GiganticPages::open();
  if (!pages) {
    return tl::make_unexpected(pages.error());
  }
  gigantic_ = std::move(*pages);
  Result<GiganticPage> page = gigantic_.take();
  if (!page) {
    return tl::make_unexpected(page.error());
  }
  Result<bool> vmemmap = has_vmemmap();
  if (!vmemmap) {
    return tl::make_unexpected(vmemmap.error());
  }
  if (!*vmemmap) {
    Result<SectionMap> map = SectionMap::read();
    if (!map) {
      return tl::make_unexpected(map.error());
    }
    if (!map->breaks_in(page->first_pfn, kGiganticPage / kSmallPage).empty()) {
      return broken(
          "there are breaks in the struct pages of the page of 1 GiB, so page++ would be "
          "wrong: use a machine whose memory is there at boot (numa2-gigantic)");
    }
  }
  page_ = *page;
  return {};
}

// After the gigantic page: pages of 2 MiB would be taken from its room.
Result<> PinSpeed::take_huge_pages(const std::vector<int>& nodes) {
  Result<HugetlbReservation> reserved = HugetlbReservation::reserve(kPages2mPerNode, nodes);
  if (!reserved) {
    return tl::make_unexpected(reserved.error());
  }
  reservation_ = std::move(*reserved);
  Result<Mapping> huge =
      Mapping::create(Backing::kHugetlb2m, nodes.size() * kPages2mPerNode * kHugePage);
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  huge_ = std::move(*huge);
  for (std::size_t at = 0; at < huge_.size(); at += kHugePage) {
    huge_.data()[at] = std::byte{1};
  }
  return {};
}

std::vector<Role> PinSpeed::roles() {
  std::vector<Role> roles(1);
  roles[0].name = "pinner";
  roles[0].body = [this](RoleContext& context) { work(context); };
  roles[0].limit = kLimit;
  return roles;
}

Result<std::uint64_t> PinSpeed::hits() const {
  Result<std::string> text = read_text(kSwitch + "/hits");
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  std::string_view rest = *text;
  return to_number(next_line(rest).value_or("")).value_or(0);
}

void PinSpeed::work(RoleContext& context) {
  if (error_ || done_ == rounds_) {
    return;
  }
  for (std::size_t subject = 0; subject < subjects_.size(); ++subject) {
    for (std::size_t turn = 0; turn < kWays.size(); ++turn) {
      if (Result<> got = measure(subject, (turn + done_) % kWays.size()); !got) {
        error_ = got.error();
        return;
      }
      context.step();
    }
  }
  ++done_;
  measured_.add();
}

Result<> PinSpeed::measure(std::size_t subject, std::size_t way) {
  const Subject& what = subjects_[subject];
  Result<std::uint64_t> before = hits();
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  if (Result<> set = write_text(kSwitch + "/on", way == 1 ? "Y" : "N"); !set) {
    return set;
  }
  Result<PinTiming> timing = gup_test_->pin_and_check(what.call, what.address, what.bytes);
  if (Result<> off = write_text(kSwitch + "/on", "N"); !off) {
    return off;
  }
  if (!timing) {
    return tl::make_unexpected(timing.error());
  }
  Result<std::uint64_t> after = hits();
  if (!after) {
    return tl::make_unexpected(after.error());
  }
  if (!timing->pinned || (way == 1) != (*after > *before)) {
    return broken(fmt::format("{}: {} by {}, {} calls counted up", what.name,
                              timing->pinned ? "pinned" : "not pinned", kWays[way],
                              *after - *before));
  }
  times_[(done_ * subjects_.size() + subject) * kWays.size() + way].add(timing->pin_us);
  return {};
}

Result<> PinSpeed::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  if (done_ < rounds_) {
    return broken(fmt::format("{} of {} rounds were measured: give it more time", done_, rounds_));
  }
  return {};
}

REGISTER_WORKLOAD(PinSpeed);

}  // namespace
}  // namespace mmquake
