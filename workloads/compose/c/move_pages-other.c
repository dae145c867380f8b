#include <linux/mempolicy.h>
#include <sys/syscall.h>

// One block's pages to one node, some of them to any.
static void move_pages_other(void) {
  uint64_t block = below(BLOCKS);
  int node = (int)below(NODES);
  void *pages[CELLS];
  int nodes[CELLS], status[CELLS];
  for (int cell = 0; cell < CELLS; cell++) {
    pages[cell] = block_at(block) + cell * APART;
    nodes[cell] = below(10) ? node : (int)below(NODES);
  }
  syscall(SYS_move_pages, parent, CELLS, pages, nodes, status, MPOL_MF_MOVE_ALL);
}
