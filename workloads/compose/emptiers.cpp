// SPDX-License-Identifier: GPL-2.0-or-later
//
// What takes pages away together with their content. Each tells the block's EmptyMark, so that the
// oracle knows what may be there (cell_ledger.h).
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "workloads/compose/deed.h"

namespace mmquake {
namespace {

using How = EmptyMark::How;

// Over what is there, in one call: a hole could be taken by another thread's malloc().
int map_over(const Area& area, std::size_t block) {
  const int fd = area.fd();
  const Stretch stretch = area.stretch(block);
  void* at = stretch.at;
  const auto offset = static_cast<off_t>(fd < 0 ? 0 : stretch.file_offset);
  if (mmap(at, stretch.bytes, PROT_READ | PROT_WRITE, area.map_flags(), fd, offset) == MAP_FAILED) {
    return -1;
  }
  if (area.is_hugetlb()) {
    return 0;
  }
  const Traits is = find_ingredient(Slot::kBacking, area.word())->is;
  if ((is & kKsm) != 0 && madvise(at, kHugePage, MADV_MERGEABLE) != 0) {
    return -1;
  }
  return madvise(at, kHugePage, (is & kThp) != 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

// While others use the block.
class Emptier final : public Deed {
 public:
  using Call = int (*)(const Area& area, std::size_t block, Random& random);
  Emptier(Call call, How how) : call_(call), how_(how) {}
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::size_t block = context.random().below(kBlocks);
    BlockBook& book = world.area.block(block);
    const Inside inside(book.door);
    if (!inside) {
      return Act::kRefused;
    }
    if (how_ == How::kNothing) {
      return call_(world.area, block, context.random()) == 0 ? Act::kDone : Act::kRefused;
    }
    if (!book.mark.begin()) {
      return Act::kRefused;
    }
    const bool done = call_(world.area, block, context.random()) == 0;
    // A call that failed may have done a part: as if given up, either is allowed.
    book.mark.end(done ? how_ : How::kGivenUp);
    return done ? Act::kDone : Act::kRefused;
  }

 private:
  Call call_;
  How how_;
};

// While nobody does: the addresses are gone for a moment.
class Exclusive final : public Deed {
 public:
  using Call = int (*)(const Area& area, std::size_t block);
  Exclusive(Call call, bool whole_file) : call_(call), whole_file_(whole_file) {}
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::size_t block = context.random().below(kBlocks);
    const Stretch stretch = world.area.stretch(block);
    // What cuts the file off takes all blocks behind the cut as well.
    const std::size_t end = whole_file_ ? kBlocks : stretch.end;
    std::size_t shut = stretch.first;
    while (shut < end && world.area.block(shut).door.shut(context)) {
      ++shut;
    }
    Result<Act> result = Act::kRefused;
    if (shut == end) {
      result = empty(world.area, stretch.first, end);
    }
    for (std::size_t i = stretch.first; i < shut && result; ++i) {
      world.area.block(i).door.open();
    }
    return result;
  }

 private:
  Result<Act> empty(const Area& area, std::size_t begin, std::size_t end) {
    const bool loses = whole_file_ || !area.is_shared();
    std::size_t marked = begin;
    while (loses && marked < end && area.block(marked).mark.begin()) {
      ++marked;
    }
    const bool all = !loses || marked == end;
    const bool failed = all && call_(area, begin) != 0;
    const How how = all && !failed ? How::kEmptied : How::kNothing;
    for (std::size_t i = begin; i < marked; ++i) {
      area.block(i).mark.end(how);
    }
    if (failed) {
      return broken(fmt::format("take a block away and back: {}", errno_text(errno)));
    }
    return all ? Act::kDone : Act::kRefused;
  }

  Call call_;
  bool whole_file_;
};

// Half of the time in two calls, between which a huge page is mapped by its last PTE alone.
int forget(const Area& area, std::size_t block, Random& random) {
  const Stretch stretch = area.stretch(block);
  const bool in_two = !area.is_hugetlb() && random.chance(0.5);
  const std::size_t first = in_two ? stretch.bytes - kSmallPage : stretch.bytes;
  if (madvise(stretch.at, first, MADV_DONTNEED) != 0) {
    return -1;
  }
  auto* rest = static_cast<std::byte*>(stretch.at) + first;
  return in_two ? madvise(rest, kSmallPage, MADV_DONTNEED) : 0;
}

int give_up(const Area& area, std::size_t block, Random& /*random*/) {
  return madvise(area.page_at(block, 0), kHugePage, MADV_FREE);
}

int punch_all(const Area& area, std::size_t block) {
  return fallocate(area.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(area.file_offset(block)), static_cast<off_t>(kHugePage));
}

int punch(const Area& area, std::size_t block, Random& /*random*/) {
  return punch_all(area, block);
}

int cut_off(const Area& area, std::size_t block) {
  return ftruncate(area.fd(), static_cast<off_t>(area.file_offset(block))) == 0
             ? ftruncate(area.fd(), static_cast<off_t>(area.size()))
             : -1;
}

// MADV_DONTNEED of shared memory leaves the pages in the file.
class Forgetter final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    return (world.area.is_shared() ? shared_ : anonymous_).act(world, context);
  }

 private:
  Emptier shared_{forget, How::kNothing};
  Emptier anonymous_{forget, How::kEmptied};
};

}  // namespace

Result<bool> renew_block(const Area& area, std::size_t block) {
  EmptyMark& mark = area.block(block).mark;
  if (!mark.begin()) {
    return false;
  }
  const bool done =
      (!area.is_shared() || punch_all(area, block) == 0) && map_over(area, block) == 0;
  const int error = errno;
  mark.end(done ? How::kEmptied : How::kGivenUp);
  if (!done) {
    return broken(fmt::format("empty a block between two rounds: {}", errno_text(error)));
  }
  return true;
}

std::unique_ptr<Deed> make_emptier(std::string_view name) {
  if (name == "dontneed") return std::make_unique<Forgetter>();
  if (name == "punch-hole") return std::make_unique<Emptier>(punch, How::kEmptied);
  if (name == "free") return std::make_unique<Emptier>(give_up, How::kGivenUp);
  if (name == "truncate") return std::make_unique<Exclusive>(cut_off, true);
  if (name == "mmap-over") return std::make_unique<Exclusive>(map_over, false);
  return nullptr;
}

}  // namespace mmquake
