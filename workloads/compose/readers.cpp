// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who looks at a composition's memory from outside: procfs, another process, a forked child.
#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "guest/memory/page_map.h"
#include "workloads/compose/deed.h"

namespace mmquake {
namespace {

// A file of /proc/PID that is read to its end.
class ProcFile final : public Deed {
 public:
  explicit ProcFile(std::string_view name) : name_(name) {}
  Result<Act> act(ComposeWorld& world, RoleContext& /*context*/) override {
    const std::string path = fmt::format("/proc/{}/{}", world.book->pids[0].load(), name_);
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
      return Act::kRefused;
    }
    for (ssize_t got = 1; got > 0;) {
      got = read(fd.get(), buffer_.data(), buffer_.size());
    }
    return Act::kDone;
  }
  int process() const override { return 1; }

 private:
  std::string name_;
  std::vector<char> buffer_ = std::vector<char>(65536);
};

class PageMapReader final : public Deed {
 public:
  int process() const override { return 1; }
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const int pid = world.book->pids[0].load();
    Result<PageMap> map = pid == 0 ? Result<PageMap>(broken("")) : PageMap::open(pid);
    if (!map) {
      return Act::kRefused;
    }
    const std::uintptr_t address = world.area.block_address(context.random().below(kBlocks));
    return map->range(address, kHugePage) ? Act::kDone : Act::kRefused;
  }
};

// Cells of one block, through the kernel's view of another process. What it reads must be right.
class RemoteReader : public Deed {
 public:
  int process() const override { return 1; }
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const int pid = world.book->pids[0].load();
    const std::size_t block = context.random().below(kBlocks);
    const Inside inside(world.area.block(block).door);
    if (pid == 0 || !inside) {
      return Act::kRefused;
    }
    for (int i = 0; i < kCellsAtOnce; ++i) {
      const std::size_t cell = context.random().below(kCellsPerBlock);
      const CellBook& book = world.area.book(block, cell);
      const EmptyMark& mark = world.area.block(block).mark;
      CellLook look = begin_look(book, mark);
      look.copied = true;
      CellImage image{};
      if (!fetch(pid, world.area.at(block, cell), image)) {
        return Act::kRefused;
      }
      end_look(look, image, book, mark);
      if (auto damage = world.area.judge(block, cell, look, "another process", context.round())) {
        world.book->damage.put(*damage);
      }
    }
    return Act::kDone;
  }

 protected:
  virtual bool fetch(int pid, std::byte* at, CellImage& image) = 0;

 private:
  static constexpr int kCellsAtOnce = 16;
};

class VmReader final : public RemoteReader {
  bool fetch(int pid, std::byte* at, CellImage& image) override {
    const iovec here{image.data(), kCellBytes};
    const iovec there{at, kCellBytes};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(kCellBytes);
  }
};

class MemReader final : public RemoteReader {
  bool fetch(int pid, std::byte* at, CellImage& image) override {
    if (!fd_) {
      fd_ = UniqueFd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
    }
    return pread(fd_.get(), image.data(), kCellBytes,
                 static_cast<off_t>(reinterpret_cast<std::uintptr_t>(at))) ==
           static_cast<ssize_t>(kCellBytes);
  }
  UniqueFd fd_;
};

// The child of a fork has anonymous memory as it was: what it reads may not change, whatever the
// parent writes, and what it writes the parent's writers must never see (they check their cells).
class ForkCow final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::size_t block = context.random().below(kBlocks);
    const Inside inside(world.area.block(block).door);
    if (!inside) {
      return Act::kRefused;
    }
    const std::size_t first = context.random().below(kCellsPerBlock);
    std::array<CellLook, kCellsAtOnce> looks;
    for (std::size_t i = 0; i < looks.size(); ++i) {
      looks[i] =
          begin_look(world.area.book(block, cell_of(first, i)), world.area.block(block).mark);
    }
    const pid_t child = fork();
    if (child == 0) {
      _exit(be_child(world, block, first, looks, context.round()));
    }
    if (child < 0) {
      return Act::kRefused;
    }
    world.book->child.store(child);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    world.book->child.store(0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      return broken(fmt::format("the forked child ended with status {:#x}", status));
    }
    return Act::kDone;
  }

 private:
  static constexpr std::size_t kCellsAtOnce = 24;
  static constexpr int kGlances = 8;
  static std::size_t cell_of(std::size_t first, std::size_t i) {
    return (first + i) % kCellsPerBlock;
  }

  static int be_child(ComposeWorld& world, std::size_t block, std::size_t first,
                      std::array<CellLook, kCellsAtOnce>& looks, std::uint64_t round) {
    const Area& area = world.area;
    for (std::size_t i = 0; i < looks.size(); ++i) {
      const std::size_t cell = cell_of(first, i);
      end_look(looks[i], load_cell(area.at(block, cell)), area.book(block, cell),
               area.block(block).mark);
      // Of a block that was emptied meanwhile the child may have kept the pages.
      const bool kept = !area.is_shared() && looks[i].look_before != looks[i].look_after;
      if (kept) {
        continue;
      }
      if (auto damage = area.judge(block, cell, looks[i], "a forked child", round)) {
        world.book->damage.put(*damage);
      }
    }
    for (int glance = 0; glance < kGlances && !area.is_shared(); ++glance) {
      sched_yield();
      if (!is_as_it_was(world, block, first, looks)) {
        return 0;
      }
    }
    for (std::size_t i = 0; i < looks.size() && !area.is_shared(); ++i) {
      store_cell(area.at(block, cell_of(first, i)), make_cell({2, 2, i}, round + 1));
    }
    return 0;
  }

  static bool is_as_it_was(ComposeWorld& world, std::size_t block, std::size_t first,
                           const std::array<CellLook, kCellsAtOnce>& looks) {
    for (std::size_t i = 0; i < looks.size(); ++i) {
      const std::size_t cell = cell_of(first, i);
      const CellImage now = load_cell(world.area.at(block, cell));
      if (now != looks[i].image) {
        world.book->damage.put(fmt::format(
            "a forked child's memory changed in {}\nblock {}, page {}\nbefore: {}\nnow:    {}\n",
            world.area.word(), block, Area::page_of(cell),
            describe(looks[i].image, world.area.place(block, cell), 0, 0),
            describe(now, world.area.place(block, cell), 0, 0)));
        return false;
      }
    }
    return true;
  }
};

}  // namespace

std::unique_ptr<Deed> make_fork_cow() {
  return std::make_unique<ForkCow>();
}

std::unique_ptr<Deed> make_reader(std::string_view name) {
  if (name == "smaps" || name == "numa_maps") return std::make_unique<ProcFile>(name);
  if (name == "pagemap") return std::make_unique<PageMapReader>();
  if (name == "vm-readv") return std::make_unique<VmReader>();
  if (name == "proc-mem") return std::make_unique<MemReader>();
  return nullptr;
}

}  // namespace mmquake
