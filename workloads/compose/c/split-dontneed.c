#include <sys/mman.h>

// A page between the cells goes, so the huge page's PMD has to be split; half of them come back, as
// a small page between those of the huge one.
static void split_dontneed(void) {
  uint64_t block = below(BLOCKS);
  char *page = block_at(block) + below(CELLS) * APART + (1 + below(APART / PAGE - 1)) * PAGE;
/*{#drops}*/
  book->dropped[block]++;
/*{/drops}*/
  madvise(page, PAGE, MADV_DONTNEED);
  if (below(2)) *(volatile char *)page = 1;
/*{#drops}*/
  book->dropped[block]++;
/*{/drops}*/
}
