#include <sys/syscall.h>

// All that the other process has on one node, to another.
static void migrate_pages(void) {
  uint64_t from = below(NODES);
  unsigned long old = 1UL << from;
  unsigned long new = 1UL << (from + 1 + below(NODES - 1)) % NODES;
  syscall(SYS_migrate_pages, parent, 8 * sizeof(old), &old, &new);
}
