#include <sys/mman.h>

static void cold(void) {
  madvise(block_at(below(BLOCKS)), HUGE, MADV_COLD);
}
