// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/protocol/composition.h"

#include <algorithm>

namespace mmquake {
namespace {

// The order in the tables is part of the space's definition: a seed means the same draw for as long
// as it stays.
constexpr auto kBackings = std::to_array<Ingredient>({
    {.name = "anon-4k", .summary = "anonymous small pages", .is = kAnon | kSmall},
    {.name = "anon-thp", .summary = "anonymous huge pages", .is = kAnon | kThp},
    {.name = "anon-thp-pte", .summary = "anonymous huge pages that PTEs map", .is = kAnon | kThp},
    {.name = "shmem-4k",
     .summary = "a memfd's small pages, in two processes",
     .is = kShared | kSmall},
    {.name = "shmem-thp",
     .summary = "a memfd's huge pages, in two processes",
     .is = kShared | kThp},
    {.name = "hugetlb-2m", .summary = "hugetlb pages, in two processes", .is = kShared | kHugetlb},
    {.name = "hugetlb-shared-pmd",
     .summary = "hugetlb pages whose page tables two processes share",
     .is = kShared | kHugetlb},
    {.name = "ksm", .summary = "anonymous pages that ksmd merges", .is = kAnon | kSmall | kKsm},
    {.name = "swap",
     .summary = "anonymous small pages, with swap on zram",
     .is = kAnon | kSmall | kSwap},
    {.name = "swap-thp",
     .summary = "anonymous huge pages, with swap on zram",
     .is = kAnon | kThp | kSwap},
    {.name = "hugetlb-1g",
     .summary = "parts of one hugetlb page of 1 GiB, in two processes",
     .is = kShared | kHugetlb | kGigantic,
     .machine = MachineTrait::kGiganticPages},
});

constexpr auto kMovers = std::to_array<Ingredient>({
    {.name = "move_pages", .summary = "move_pages(2) on the process itself", .needs = kAnyBacking},
    {.name = "move_pages-other",
     .summary = "move_pages(2) on another process",
     .needs = kAnyBacking},
    {.name = "mbind", .summary = "mbind(2) with MPOL_MF_MOVE_ALL", .needs = kAnyBacking},
    {.name = "migrate_pages", .summary = "migrate_pages(2) of the process", .needs = kAnyBacking},
    {.name = "cpuset",
     .summary = "a cpuset whose mems change, with memory_migrate",
     .needs = kAnyBacking},
    {.name = "numa-balancing",
     .summary = "NUMA balancing, while the writers go from node to node",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .because = "NUMA balancing leaves hugetlb pages alone"},
    {.name = "compaction",
     .summary = "/proc/sys/vm/compact_memory",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .because = "compaction moves no hugetlb page"},
    {.name = "hot-remove",
     .summary = "memory blocks of ZONE_MOVABLE go offline and online",
     .needs = kAnyBacking,
     .refuses = kGigantic,
     .does = kTakesFrames,
     .machine = MachineTrait::kMovable,
     .because = "a page of 1 GiB does not lie in ZONE_MOVABLE"},
    {.name = "soft-offline",
     .summary = "MADV_SOFT_OFFLINE of some pages",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .does = kTakesFrames,
     .because = "each page that goes dissolves a huge page of the pool"},
    {.name = "cma",
     .summary = "allocations from a CMA area",
     .needs = kAnyBacking,
     .refuses = kGigantic,
     .machine = MachineTrait::kCma,
     .because = "a page of 1 GiB does not lie in an area that others allocate from"},
    {.name = "demotion",
     .summary = "reclaim moves pages down to slow memory, calls bring them up again",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .does = kReclaims,
     .machine = MachineTrait::kSlowMemory,
     .because = "hugetlb pages are not reclaimed"},
});

constexpr auto kDisturbers = std::to_array<Ingredient>({
    {.name = "split-debugfs", .summary = "split_huge_pages of debugfs", .needs = kThp},
    {.name = "split-dontneed",
     .summary = "MADV_DONTNEED of an unused page in the middle; half of them come back",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .does = kUnmapsPtes,
     .because = "a part of a hugetlb page cannot go"},
    {.name = "dontneed",
     .summary = "MADV_DONTNEED",
     .needs = kAnyBacking,
     .does = kEmptiesAnon | kUnmapsPtes},
    {.name = "punch-hole",
     .summary = "fallocate(FALLOC_FL_PUNCH_HOLE)",
     .needs = kShared,
     .does = kEmptiesShared},
    {.name = "truncate",
     .summary = "ftruncate(2) to a part and back",
     .needs = kShared,
     .refuses = kGigantic,
     .does = kEmptiesShared | kRemaps,
     .because = "a page of 1 GiB goes as a whole, and while it moves the pool has no other"},
    {.name = "mmap-over",
     .summary = "mmap(2) over it, which unmaps it",
     .needs = kAnyBacking,
     .does = kEmptiesAnon | kRemaps},
    {.name = "free", .summary = "MADV_FREE", .needs = kAnon, .does = kMayEmpty},
    {.name = "fork-cow",
     .summary = "fork(2); parent and child write",
     .needs = kAnyBacking,
     .does = kForks},
    {.name = "mremap",
     .summary = "mremap(2) away and back, MREMAP_DONTUNMAP (5.13)",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .does = kRemaps,
     .because = "MREMAP_DONTUNMAP refuses hugetlb mappings, and a hole could be taken by others"},
    {.name = "mprotect",
     .summary = "mprotect(2) of all, to executable and back",
     .needs = kAnyBacking},
    {.name = "mprotect-page",
     .summary = "mprotect(2) of one page that nobody uses: splits the PMD",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .because = "a hugetlb page has one protection"},
    {.name = "mlock", .summary = "mlock(2) and munlock(2)", .needs = kAnyBacking},
    {.name = "pageout",
     .summary = "MADV_PAGEOUT",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .does = kReclaims,
     .because = "hugetlb pages are not reclaimed"},
    {.name = "cold",
     .summary = "MADV_COLD",
     .needs = kAnyBacking,
     .refuses = kHugetlb,
     .because = "hugetlb pages are on no LRU list"},
    {.name = "collapse", .summary = "MADV_COLLAPSE (6.1)", .needs = kThp},
    {.name = "swapoff", .summary = "swapoff(2) and swapon(2)", .needs = kSwap},
    {.name = "smaps", .summary = "reads /proc/PID/smaps", .needs = kAnyBacking},
    {.name = "pagemap", .summary = "reads /proc/PID/pagemap", .needs = kAnyBacking},
    {.name = "numa_maps", .summary = "reads /proc/PID/numa_maps", .needs = kAnyBacking},
    {.name = "vm-readv",
     .summary = "process_vm_readv(2) from another process",
     .needs = kAnyBacking},
    {.name = "proc-mem", .summary = "reads /proc/PID/mem, as ptrace(2) does", .needs = kAnyBacking},
    {.name = "ptrace",
     .summary = "ptrace(2) stops writers, reads and writes; /proc/PID/mem is written",
     .needs = kAnyBacking},
});

// A watcher that holds references on pages sees the old ones when the process has others.
constexpr Effects kKeepsPages =
    kUnmapsPtes | kForks | kTakesFrames | kRemaps | kMayEmpty | kEmptiesAnon | kEmptiesShared;

constexpr auto kWatchers = std::to_array<Ingredient>({
    {.name = "uffd-missing",
     .summary = "userfaultfd serves the missing pages",
     .needs = kAnyBacking,
     .refuses = kKsm | kGigantic,
     .endures = ~kRemaps,
     .because = "a mapping that is made anew is not registered; ksmd leaves registered areas "
                "alone; the one page of 1 GiB is never missing"},
    {.name = "uffd-wp",
     .summary = "userfaultfd write-protects; no write may go unreported",
     .needs = kAnyBacking,
     .refuses = kKsm,
     .endures = kReclaims | kTakesFrames,
     .because = "what empties, forks or maps anew takes the protection away"},
    {.name = "uffd-minor",
     .summary = "userfaultfd maps the pages that the file has, each when it is asked to",
     .needs = kShared,
     .endures = ~kRemaps,
     .because = "anonymous memory has no file; a mapping that is made anew is not registered"},
    {.name = "io_uring",
     .summary = "registered buffers: pinned pages stay and agree with the CPU's",
     .needs = kAnyBacking,
     .endures = kKeepsPages | kReclaims},
    {.name = "rxe",
     .summary = "RDMA by soft-RoCE: pinned pages stay and agree with the CPU's",
     .needs = kAnyBacking,
     .endures = kKeepsPages | kReclaims},
    {.name = "gup_test-hold",
     .summary = "the kernel's test driver holds a long-term pin (6.2)",
     .needs = kAnyBacking,
     .endures = kKeepsPages | kReclaims},
    {.name = "vmsplice",
     .summary = "pages in a pipe agree with the CPU's",
     .needs = kShared,
     .because = "a short-term reference does not keep an anonymous page in its place"},
    {.name = "dmirror",
     .summary = "HMM's test device: its page tables agree with the CPU's",
     .needs = kAnyBacking,
     .endures = ~kRemaps,
     .because = "a page that is not mapped is an error for the device"},
    {.name = "kvm",
     .summary = "a VM in the guest sees what the CPU sees",
     .needs = kAnyBacking,
     .endures = ~kRemaps,
     .because = "a page that is not mapped ends the VM"},
});

constexpr std::array<std::string_view, kAllSlots.size()> kSlotNames{"backing", "mover", "disturber",
                                                                    "disturber2", "watcher"};

Effects effects_of(const Composition& composition, Slot slot) {
  const Ingredient* found = find_ingredient(slot, composition[slot]);
  return found == nullptr ? 0 : found->does;
}

std::optional<std::string> misfit(const Composition& composition, Slot slot) {
  const std::string& word = composition[slot];
  const Ingredient* found = find_ingredient(slot, word);
  if (found == nullptr) {
    return word == kNoWord
               ? std::nullopt
               : std::optional(std::string(to_string(slot)) + " '" + word + "' does not exist");
  }
  const Traits backing = composition.traits();
  if (slot != Slot::kBacking &&
      ((found->needs & backing) == 0 || (found->refuses & backing) != 0)) {
    return word + " does not go with " + composition[Slot::kBacking] +
           (found->because.empty() ? "" : ": " + std::string(found->because));
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Slot slot) {
  return kSlotNames[static_cast<std::size_t>(slot)];
}

std::string_view to_string(MachineTrait trait) {
  switch (trait) {
    case MachineTrait::kNothing:
      return "nothing";
    case MachineTrait::kMovable:
      return "ZONE_MOVABLE";
    case MachineTrait::kCma:
      return "a CMA area";
    case MachineTrait::kMemoryOnlyNode:
      return "a node without CPUs";
    case MachineTrait::kSlowMemory:
      return "a slower tier of memory";
    case MachineTrait::kGiganticPages:
      return "room for a page of 1 GiB on every node";
  }
  return "?";
}

std::span<const Ingredient> ingredients(Slot slot) {
  switch (slot) {
    case Slot::kBacking:
      return kBackings;
    case Slot::kMover:
      return kMovers;
    case Slot::kDisturber:
    case Slot::kDisturber2:
      return kDisturbers;
    case Slot::kWatcher:
      return kWatchers;
  }
  return {};
}

const Ingredient* find_ingredient(Slot slot, std::string_view name) {
  const std::span<const Ingredient> all = ingredients(slot);
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Ingredient& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Composition Composition::from_params(const std::map<std::string, std::string>& params) {
  Composition out;
  for (const Slot slot : kAllSlots) {
    if (const auto found = params.find(std::string(to_string(slot))); found != params.end()) {
      out.set(slot, found->second);
    }
  }
  return out;
}

bool Composition::disturbed_by(std::string_view disturber) const {
  return (*this)[Slot::kDisturber] == disturber || (*this)[Slot::kDisturber2] == disturber;
}

Traits Composition::traits() const {
  const Ingredient* backing = find_ingredient(Slot::kBacking, (*this)[Slot::kBacking]);
  return backing == nullptr ? 0 : backing->is;
}

Effects Composition::effects() const {
  Effects all = 0;
  for (const Slot slot : kAllSlots) {
    all |= effects_of(*this, slot);
  }
  return (traits() & kAnon) != 0 ? all & ~kEmptiesShared : all & ~kEmptiesAnon;
}

std::vector<MachineTrait> Composition::machine() const {
  std::vector<MachineTrait> out;
  for (const Slot slot : kAllSlots) {
    const Ingredient* found = find_ingredient(slot, (*this)[slot]);
    if (found != nullptr && found->machine != MachineTrait::kNothing) {
      out.push_back(found->machine);
    }
  }
  return out;
}

std::map<std::string, std::string> Composition::params() const {
  std::map<std::string, std::string> out;
  for (const Slot slot : kAllSlots) {
    if (has(slot)) {
      out.emplace(to_string(slot), (*this)[slot]);
    }
  }
  return out;
}

std::string Composition::text() const {
  std::string out;
  for (const Slot slot : kAllSlots) {
    if (has(slot)) {
      out += (out.empty() ? "" : " ") + (*this)[slot];
    }
  }
  return out;
}

std::optional<std::string> objection(const Composition& composition) {
  if (!composition.has(Slot::kBacking)) {
    return "a composition needs a backing";
  }
  if (!composition.has(Slot::kMover) && !composition.has(Slot::kDisturber)) {
    return "nothing moves or disturbs the memory";
  }
  return clash(composition);
}

std::optional<std::string> clash(const Composition& composition) {
  for (const Slot slot : kAllSlots) {
    if (std::optional<std::string> wrong = misfit(composition, slot)) {
      return wrong;
    }
  }
  const std::string& first = composition[Slot::kDisturber];
  const std::string& second = composition[Slot::kDisturber2];
  if (composition.has(Slot::kDisturber2)) {
    // One of the two orders, or each pair would be there twice.
    const auto at = [](std::string_view name) {
      return find_ingredient(Slot::kDisturber, name) - kDisturbers.data();
    };
    if (!composition.has(Slot::kDisturber) || at(first) >= at(second)) {
      return "disturber must come before disturber2 in the list, and differ from it";
    }
  }
  const Effects all = composition.effects();
  if ((all & kMayEmpty) != 0 && (all & kForks) != 0) {
    return "free and fork-cow: what the child sees of a freed page may change at any time";
  }
  if (const Ingredient* watcher = find_ingredient(Slot::kWatcher, composition[Slot::kWatcher])) {
    if ((all & ~watcher->endures) != 0) {
      return std::string(watcher->name) +
             " does not go with these disturbers: " + std::string(watcher->because);
    }
  }
  return std::nullopt;
}

bool go_together(Slot slot, std::string_view word, Slot other_slot, std::string_view other) {
  std::vector<Composition> with(1);
  with[0].set(slot, word);
  with[0].set(other_slot, other);
  // What is open is tried with every word; a second disturber or a watcher forbids more, never
  // less.
  for (const Slot open : {Slot::kBacking, Slot::kDisturber}) {
    if (open == slot || open == other_slot) {
      continue;
    }
    std::vector<Composition> filled = open == Slot::kBacking ? std::vector<Composition>() : with;
    for (const Composition& base : with) {
      for (const Ingredient& one : ingredients(open)) {
        filled.push_back(base);
        filled.back().set(open, one.name);
      }
    }
    with = std::move(filled);
  }
  return std::any_of(with.begin(), with.end(),
                     [](const Composition& one) { return !objection(one); });
}

std::vector<Composition> smaller(const Composition& composition) {
  std::vector<Composition> out;
  for (const Slot slot : {Slot::kWatcher, Slot::kDisturber2, Slot::kDisturber, Slot::kMover}) {
    if (!composition.has(slot)) {
      continue;
    }
    Composition less = composition;
    less.set(slot, kNoWord);
    if (slot == Slot::kDisturber && less.has(Slot::kDisturber2)) {
      less.set(Slot::kDisturber, less[Slot::kDisturber2]);
      less.set(Slot::kDisturber2, kNoWord);
    }
    if (!objection(less)) {
      out.push_back(std::move(less));
    }
  }
  return out;
}

std::vector<Composition> all_compositions() {
  std::vector<Composition> partial(1);
  for (const Slot slot : kAllSlots) {
    std::vector<Composition> longer;
    for (const Composition& base : partial) {
      if (slot != Slot::kBacking) {
        longer.push_back(base);
      }
      for (const Ingredient& one : ingredients(slot)) {
        Composition next = base;
        next.set(slot, one.name);
        if (!misfit(next, slot)) {
          longer.push_back(std::move(next));
        }
      }
    }
    partial = std::move(longer);
  }
  std::erase_if(partial, [](const Composition& one) { return objection(one).has_value(); });
  return partial;
}

}  // namespace mmquake
