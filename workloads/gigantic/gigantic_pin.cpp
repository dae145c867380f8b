// SPDX-License-Identifier: GPL-2.0-or-later
//
// The struct pages of a gigantic page need not be one array: with CONFIG_SPARSEMEM and without
// CONFIG_SPARSEMEM_VMEMMAP they are contiguous within a section (128 MiB) only, and a page of 1 GiB
// has eight. Who takes `page + n` for its n-th subpage instead of nth_page(page, n) pins other
// pages, or none, behind a section's border ("mm/hugetlb: refactor subpage recording", linux-mm,
// January 2021).
//
// So a range across each border that is a break is pinned, the process writes it, and a device
// reads it through its pins, and writes it where it can. Ranges that cross no border, or one that
// is no break, are the control: they must be right on any kernel. Where the breaks are, the
// kernel's own table says. Without one nothing can go wrong, so there the workload refuses to
// judge.
//
// Ways to pin (parameter `path`); a kernel with the bug does not survive most of them, so that one
// boot has one:
//   io-uring      fixed buffers: FOLL_LONGTERM, slowly, read and written through
//   gup-longterm  gup_test's PIN_LONGTERM_BENCHMARK: the kernel itself looks whether all is pinned
//   direct-io     O_DIRECT: get_user_pages_fast(), read and written through
//   vmsplice      get_user_pages_fast(), in batches of 16, read through
//   gup-fast      gup_test's PIN_FAST_BENCHMARK: as gup-longterm
//
// What the parameter `provoke` does:
//   other-page  the device is given a range that begins one page later: it must be found
//   lost-write  the device does not write: it must be found, on a path that writes
//   no-break    breaks nothing
// With any of them it judges where there is no break, too: the control for the bug's switch.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/device/direct_io.h"
#include "guest/device/gup_test.h"
#include "guest/device/io_uring_buffer.h"
#include "guest/device/vmsplice_holder.h"
#include "guest/memory/section_map.h"
#include "guest/runner/workload.h"
#include "workloads/gigantic/gigantic_pages.h"
#include "workloads/gigantic/pin_ranges.h"

namespace mmquake {
namespace {

constexpr std::chrono::seconds kLimit{10};
// As many pages are looked at for one with a break, and given back with the rest at the end.
constexpr std::size_t kMostPages = 4;
constexpr std::size_t kRangeBytes = kRangePages * kSmallPage;

class GiganticPin final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override { return std::exchange(finding_, std::nullopt); }
  Result<> verify_work() override;

 private:
  Result<> find_page(Environment& env);
  Result<> open_path(const std::string& path);
  void work(RoleContext& context);
  Result<> try_range(const PinRange& range);
  Result<> read_through(const PinRange& range);
  Result<> write_through(const PinRange& range);
  Result<> let_kernel_look(const PinRange& range);
  void report(const PinRange& range, const Difference& difference, bool written);

  std::byte* at(const PinRange& range) const { return page_.data + range.first * kSmallPage; }
  std::span<std::byte> bytes(const PinRange& range) const { return {at(range), kRangeBytes}; }
  std::uintptr_t address(const PinRange& range) const {
    return page_.address() + range.first * kSmallPage;
  }
  std::uintptr_t device_address(const PinRange& range) const {
    return address(range) + (other_page_ ? kSmallPage : 0);
  }

