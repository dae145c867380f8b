// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/userfaultfd.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace mmquake {
namespace {

// Of Linux 6.8, newer than Debian 12's headers.
struct MoveArgs {
  __u64 to, from, bytes, mode;
  __s64 moved;  // or a negative errno
};
constexpr unsigned long kMove = _IOWR(UFFDIO, 0x05, MoveArgs);
constexpr __u64 kMoveDontWake = 1;

__u64 register_mode(Userfaultfd::Mode mode) {
  switch (mode) {
    case Userfaultfd::Mode::kMissing:
      return UFFDIO_REGISTER_MODE_MISSING;
    case Userfaultfd::Mode::kWriteProtect:
      return UFFDIO_REGISTER_MODE_WP;
    case Userfaultfd::Mode::kMinor:
      return UFFDIO_REGISTER_MODE_MINOR;
  }
  return 0;
}

tl::unexpected<Error> failed(const char* what, std::uintptr_t address, std::size_t bytes) {
  const int error = errno;
  return broken(fmt::format("{} on {:#x}+{:#x}: {}", what, address, bytes, errno_text(error)));
}

}  // namespace

Result<Userfaultfd> Userfaultfd::open(std::uint64_t features) {
  UniqueFd fd(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd) {
    const int error = errno;
    return skipped(
        fmt::format("userfaultfd: {}; it needs CONFIG_USERFAULTFD and root, or "
                    "vm.unprivileged_userfaultfd=1",
                    errno_text(error)));
  }
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = features;
  if (ioctl(fd.get(), UFFDIO_API, &api) != 0) {
    const int error = errno;
    return skipped(fmt::format("this kernel's userfaultfd lacks one of the features {:#x}: {}",
                               features, errno_text(error)));
  }
  return Userfaultfd(std::move(fd));
}

Result<> Userfaultfd::register_range(std::uintptr_t address, std::size_t bytes, Mode mode) {
  uffdio_register args{};
  args.range = {address, bytes};
  args.mode = register_mode(mode);
  if (ioctl(fd_.get(), UFFDIO_REGISTER, &args) != 0) {
    return failed("UFFDIO_REGISTER", address, bytes);
  }
  return {};
}

Result<> Userfaultfd::write_protect(std::uintptr_t address, std::size_t bytes) {
  uffdio_writeprotect args{};
  args.range = {address, bytes};
  args.mode = UFFDIO_WRITEPROTECT_MODE_WP;
  if (ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &args) != 0) {
    return failed("UFFDIO_WRITEPROTECT", address, bytes);
  }
  return {};
}

Result<> Userfaultfd::write_unprotect(std::uintptr_t address, std::size_t bytes, bool wake) {
  uffdio_writeprotect args{};
  args.range = {address, bytes};
  args.mode = wake ? 0 : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
  if (ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &args) != 0) {
    return failed("UFFDIO_WRITEPROTECT (to unprotect)", address, bytes);
  }
  return {};
}

Result<> Userfaultfd::wake(std::uintptr_t address, std::size_t bytes) {
  uffdio_range range{address, bytes};
  if (ioctl(fd_.get(), UFFDIO_WAKE, &range) != 0) {
    return failed("UFFDIO_WAKE", address, bytes);
  }
  return {};
}

Result<> Userfaultfd::copy(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    uffdio_copy args{};
    args.dst = to + done;
    args.src = from + done;
    args.len = bytes - done;
    args.mode = UFFDIO_COPY_MODE_DONTWAKE;
    const int result = ioctl(fd_.get(), UFFDIO_COPY, &args);
    if (args.copy > 0) {
      done += static_cast<std::size_t>(args.copy);
    } else if (result != 0 && errno != EAGAIN) {
      return failed("UFFDIO_COPY", to + done, bytes - done);
    }
  }
  return {};
}

int Userfaultfd::serve(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  uffdio_copy args{};
  args.dst = to;
  args.src = from;
  args.len = bytes;
  return ioctl(fd_.get(), UFFDIO_COPY, &args) == 0 ? 0 : errno;
}

Userfaultfd::Moved Userfaultfd::move(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  MoveArgs args{to, from, bytes, kMoveDontWake, 0};
  Moved out;
  if (ioctl(fd_.get(), kMove, &args) != 0) {
    out.error = errno;
  }
  if (args.moved > 0) {
    out.bytes = static_cast<std::size_t>(args.moved);
  }
  return out;
}

Userfaultfd::Moved Userfaultfd::map_cached(std::uintptr_t address, std::size_t bytes) {
  uffdio_continue args{};
  args.range = {address, bytes};
  Moved out;
  if (ioctl(fd_.get(), UFFDIO_CONTINUE, &args) != 0) {
    out.error = errno;
  }
  if (args.mapped > 0) {
    out.bytes = static_cast<std::size_t>(args.mapped);
  }
  return out;
}

Result<std::vector<FaultEvent>> Userfaultfd::read_events() {
  std::vector<FaultEvent> events;
  std::array<uffd_msg, 16> messages{};
  for (;;) {
    const ssize_t got = read(fd_.get(), messages.data(), sizeof(messages));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && errno == EAGAIN) {
      return events;
    }
    if (got <= 0 || static_cast<std::size_t>(got) % sizeof(uffd_msg) != 0) {
      const int error = got < 0 ? errno : EIO;
      return broken(fmt::format("read userfaultfd events: {}", errno_text(error)));
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(got) / sizeof(uffd_msg); ++i) {
      if (messages[i].event == UFFD_EVENT_PAGEFAULT) {
        const std::uint64_t flags = messages[i].arg.pagefault.flags;
        events.push_back(
            {messages[i].arg.pagefault.address, (flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0,
             (flags & UFFD_PAGEFAULT_FLAG_WP) != 0, (flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0});
      }
    }
  }
}

}  // namespace mmquake
