// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/io_uring_buffer.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace mmquake {
namespace {

constexpr unsigned kEntries = 4;

Result<> whole_transfer(ssize_t done, std::size_t wanted, const char* what) {
  if (done < 0) {
    return broken(fmt::format("io_uring's memfd: {}: {}", what, errno_text(errno)));
  }
  if (static_cast<std::size_t>(done) != wanted) {
    return broken(fmt::format("io_uring's memfd: {}: {} of {} bytes", what, done, wanted));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<IoUringBuffer>> IoUringBuffer::open() {
  std::unique_ptr<IoUringBuffer> buffer(new IoUringBuffer);
  const int error = -io_uring_queue_init(kEntries, &buffer->ring_, 0);
  if (error == ENOSYS) {
    return skipped("the kernel has no io_uring: it needs CONFIG_IO_URING");
  }
  if (error != 0) {
    return broken(fmt::format("io_uring_queue_init: {}", errno_text(error)));
  }
  buffer->has_ring_ = true;
  buffer->file_ = UniqueFd(memfd_create("mmquake-io-uring", MFD_CLOEXEC));
  if (!buffer->file_) {
    return broken(fmt::format("memfd_create for io_uring: {}", errno_text(errno)));
  }
  return buffer;
}

IoUringBuffer::~IoUringBuffer() {
  if (has_ring_) {
    io_uring_queue_exit(&ring_);  // unpins, too
  }
}

int IoUringBuffer::pin(std::uintptr_t address, std::size_t bytes) {
  if (bytes_ != 0) {
    return EBUSY;
  }
  const iovec range{reinterpret_cast<void*>(address), bytes};
  const int error = -io_uring_register_buffers(&ring_, &range, 1);
  if (error == 0) {
    address_ = address;
    bytes_ = bytes;
  }
  return error;
}

Result<> IoUringBuffer::unpin() {
  if (const int error = -io_uring_unregister_buffers(&ring_); error != 0) {
    return broken(fmt::format("unpin: io_uring_unregister_buffers: {}", errno_text(error)));
  }
  bytes_ = 0;
  return {};
}

Result<> IoUringBuffer::in_range(std::uintptr_t address, std::size_t bytes) const {
  if (address < address_ || bytes > bytes_ || address - address_ > bytes_ - bytes) {
    return broken(fmt::format("io_uring: {} bytes are outside of the pinned range", bytes));
  }
  return {};
}

Result<> IoUringBuffer::transfer(bool to_file, std::uintptr_t address, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      return broken("io_uring: the submission queue is full");
    }
    auto* memory = reinterpret_cast<void*>(address + done);
    const auto left = static_cast<unsigned>(bytes - done);
    if (to_file) {
      io_uring_prep_write_fixed(entry, file_.get(), memory, left, done, 0);
    } else {
      io_uring_prep_read_fixed(entry, file_.get(), memory, left, done, 0);
    }
    int result = io_uring_submit(&ring_);
    io_uring_cqe* completion = nullptr;
    while (result >= 0 && (result = io_uring_wait_cqe(&ring_, &completion)) == -EINTR) {
      result = 0;
    }
    if (result < 0) {
      return broken(fmt::format("io_uring: submit and wait: {}", errno_text(-result)));
    }
    const int moved = completion->res;
    io_uring_cqe_seen(&ring_, completion);
    if (moved <= 0) {
      return broken(
          fmt::format("io_uring: {}_FIXED of {} bytes: {}", to_file ? "WRITE" : "READ", left,
                      moved == 0 ? std::string("nothing was moved") : errno_text(-moved)));
    }
    done += static_cast<std::size_t>(moved);
  }
  return {};
}

Result<> IoUringBuffer::read(std::uintptr_t address, void* to, std::size_t bytes) {
  if (Result<> inside = in_range(address, bytes); !inside) {
    return inside;
  }
  if (Result<> moved = transfer(true, address, bytes); !moved) {
    return moved;
  }
  return whole_transfer(pread(file_.get(), to, bytes, 0), bytes, "pread");
}

Result<> IoUringBuffer::write(std::uintptr_t address, const void* from, std::size_t bytes) {
  if (Result<> inside = in_range(address, bytes); !inside) {
    return inside;
  }
  if (Result<> put = whole_transfer(pwrite(file_.get(), from, bytes, 0), bytes, "pwrite"); !put) {
    return put;
  }
  return transfer(false, address, bytes);
}

}  // namespace mmquake
