// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/page_layout.h"

#include <fmt/core.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "guest/memory/page_map.h"

namespace mmquake {
namespace {

// Rejected pages are held until the layout is built, else the kernel would give them again.
constexpr std::size_t kMaxRejected = 128;

std::atomic_ref<std::uint64_t> word(const std::byte* page) {
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(page)));
}

void stamp(const Mapping& huge, int which) {
  for (std::size_t page = 0; page < kPagesOfHugePage; ++page) {
    word(huge.data() + page * kSmallPage).store(layout_stamp(which, page));
  }
}

Result<> advise(std::byte* at, std::size_t bytes, int advice, const char* what) {
  if (madvise(at, bytes, advice) != 0) {
    return broken(fmt::format("page layout: {}: {}", what, errno_text(errno)));
  }
  return {};
}

// A THP that starts the mapping and that `accept` likes?
Result<bool> is_wanted(const Mapping& huge, const PageLayout::Accept& accept) {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  Result<PageEntry> entry = map->at(huge.address());
  if (!entry) {
    return tl::make_unexpected(entry.error());
  }
  if (entry->pfn() == 0) {
    return skipped("page layout: the page map shows no PFN: it needs CAP_SYS_ADMIN");
  }
  Result<PageFlags> flags = PageFlags::open();
  if (!flags) {
    return tl::make_unexpected(flags.error());
  }
  Result<std::uint64_t> page = flags->of(entry->pfn());
  if (!page) {
    return tl::make_unexpected(page.error());
  }
  return has_flag(*page, kKpfThp) && has_flag(*page, kKpfCompoundHead) && accept(entry->pfn());
}

Result<std::vector<Mapping>> take_huge_pages(std::size_t count, const PageLayout::Accept& accept) {
  std::vector<Mapping> taken;
  std::vector<Mapping> rejected;
  while (taken.size() < count) {
    Result<Mapping> huge = Mapping::create(Backing::kAnonThp, kHugePage);
    if (!huge) {
      return tl::make_unexpected(huge.error());
    }
    word(huge->data()).store(1);
    Result<bool> wanted = accept ? is_wanted(*huge, accept) : Result<bool>(true);
    if (!wanted) {
      return tl::make_unexpected(wanted.error());
    }
    (*wanted ? taken : rejected).push_back(std::move(*huge));
    if (rejected.size() > kMaxRejected) {
      return skipped(fmt::format(
          "page layout: of {} huge pages that the kernel gave, {} lay where they are wanted",
          taken.size() + rejected.size(), taken.size()));
    }
  }
  return taken;
}

}  // namespace

std::string_view to_string(LayoutKind kind) {
  switch (kind) {
    case LayoutKind::kContiguous:
      return "contiguous";
    case LayoutKind::kMremapHead:
      return "mremap-head";
    case LayoutKind::kRefaultTail:
      return "refault-tail";
    case LayoutKind::kCowTail:
      return "cow-tail";
    case LayoutKind::kAlternate:
      return "alternate";
  }
  return "?";
}

std::optional<LayoutKind> layout_from(std::string_view name) {
  for (const LayoutKind kind : kAllLayouts) {
    if (to_string(kind) == name) {
      return kind;
    }
  }
  return std::nullopt;
}

PageLayout::PageLayout(PageLayout&& other) noexcept
    : kind_(other.kind_),
      huge_(std::move(other.huge_)),
      room_(std::move(other.room_)),
      window_(other.window_ == &other.room_ ? &room_ : huge_.data()) {}

Result<PageLayout> PageLayout::build(LayoutKind kind, const Accept& accept) {
  const bool moves = kind == LayoutKind::kMremapHead || kind == LayoutKind::kAlternate;
  PageLayout layout;
  layout.kind_ = kind;
  Result<std::vector<Mapping>> huge = take_huge_pages(moves ? 2 : 1, accept);
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  layout.huge_ = std::move(*huge);
  for (std::size_t which = 0; which < layout.huge_.size(); ++which) {
    stamp(layout.huge_[which], static_cast<int>(which));
  }
  layout.window_ = layout.huge_.data();
  if (moves) {
    Result<Mapping> room = Mapping::create(Backing::kAnon4k, kHugePage);
    if (!room) {
      return tl::make_unexpected(room.error());
    }
    layout.room_ = std::move(*room);
    layout.window_ = &layout.room_;
  }
  if (Result<> arranged = layout.arrange(); !arranged) {
    return tl::make_unexpected(arranged.error());
  }
  return layout;
}

