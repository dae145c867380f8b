// SPDX-License-Identifier: GPL-2.0-or-later
//
// A debugger over a composition's memory: it stops a writer, and reads and writes the memory of
// that process, by PTRACE_PEEKDATA and PTRACE_POKEDATA or by /proc/PID/mem. Both write with
// FOLL_FORCE, by get_user_pages() on another's page tables. In a composition with a debugger some
// cells are his alone, so that his writes are held to the same law as the stores of the others
// (area.h). The kernel copies byte by byte if it likes: while such a write is under way nothing is
// judged, before and after it everything is.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "workloads/compose/deed.h"
#include "workloads/compose/tracee.h"

namespace mmquake {
namespace {

constexpr int kCellsAtOnce = 8;
constexpr std::uint64_t kSabotageFrom = 3;

// Another process's memory, one word or more at a time.
class RemoteMemory {
 public:
  virtual ~RemoteMemory() = default;
  virtual bool read(const std::byte* at, CellImage& image) = 0;
  // How many words were written before the kernel refused.
  virtual std::size_t write(std::byte* at, const CellImage& image) = 0;
};

class TracedMemory final : public RemoteMemory {
 public:
  explicit TracedMemory(const Tracee& tracee) : tracee_(tracee) {}
  bool read(const std::byte* at, CellImage& image) override {
    for (std::size_t i = 0; i < kCellWords; ++i) {
      const auto word = tracee_.peek(at + i * sizeof(std::uint64_t));
      if (!word) {
        return false;
      }
      image[i] = *word;
    }
    return true;
  }
  std::size_t write(std::byte* at, const CellImage& image) override {
    std::size_t i = 0;
    while (i < kCellWords && tracee_.poke(at + i * sizeof(std::uint64_t), image[i])) {
      ++i;
    }
    return i;
  }

 private:
  const Tracee& tracee_;
};

class FileMemory final : public RemoteMemory {
 public:
  explicit FileMemory(int fd) : fd_(fd) {}
  bool read(const std::byte* at, CellImage& image) override {
    return pread(fd_, image.data(), kCellBytes, offset(at)) == static_cast<ssize_t>(kCellBytes);
  }
  std::size_t write(std::byte* at, const CellImage& image) override {
    const ssize_t done = pwrite(fd_, image.data(), kCellBytes, offset(at));
    return done <= 0 ? 0 : static_cast<std::size_t>(done) / sizeof(std::uint64_t);
  }

 private:
  static off_t offset(const std::byte* at) {
    return static_cast<off_t>(reinterpret_cast<std::uintptr_t>(at));
  }
  int fd_;
};

class Debugger final : public Deed {
 public:
  int process() const override { return 1; }

  Result<> prepare(ComposeWorld& world) override {
    loses_ = world.env->param("provoke") == "lost-poke";
    // A device may hold the pages between the cells, and is told of who drops them alone.
    pokes_idle_ = !world.composition.has(Slot::kWatcher);
    peeked_ = world.env->counter("ptrace_peeks");
    poked_ = world.env->counter("ptrace_pokes");
    refused_ = world.env->counter("ptrace_refusals");
    stops_ = world.env->counter("ptrace_stops");
    return {};
  }

  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const int pid = world.book->pids[0].load();
    const std::size_t block = random.below(kBlocks);
    const Inside inside(world.area.block(block).door);
    if (pid == 0 || !inside) {
      return Act::kRefused;
    }
    if (random.chance(0.3)) {
      return with_file(world, context, pid, block);
    }
    const int thread = world.book->threads[random.below(world.book->threads.size())].load();
    if (thread == 0) {
      return Act::kRefused;  // it has not begun yet
    }
    world.book->debugger.store(gettid());
    world.book->tracee.store(thread);
    Act result = Act::kRefused;
    if (const std::optional<Tracee> tracee = Tracee::stop(thread)) {
      stops_.add();
      TracedMemory memory(*tracee);
      result = work(world, context, memory, block);
    }
    world.book->tracee.store(0);
    return result;
  }

 private:
  Act with_file(ComposeWorld& world, RoleContext& context, int pid, std::size_t block) {
    if (!fd_) {
      fd_ = UniqueFd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDWR | O_CLOEXEC));
    }
    if (!fd_) {
      return Act::kRefused;
    }
    FileMemory memory(fd_.get());
    return work(world, context, memory, block);
  }

  Act work(ComposeWorld& world, RoleContext& context, RemoteMemory& memory, std::size_t block) {
    Random& random = context.random();
    const std::size_t owners = world.area.owners();
    bool any = false;
    for (int i = 0; i < kCellsAtOnce && !context.stopping(); ++i) {
      peek(world, context, memory, block, random.below(kCellsPerBlock));
      const std::size_t own = random.below(kCellsPerBlock / owners) * owners + owners - 1;
      // What cannot be read is not begun to be written, or the cell would stay as if it were.
      if (peek(world, context, memory, block, own)) {
        any = poke(world, context, memory, block, own) || any;
      }
      if (pokes_idle_ && random.chance(0.2)) {
        // It may be read-only just now, which FOLL_FORCE does not mind.
        memory.write(world.area.page_at(block, Area::idle_page(random)), CellImage{1});
      }
    }
    return any ? Act::kDone : Act::kRefused;
  }

  bool peek(ComposeWorld& world, const RoleContext& context, RemoteMemory& memory,
            std::size_t block, std::size_t cell) {
    const CellBook& book = world.area.book(block, cell);
    const EmptyMark& mark = world.area.block(block).mark;
    CellLook look = begin_look(book, mark);
    look.copied = true;
    CellImage image{};
    if (!memory.read(world.area.at(block, cell), image)) {
      refused_.add();
      return false;
    }
    end_look(look, image, book, mark);
    peeked_.add();
    if (auto damage = world.area.judge(block, cell, look, "a debugger", context.round())) {
      world.book->damage.put(*damage);
    }
    return true;
  }

  bool poke(ComposeWorld& world, const RoleContext& context, RemoteMemory& memory,
            std::size_t block, std::size_t cell) {
    const Area& area = world.area;
    CellBook& book = area.book(block, cell);
    const EmptyMark& mark = area.block(block).mark;
    const std::uint64_t next = area.next_generation(book, context.round());
    if (next == book.generation.intended.load()) {
      return true;
    }
    const WriteBegun begun = begin_write(book, mark, next);
    const bool loses = loses_ && context.round() >= kSabotageFrom;
    const std::size_t words =
        loses ? kCellWords
              : memory.write(area.at(block, cell), make_cell(area.place(block, cell), next));
    if (words == kCellWords) {
      end_write(book, mark, next);
      poked_.add();
      return true;
    }
    refused_.add();
    if (words == 0) {
      withdraw_write(book, begun);
    }
    return false;
  }

  bool loses_ = false;  // provoked: as if the kernel had written elsewhere
  bool pokes_idle_ = false;
  UniqueFd fd_;
  Counter peeked_, poked_, refused_, stops_;
};

}  // namespace

std::unique_ptr<Deed> make_debugger() {
  return std::make_unique<Debugger>();
}

}  // namespace mmquake
