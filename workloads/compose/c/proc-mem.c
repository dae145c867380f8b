#include <fcntl.h>

// Cells of one block, out of the other process's /proc/PID/mem, as ptrace(2) reads them.
static void read_mem(void) {
  char path[32];
  snprintf(path, sizeof(path), "/proc/%d/mem", parent);
  int fd = open(path, O_RDONLY);
  if (fd < 0) cannot(path);
  uint64_t block = below(BLOCKS);
  for (int i = 0; i < 16; i++) {
    uint64_t cell = below(CELLS), seen;
    struct look look = begin_look(block, cell);
    if (pread(fd, &seen, sizeof(seen), (off_t)(uintptr_t)cell_at(block, cell)) != sizeof(seen)) break;
    end_look(&look, seen, block, cell);
    judge("/proc/PID/mem", block, cell, look, 1);
  }
  close(fd);
}
