#include <fcntl.h>

static void compaction(void) {
  int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
  if (fd < 0 || write(fd, "1", 1) != 1) cannot("/proc/sys/vm/compact_memory");
  close(fd);
}
