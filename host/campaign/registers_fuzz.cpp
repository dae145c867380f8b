// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever the monitor answers of a guest's registers and stack: nothing is read past its end, and
// a walk along the frames ends. The input is 'info registers -a', a zero byte, and 'x /NUMBERgx'.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/campaign/vcpu_registers.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = std::min(input.find('\0'), size);
  const auto words = mmquake::memory_words(input.substr(std::min(zero + 1, size)));
  for (const mmquake::VcpuRegisters& vcpu : mmquake::vcpu_registers(input.substr(0, zero))) {
    const auto frames = mmquake::walk_frames(vcpu, words);
    // One for RIP, and then each is higher than the one before.
    if (frames.empty() || frames.front() != vcpu.rip || frames.size() > 1 + words.size()) {
      std::abort();
    }
    for (std::size_t i = 1; i < frames.size(); ++i) {
      if (frames[i] < mmquake::kKernelHalf) std::abort();
    }
  }
  return 0;
}
