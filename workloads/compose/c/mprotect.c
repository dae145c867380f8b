#include <sys/mman.h>

static void protect(void) {
  char *block = block_at(below(BLOCKS));
  if (mprotect(block, HUGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
    mprotect(block, HUGE, PROT_READ | PROT_WRITE);
}
