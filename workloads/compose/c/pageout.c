#include <sys/mman.h>

static void pageout(void) {
  madvise(block_at(below(BLOCKS)), HUGE, MADV_PAGEOUT);
}
