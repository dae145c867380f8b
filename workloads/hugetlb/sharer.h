// SPDX-License-Identifier: GPL-2.0-or-later
//
// A second process with the caller's shared mappings that does nothing by itself. Its memory is
// reached through the kernel, so one thread decides in which order the two processes touch a page,
// and reads what the page tables say, not what a TLB remembers.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "guest/protocol/result.h"

namespace mmquake {

// Killed and reaped when it goes out of scope. It dies with the thread that made it, too.
class Sharer {
 public:
  // A fork: its mappings follow the caller's in the kernel's order (vma_interval_tree_insert_after
  // in dup_mmap()), and have no page tables yet.
  static Result<Sharer> start();
  Sharer(Sharer&& other) noexcept;
  Sharer& operator=(Sharer&&) = delete;
  Sharer(const Sharer&) = delete;
  Sharer& operator=(const Sharer&) = delete;
  ~Sharer();

  pid_t pid() const { return pid_; }
  // Through its page tables; what is not mapped is faulted in there, as by itself.
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) const;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) const;

 private:
  explicit Sharer(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

}  // namespace mmquake
