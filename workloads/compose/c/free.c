#include <sys/mman.h>

// Gives a block up: until a page is written again, the kernel may take it.
static void free_block(void) {
  uint64_t block = below(BLOCKS);
  if (!begin_emptying(block)) return;
  madvise(block_at(block), HUGE, MADV_FREE);
  end_emptying(block, 0);
}