  bool lost_write_ = false;
  bool other_page_ = false;
  bool writes_ = false;
  GiganticPages pages_;
  GiganticPage page_;
  std::vector<PinRange> ranges_;
  Pinner* pinner_ = nullptr;  // the device that must pin before it reads, or nullptr
  std::unique_ptr<DeviceMirror> device_;
  std::unique_ptr<GupTest> gup_test_;
  PinCall call_ = PinCall::kLongterm;
  std::uint64_t generation_ = 0;
  std::vector<std::byte> buffer_;
  std::optional<FindingRecord> finding_;
  std::optional<Error> error_;
  std::array<Counter, kCrossings> judged_;
  Counter refused_;
};

WorkloadInfo GiganticPin::info() {
  WorkloadInfo info;
  info.name = "gigantic-pin";
  info.summary = "pins of a page of 1 GiB across the breaks in its struct pages";
  info.exercises = {"FOLL_LONGTERM", "get_user_pages_fast", "io_uring fixed buffers", "O_DIRECT",
                    "vmsplice",      "hugetlb 1 GiB"};
  info.needs.files = {"/proc/self/pagemap"};
  info.params.push_back(
      choice_param("path", {"io-uring", "gup-longterm", "direct-io", "vmsplice", "gup-fast"},
                   "who pins, and reads through the pins"));
  info.params.push_back(choice_param("provoke", {"none", "other-page", "lost-write", "no-break"},
                                     "breaks the rules, to test the oracle"));
  return info;
}

Result<> GiganticPin::set_up(Environment& env) {
  lost_write_ = env.param("provoke") == "lost-write";
  other_page_ = env.param("provoke") == "other-page";
  for (const Crossing crossing : {Crossing::kNone, Crossing::kBorder, Crossing::kBreak}) {
    judged_[static_cast<std::size_t>(crossing)] =
        env.counter(fmt::format("ranges/across-{}", to_string(crossing)));
  }
  refused_ = env.counter("pins/refused");
  buffer_.resize(kRangeBytes);
  if (Result<> opened = open_path(env.param("path")); !opened) {
    return opened;
  }
  if ((lost_write_ && !writes_) || (other_page_ && !device_)) {
    return broken("this path has no device that could do what 'provoke' asks for");
  }
  return find_page(env);
}

Result<> GiganticPin::open_path(const std::string& path) {
  const auto take = [this](auto opened) -> Result<> {
    if (!opened) {
      return tl::make_unexpected(opened.error());
    }
    if constexpr (std::is_base_of_v<Pinner, typename decltype(opened)::value_type::element_type>) {
      pinner_ = opened->get();
    }
    device_ = std::move(*opened);
    return {};
  };
  writes_ = path == "io-uring" || path == "direct-io";
  if (path == "io-uring") {
    return take(IoUringBuffer::open());
  }
  if (path == "direct-io") {
    return take(DirectIo::open());
  }
  if (path == "vmsplice") {
    return take(VmspliceHolder::open());
  }
  call_ = path == "gup-fast" ? PinCall::kFast : PinCall::kLongterm;
  Result<std::unique_ptr<GupTest>> opened = GupTest::open();
  if (!opened) {
    return tl::make_unexpected(opened.error());
  }
  gup_test_ = std::move(*opened);
  return {};
}

// The first gigantic page with a break that the machine gives.
Result<> GiganticPin::find_page(Environment& env) {
  const bool any = env.param("provoke") != "none";
  Result<bool> vmemmap = has_vmemmap();
  if (!vmemmap) {
    return tl::make_unexpected(vmemmap.error());
  }
  if (*vmemmap && !any) {
    return skipped(
        "nothing to judge: with CONFIG_SPARSEMEM_VMEMMAP struct pages are one array without a "
        "break "
        "(take kernel clean-novmemmap)");
  }
  Result<GiganticPages> pages = GiganticPages::open();
  if (!pages) {
    return tl::make_unexpected(pages.error());
  }
  pages_ = std::move(*pages);
  constexpr std::uint64_t kPages = kGiganticPage / kSmallPage;
  std::string looked_at;
  while (pages_.size() < kMostPages) {
    Result<GiganticPage> page = pages_.take();
    if (!page && pages_.size() > 0) {
      break;
    }
    if (!page) {
      return tl::make_unexpected(page.error());
    }
    page_ = *page;
    std::vector<std::uint64_t> breaks;
    std::uint64_t pages_a_section = std::uint64_t{1} << 15;  // x86_64's, where none can be read
    if (!*vmemmap) {
      // Read anew for each page: memory may have arrived.
      Result<SectionMap> map = SectionMap::read();
      if (!map) {
        return tl::make_unexpected(map.error());
      }
      breaks = map->breaks_in(page_.first_pfn, kPages);
      pages_a_section = map->pages_a_section();
      env.note(
          fmt::format("a page of 1 GiB from PFN {:#x} on: {} breaks at its {} section borders; "
                      "{} in the whole machine's {} sections",
                      page_.first_pfn, breaks.size(), kPages / pages_a_section - 1, map->breaks(),
                      map->sections()));
    }
    ranges_ = pin_ranges(page_.first_pfn, kPages, pages_a_section, breaks);
    if (!breaks.empty() || any) {
      return {};
    }
    looked_at += fmt::format("{}{:#x}", looked_at.empty() ? "" : ", ", page_.first_pfn);
  }
  return broken(
      fmt::format("the struct pages of each page of 1 GiB that this machine gave (from "
                  "PFN {}) are one array without a break: nothing can be judged; memory "
                  "that is plugged in (machine numa2-dimm) has breaks",
                  looked_at));
}

std::vector<Role> GiganticPin::roles() {
  std::vector<Role> roles(1);
  roles[0].name = "pinner";
  roles[0].body = [this](RoleContext& context) { work(context); };
  roles[0].limit = kLimit;
  return roles;
}

void GiganticPin::work(RoleContext& context) {
  // In another order each round: what one pin breaks, the next one meets.
  std::vector<PinRange> ranges = ranges_;
  for (std::size_t left = ranges.size(); left > 1; --left) {
    std::swap(ranges[left - 1], ranges[context.random().below(left)]);
  }
  for (const PinRange& range : ranges) {
    if (context.stopping() || finding_ || error_) {
      return;
    }
    if (Result<> tried = try_range(range); !tried) {
      error_ = tried.error();
    }
    context.step();
  }
}

Result<> GiganticPin::try_range(const PinRange& range) {
  fill_pages(bytes(range), range.first, ++generation_);
  if (gup_test_) {
    return let_kernel_look(range);
  }
  if (pinner_ != nullptr && pinner_->pin(device_address(range), kRangeBytes) != 0) {
    refused_.add();
    return {};
  }
  Result<> done = read_through(range);
  if (done && !finding_ && writes_) {
    done = write_through(range);
  }
  if (done && !finding_) {
    judged_[static_cast<std::size_t>(range.crossing)].add();
  }
  // With wrong pages in hand the kernel's books are wrong already: let the finding out first.
  if (pinner_ != nullptr && !finding_) {
    Result<> released = pinner_->unpin();
    return done ? released : done;
  }
  return done;
}

Result<> GiganticPin::read_through(const PinRange& range) {
  if (Result<> read = device_->read(device_address(range), buffer_.data(), kRangeBytes); !read) {
    return read;
  }
  if (const auto difference = compare_pages(buffer_, range.first, generation_)) {
    report(range, *difference, false);
  }
  return {};
}

Result<> GiganticPin::write_through(const PinRange& range) {
  fill_pages(buffer_, range.first, ++generation_);
  if (!lost_write_) {
    if (Result<> put = device_->write(device_address(range), buffer_.data(), kRangeBytes); !put) {
      return put;
    }
  }
  if (const auto difference = compare_pages(bytes(range), range.first, generation_)) {
    report(range, *difference, true);
  }
  return {};
}

// The driver pins, looks and unpins; what is wrong it says in the kernel's log, and the host reads
// that.
Result<> GiganticPin::let_kernel_look(const PinRange& range) {
  Result<PinTiming> done = gup_test_->pin_and_check(call_, address(range), kRangeBytes);
  if (!done) {
    return tl::make_unexpected(done.error());
  }
  (done->pinned ? judged_[static_cast<std::size_t>(range.crossing)] : refused_).add();
  return {};
}

void GiganticPin::report(const PinRange& range, const Difference& difference, bool written) {
  FindingRecord finding;
  finding.kind = "corruption";
  const char* const what =
      written ? "a write through a pin misses its page" : "a pin reads another page";
  const char* const where = range.crossing == Crossing::kBreak    ? "across a break in struct pages"
                            : range.crossing == Crossing::kBorder ? "across a section's border"
                                                                  : "within a section";
  finding.title = fmt::format("{} {}", what, where);
  finding.role = "pinner";
  finding.evidence["range"] = fmt::format(
      "pages {} to {} of the gigantic page from PFN {:#x} on; the next section begins at page {}",
      range.first, range.first + kRangePages - 1, page_.first_pfn, range.border);
  finding.evidence["pages"] = fmt::format(
      "{} of {} are wrong, the first is page {}: {:#x} instead of {:#x}", difference.pages,
      kRangePages, difference.first_page, difference.is, difference.must);
  finding_ = std::move(finding);
}

Result<> GiganticPin::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  std::uint64_t all = 0;
  for (const Counter& judged : judged_) {
    all += judged.value();
  }
  // Without a break (provoke=no-break) it is the borders that count.
  const bool breaks = std::any_of(ranges_.begin(), ranges_.end(), [](const PinRange& range) {
    return range.crossing == Crossing::kBreak;
  });
  const Crossing wanted = breaks ? Crossing::kBreak : Crossing::kBorder;
  if (judged_[static_cast<std::size_t>(wanted)].value() > 0) {
    return {};
  }
  return broken(
      fmt::format("nothing was tested: {} ranges were judged, none of them across a {}, "
                  "and {} pins were refused",
                  all, to_string(wanted), refused_.value()));
}

REGISTER_WORKLOAD(GiganticPin);

}  // namespace
}  // namespace mmquake
