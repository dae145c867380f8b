#include <fcntl.h>

// A block's entries, of the other process.
static void read_pagemap(void) {
  char path[32];
  uint64_t entries[HUGE / PAGE];
  snprintf(path, sizeof(path), "/proc/%d/pagemap", parent);
  int fd = open(path, O_RDONLY);
  uintptr_t at = (uintptr_t)block_at(below(BLOCKS)) / PAGE * sizeof(uint64_t);
  if (fd < 0 || pread(fd, entries, sizeof(entries), (off_t)at) < 0) cannot(path);
  close(fd);
}
