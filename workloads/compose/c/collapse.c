#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void collapse(void) {
  madvise(block_at(below(BLOCKS)), HUGE, MADV_COLLAPSE);
}
