// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/vmsplice_holder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace mmquake {
namespace {

constexpr std::size_t kDefaultBytes = 16 * kSmallPage;  // what a new pipe takes

}  // namespace

Result<VmspliceHolder::Pipe> VmspliceHolder::open_pipe(std::size_t bytes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return broken(fmt::format("vmsplice: pipe2: {}", errno_text(errno)));
  }
  Pipe pipe;
  pipe.out = UniqueFd(ends[0]);
  pipe.in = UniqueFd(ends[1]);
  if (bytes > kDefaultBytes &&
      fcntl(pipe.in.get(), F_SETPIPE_SZ, static_cast<unsigned>(bytes)) < 0) {
    return broken(fmt::format("vmsplice: a pipe of {} bytes: {}", bytes, errno_text(errno)));
  }
  return pipe;
}

Result<std::unique_ptr<VmspliceHolder>> VmspliceHolder::open() {
  return std::make_unique<VmspliceHolder>();
}

int VmspliceHolder::pin(std::uintptr_t address, std::size_t bytes) {
  if (bytes_ != 0) {
    return EBUSY;
  }
  Result<Pipe> pipe = open_pipe(bytes);
  if (!pipe) {
    return ENOMEM;
  }
  for (std::size_t done = 0; done < bytes;) {
    const iovec rest{reinterpret_cast<void*>(address + done), bytes - done};
    const ssize_t got = vmsplice(pipe->in.get(), &rest, 1, 0);
    if (got <= 0) {
      return got < 0 ? errno : EAGAIN;  // the pipe's end lets go of what it has
    }
    done += static_cast<std::size_t>(got);
  }
  pipe_ = std::move(*pipe);
  address_ = address;
  bytes_ = bytes;
  return 0;
}

// Closing the pipe drops its references.
Result<> VmspliceHolder::unpin() {
  if (bytes_ == 0) {
    return broken("unpin: vmsplice holds nothing");
  }
  pipe_ = Pipe();
  bytes_ = 0;
  return {};
}

// tee() copies the references into a second pipe, so that reading leaves the first as it is.
Result<> VmspliceHolder::read(std::uintptr_t address, void* to, std::size_t bytes) {
  if (address < address_ || bytes > bytes_ || address - address_ > bytes_ - bytes) {
    return broken(fmt::format("vmsplice: {} bytes are outside of the held range", bytes));
  }
  Result<Pipe> second = open_pipe(bytes_);
  if (!second) {
    return tl::make_unexpected(second.error());
  }
  const std::size_t wanted = address - address_ + bytes;
  const ssize_t copied = tee(pipe_.out.get(), second->in.get(), wanted, SPLICE_F_NONBLOCK);
  if (copied != static_cast<ssize_t>(wanted)) {
    return broken(fmt::format("vmsplice: tee: {}", copied < 0 ? errno_text(errno) : "short"));
  }
  std::vector<std::byte> all(wanted);
  for (std::size_t done = 0; done < wanted;) {
    const ssize_t got = ::read(second->out.get(), all.data() + done, wanted - done);
    if (got <= 0) {
      return broken(fmt::format("vmsplice: read: {}", got < 0 ? errno_text(errno) : "short"));
    }
    done += static_cast<std::size_t>(got);
  }
  std::memcpy(to, all.data() + (address - address_), bytes);
  return {};
}

Result<> VmspliceHolder::write(std::uintptr_t, const void*, std::size_t) {
  return broken("vmsplice cannot write to the pages that it holds");
}

}  // namespace mmquake
