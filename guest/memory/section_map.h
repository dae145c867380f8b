// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the kernel's array of struct pages has breaks. With CONFIG_SPARSEMEM and without
// CONFIG_SPARSEMEM_VMEMMAP each section of memory (128 MiB on x86_64) has a map of its own, and the
// maps of neighbouring sections need not be neighbours (Documentation/mm/memory-model.rst).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// What /proc/kcore's VMCOREINFO note tells about sections.
struct SectionFacts {
  std::uint64_t roots_address = 0;    // of the array of pointers to arrays of struct mem_section
  std::uint64_t roots = 0;            // its length
  std::uint64_t struct_bytes = 0;     // of a struct mem_section
  std::uint64_t map_offset = 0;       // of section_mem_map in it
  std::uint64_t pages_a_section = 0;  // a power of two

  bool operator==(const SectionFacts&) const = default;
};
// Error of kind kSkipped: not a kernel with SPARSEMEM_EXTREME, or one that does not tell.
Result<SectionFacts> section_facts(std::string_view vmcoreinfo);

// Where each present section's struct pages are. A snapshot: memory that arrives later is not in
// it.
class SectionMap {
 public:
  // Reads the kernel's own table by way of /proc/kcore. Error of kind kSkipped without that
  // (CONFIG_PROC_KCORE).
  static Result<SectionMap> read(const std::string& kcore = "/proc/kcore");
  // For tests: section number to section_mem_map as the kernel holds it.
  static SectionMap of(std::uint64_t pages_a_section,
                       const std::map<std::uint64_t, std::uint64_t>& section_mem_maps);

  std::uint64_t pages_a_section() const { return pages_a_section_; }
  std::size_t sections() const { return bases_.size(); }
  // The PFNs in (first, first + pages) at which a section begins whose struct pages do not follow
  // those of the section before. There page + n is another page's, or none.
  std::vector<std::uint64_t> breaks_in(std::uint64_t first, std::uint64_t pages) const;
  // All of them; borders of holes do not count.
  std::size_t breaks() const;

 private:
  bool is_break(std::uint64_t section) const;

  std::uint64_t pages_a_section_ = 1;
  // section_mem_map without its flags: the place of the section's struct pages minus that of its
  // first PFN, so that sections whose maps are one array have the same.
  std::map<std::uint64_t, std::uint64_t> bases_;
};

// Does this kernel have CONFIG_SPARSEMEM_VMEMMAP? Then all struct pages are one array by design. By
// the functions in /proc/kallsyms, whose names are there for everyone.
Result<bool> has_vmemmap(const std::string& kallsyms = "/proc/kallsyms");

}  // namespace mmquake
