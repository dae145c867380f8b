#include <sys/mman.h>

static void lock_and_unlock(void) {
  char *block = block_at(below(BLOCKS));
  mlock(block, HUGE);
  munlock(block, HUGE);
}
