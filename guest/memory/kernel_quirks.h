// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an oracle must not expect of some kernels, by their release ("6.1.0-50-amd64"). Of a text
// that names no version each of these is true: then nobody is accused.
#pragma once

#include <string>
#include <string_view>

namespace mmquake {

// Of the kernel that runs.
std::string kernel_release();

// Whether this kernel lets each thread keep a part of what VmRSS counts for itself (before 6.2: up
// to 64 faults, each of which may map 16 pages of a file), or each CPU.
bool threads_keep_counts(std::string_view release);
// Whether smaps of this kernel has no huge page that NUMA balancing has made inaccessible for a
// while (6.1, 474098edac26, to 6.4; d74943a2f3cd mended it): the page tables then seem to hold
// less.
bool smaps_misses_hinting_pmds(std::string_view release);
// Whether UFFDIO_WRITEPROTECT may leave a page of a file unprotected and say that it is. It splits
// a huge page by taking its PMD away, and makes a table for the markers. Who faults in between maps
// the huge page again, and before 6.5 change_pte_range() then leaves it as it is
// (pmd_trans_unstable()); since 670ddd8cdcbd it is tried again.
bool uffd_wp_misses_huge_files(std::string_view release);
// Whether a zone's span is for a moment too short while its first memory block goes offline or
// online: since 27cacaad16c5 (5.14) its begin and its length are written without the seqlock that
// page_outside_zone_boundaries() reads them under, so a kernel with CONFIG_DEBUG_VM may stop at
// VM_BUG_ON_PAGE(bad_range()) in whoever allocates meanwhile. Not known to be mended anywhere.
bool zone_start_moves_unlocked(std::string_view release);
// Whether hmm_range_fault() of hugetlb memory may wait for itself: since "mm/hugetlb: make
// walk_hugetlb_range() safe to pmd unshare" (6.3) it holds the lock of the VMA for reading, and
// faults in what has no page table (pte_hole) under it, which takes that lock once more. Who comes
// to write in between waits for the first, and the second for who writes. Not known to be mended.
bool hmm_deadlocks_in_hugetlb_holes(std::string_view release);

}  // namespace mmquake
