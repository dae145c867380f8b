// SPDX-License-Identifier: GPL-2.0-or-later
//
// What VM tests and benchmarks boot: a kernel and testdata/test_guest.c as its PID 1.
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/machine/machine.h"

namespace mmquake {

// $MMQUAKE_TEST_KERNEL, else the built kernel 'clean'. The error is kSkipped and says how to get
// one.
Result<std::filesystem::path> test_kernel();

// A small machine with two nodes that boots the test guest under TCG, told `word` (test=WORD).
// The initramfs is written into `directory`, which is made.
Result<BootRequest> test_boot(const std::string& name, const std::string& word,
                              const std::filesystem::path& directory);

}  // namespace mmquake
