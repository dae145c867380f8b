#include <linux/mempolicy.h>
#include <sys/syscall.h>

// A block to one node; then no node is preferred again.
static void mbind(void) {
  char *block = block_at(below(BLOCKS));
  unsigned long node = 1UL << below(NODES);
  syscall(SYS_mbind, block, HUGE, MPOL_BIND, &node, 8 * sizeof(node), MPOL_MF_MOVE_ALL | MPOL_MF_STRICT);
  syscall(SYS_mbind, block, HUGE, MPOL_DEFAULT, NULL, 0, 0);
}
