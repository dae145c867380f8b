// SPDX-License-Identifier: GPL-2.0-or-later
//
// userfaultfd: user space that resolves, or does not resolve, the faults of a range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/result.h"

namespace mmquake {

// One UFFD_EVENT_PAGEFAULT.
struct FaultEvent {
  std::uintptr_t address = 0;  // rounded down to its page by the kernel
  bool write = false;
  bool write_protected = false;
  bool minor = false;  // the page is in the file, and not mapped here
};

// Owns the descriptor. Closing it wakes all waiters and unregisters all ranges. Its calls may run
// in several threads at once.
class Userfaultfd {
 public:
  enum class Mode { kMissing, kWriteProtect, kMinor };

  // Non-blocking. `features` are UFFD_FEATURE_* bits; a kernel without one of them, or without
  // userfaultfd, is an error of kind kSkipped.
  static Result<Userfaultfd> open(std::uint64_t features);

  Result<> register_range(std::uintptr_t address, std::size_t bytes, Mode mode);

  // Takes the write permission away, or gives it back. With `wake` waiters are woken after that.
  Result<> write_protect(std::uintptr_t address, std::size_t bytes);
  Result<> write_unprotect(std::uintptr_t address, std::size_t bytes, bool wake);

  // UFFDIO_WAKE: lets everyone who waits in the range look again.
  Result<> wake(std::uintptr_t address, std::size_t bytes);

  // UFFDIO_COPY without waking anyone. Nothing may be mapped at `to`.
  Result<> copy(std::uintptr_t to, std::uintptr_t from, std::size_t bytes);

  // UFFDIO_COPY of one page, small or hugetlb, that wakes who waits for it. 0 or the kernel's
  // errno: EEXIST says that there is a page already, and wakes nobody.
  int serve(std::uintptr_t to, std::uintptr_t from, std::size_t bytes);

  // UFFDIO_MOVE (6.8) of anonymous pages without waking anyone: whole huge pages stay whole. EAGAIN
  // and EBUSY mean that a page is busy; what was moved until then is moved.
  struct Moved {
    std::size_t bytes = 0;
    int error = 0;
  };
  Moved move(std::uintptr_t to, std::uintptr_t from, std::size_t bytes);
  static constexpr std::uint64_t kFeatureMove = 1 << 16;  // UFFD_FEATURE_MOVE, for open()
  static constexpr std::uint64_t kFeatureWpFiles = 1
                                                   << 12;  // UFFD_FEATURE_WP_HUGETLBFS_SHMEM (5.19)

  // UFFDIO_CONTINUE: maps pages that the file has, from the first on, and wakes who waits for them.
  // EFAULT: the file does not have the next page; EEXIST: it is mapped already. Neither wakes.
  Moved map_cached(std::uintptr_t address, std::size_t bytes);

  // The faults that wait to be read; empty if there are none. Reading one resolves nothing.
  Result<std::vector<FaultEvent>> read_events();

  int fd() const { return fd_.get(); }

 private:
  explicit Userfaultfd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace mmquake
