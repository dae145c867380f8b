// SPDX-License-Identifier: GPL-2.0-or-later
//
// /sys/kernel/mm/transparent_hugepage/shrink_underused (dafff3f4c850, 6.12), off while it lives.
//
// While it is on, kernels with "mm: migrate: requeue destination folio on deferred split queue"
// (2026, also in stable ones) may warn in deferred_split_folio() when a part of a huge page is
// unmapped that has just been migrated (docs/cases/requeue-partially-mapped.md).
#pragma once

#include <string>

#include "guest/memory/text_file.h"
#include "guest/protocol/result.h"

namespace mmquake {

class NoUnderusedShrinker {
 public:
  NoUnderusedShrinker() = default;
  NoUnderusedShrinker(const NoUnderusedShrinker&) = delete;
  NoUnderusedShrinker& operator=(const NoUnderusedShrinker&) = delete;
  ~NoUnderusedShrinker() {
    if (!before_.empty()) {
      (void)write_text(kFile, before_);  // a guest that ends has no use for the error
    }
  }

  // A kernel without the file has nothing to turn off.
  Result<> set() {
    Result<std::string> before = read_text(kFile);
    if (!before) {
      return {};
    }
    before_ = *before;
    return write_text(kFile, "0");
  }

 private:
  static constexpr const char* kFile = "/sys/kernel/mm/transparent_hugepage/shrink_underused";
  std::string before_;
};

}  // namespace mmquake
