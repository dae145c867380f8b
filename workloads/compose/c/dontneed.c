#include <sys/mman.h>

/*{#anon}*/
// Takes the pages of a block away, with what was in them.
static void dontneed(void) {
  uint64_t block = below(BLOCKS);
  if (begin_emptying(block)) end_emptying(block, madvise(block_at(block), HUGE, MADV_DONTNEED) == 0);
}
/*{/anon}*/
/*{#shared}*/
// Unmaps a block; the pages stay in the file.
static void dontneed(void) {
  madvise(block_at(below(BLOCKS)), HUGE, MADV_DONTNEED);
}
/*{/shared}*/
