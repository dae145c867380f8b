#include <fcntl.h>

// All huge pages of a block.
static void split_debugfs(void) {
  char range[100];
  char *block = block_at(below(BLOCKS));
  int length = snprintf(range, sizeof(range), "%d,%p,%p,0", getpid(), block, block + HUGE);
  int fd = open("/sys/kernel/debug/split_huge_pages", O_WRONLY);
  if (fd < 0) cannot("/sys/kernel/debug/split_huge_pages");
  if (write(fd, range, (size_t)length) < 0) usleep(1);  // busy, or nothing to split: next time
  close(fd);
}
