// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/shared_state.h"

#include <sys/mman.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

namespace mmquake {

Result<SharedMapping> SharedMapping::create() {
  void* memory = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    return broken(std::string("map the runner's shared state: ") + std::strerror(errno));
  }
  return SharedMapping(new (memory) SharedState);
}

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

SharedMapping::~SharedMapping() {
  if (state_ != nullptr) {
    munmap(state_, sizeof(SharedState));
  }
}

std::int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace mmquake
