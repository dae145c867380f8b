// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a cell that is not as it was published says, and about whom.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guest/memory/pattern.h"
#include "guest/protocol/result.h"

namespace mmquake {

// Who looked, and at whose write.
enum class Witness {
  kOwner,        // a process at what it wrote itself
  kThirdParty,   // a process at what another one wrote through its own mapping
  kReader,       // a process at what was written through the page tables of another one
  kDevice,       // a device at what was written through page tables
  kDeviceWrite,  // page tables at what a device wrote
};

// A stable title. Only an older generation of the very same cell says "the old page".
std::string title_of(Witness witness, Damage damage);

// A cell that nobody writes now and that must hold exactly `generation`.
CellReading judge_quiet_cell(const CellImage& image, const CellPlace& place,
                             std::uint64_t generation);

// Several processes see a huge page through one page of PMDs if all of them have it, and it is
// mapped once.
bool one_entry_for_all(const std::vector<std::uint64_t>& pfns, std::uint64_t mapcount);

// What the kernel says about that: `pids` are the processes (0: the caller).
Result<bool> pmd_page_is_shared(std::uintptr_t address, const std::vector<pid_t>& pids);

// For evidence, a line a process: "process 0: 0x81... present pfn=0x...". What cannot be read is
// said.
std::string describe_mappings(std::uintptr_t address, const std::vector<pid_t>& pids);

}  // namespace mmquake
