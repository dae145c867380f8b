// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"
#include "guest/protocol/result.h"

namespace mmquake {

// Lets memfds have huge pages without being asked, and restores the old choice.
class ShmemAlwaysHuge {
 public:
  ShmemAlwaysHuge() = default;
  ShmemAlwaysHuge(const ShmemAlwaysHuge&) = delete;
  ShmemAlwaysHuge& operator=(const ShmemAlwaysHuge&) = delete;
  ~ShmemAlwaysHuge() {
    if (!before_.empty()) {
      (void)set_shmem_thp(before_);  // a guest that ends has no use for the error
    }
  }

  Result<> set() {
    const std::string file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    Result<std::string> text = read_text(file);
    if (!text) {
      return skipped(file + ": this kernel has no huge pages in shmem");
    }
    Result<std::string> mode = chosen(*text);
    if (!mode) {
      return context(file, mode.error());
    }
    before_ = *mode;
    return set_shmem_thp("always");
  }

 private:
  std::string before_;
};

}  // namespace mmquake
