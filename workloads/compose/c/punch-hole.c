#include <fcntl.h>

// Takes a block's pages out of the file.
static void punch_hole(void) {
  uint64_t block = below(BLOCKS);
  if (!begin_emptying(block)) return;
  int failed = fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block_at(block) - area, HUGE);
  end_emptying(block, !failed);
}
