#include <sys/mman.h>

// One page between the cells, which splits the PMD.
static void protect_page(void) {
  char *page = block_at(below(BLOCKS)) + below(CELLS) * APART + (1 + below(APART / PAGE - 1)) * PAGE;
  if (mprotect(page, PAGE, PROT_READ) == 0) mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}