Result<> PageLayout::arrange() {
  switch (kind_) {
    case LayoutKind::kContiguous:
      return {};
    case LayoutKind::kMremapHead:
      if (Result<> moved = move_ptes(0, 0, 1, 0); !moved) {
        return moved;
      }
      return move_ptes(1, 0, kPagesOfHugePage - 1, 1);
    case LayoutKind::kRefaultTail:
      return refault_tail();
    case LayoutKind::kCowTail:
      return cow_tail();
    case LayoutKind::kAlternate:
      for (std::size_t page = 0; page < kPagesOfHugePage; ++page) {
        if (Result<> moved = move_ptes(static_cast<int>(page % 2), page / 2, 1, page); !moved) {
          return moved;
        }
      }
      return {};
  }
  return broken("page layout: no such layout");
}

// DONTUNMAP leaves the source mapped, empty: a hole could be taken by another thread, and then the
// mapping's end would unmap that.
Result<> PageLayout::move_ptes(int which, std::size_t from, std::size_t count, std::size_t to) {
  std::byte* source = huge_[static_cast<std::size_t>(which)].data() + from * kSmallPage;
  const std::size_t bytes = count * kSmallPage;
  void* moved = mremap(source, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                       room_.data() + to * kSmallPage);
  if (moved == MAP_FAILED) {
    return broken(fmt::format("page layout: mremap of {} pages: {}", count, errno_text(errno)));
  }
  return {};
}

Result<> PageLayout::refault_tail() {
  std::byte* tail = huge_[0].data() + kKeptPages * kSmallPage;
  const std::size_t bytes = kHugePage - kKeptPages * kSmallPage;
  // The area is split, and the PMD with it.
  if (Result<> small = advise(tail, bytes, MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE"); !small) {
    return small;
  }
  if (Result<> dropped = advise(tail, bytes, MADV_DONTNEED, "MADV_DONTNEED"); !dropped) {
    return dropped;
  }
  for (std::size_t page = kKeptPages; page < kPagesOfHugePage; ++page) {
    word(huge_[0].data() + page * kSmallPage).store(layout_stamp(1, page));
  }
  return {};
}

// The child shares the tail only: were the head shared, a writable pin would copy it as well.
Result<> PageLayout::cow_tail() {
  std::byte* head = huge_[0].data();
  const std::size_t kept = kKeptPages * kSmallPage;
  if (Result<> kept_back = advise(head, kept, MADV_DONTFORK, "MADV_DONTFORK"); !kept_back) {
    return kept_back;
  }
  int ends[2];
  if (pipe(ends) != 0) {
    return broken(fmt::format("page layout: pipe: {}", errno_text(errno)));
  }
  UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  // No signal at its end, so that nobody else waits for this child (only __WALL does).
  const auto child = static_cast<pid_t>(syscall(SYS_clone, 0UL, nullptr, nullptr, nullptr, 0UL));
  if (child == 0) {
    close(ends[1]);
    char byte = 0;
    [[maybe_unused]] const ssize_t got = ::read(ends[0], &byte, 1);  // until the parent closes
    _exit(0);
  }
  if (child < 0) {
    return broken(fmt::format("page layout: fork: {}", errno_text(errno)));
  }
  for (std::size_t page = kKeptPages; page < kPagesOfHugePage; ++page) {
    word(head + page * kSmallPage).store(layout_stamp(1, page));
  }
  in = UniqueFd();
  while (waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  return advise(head, kept, MADV_DOFORK, "MADV_DOFORK");
}

std::uint64_t PageLayout::expected(std::size_t page) const {
  switch (kind_) {
    case LayoutKind::kContiguous:
      return layout_stamp(0, page);
    case LayoutKind::kMremapHead:
      return page == 0 ? layout_stamp(0, 0) : layout_stamp(1, page - 1);
    case LayoutKind::kAlternate:
      return layout_stamp(static_cast<int>(page % 2), page / 2);
    case LayoutKind::kRefaultTail:
    case LayoutKind::kCowTail:
      return layout_stamp(page < kKeptPages ? 0 : 1, page);
  }
  return 0;
}

}  // namespace mmquake
