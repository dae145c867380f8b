// SPDX-License-Identifier: GPL-2.0-or-later
//
// userfaultfd waits on a THP migration entry (linux-mm, November 2017; fixed by a365ac09d334). A plain
// program, as it might come in a mail; nothing of mmquake's is linked. It runs for ever, and on a kernel
// with the bug the faulter sleeps in handle_userfault() though its page is there:
//
//   mmquake repro --c docs/reproducers/uffd_thp_migration.c --kernel specimen
//     --bugs uffd-wait-on-migration-entry --widen handle_userfault:0-30000:p=0.7:comm=faulter
//     --widen 'folio_mc_copy|folio_copy:0-5000:comm=migrator'
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE (2UL << 20)
#define MPOL_MF_MOVE_ALL 4

static char *watched;  // registered with userfaultfd
static char *other;    // the same memory, mapped once more
static pthread_barrier_t begin, end;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static char *map_aligned(int fd) {
  char *at = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fail("mmap");
  at = (char *)(((uintptr_t)at + HUGE - 1) & ~(HUGE - 1));
  if (mmap(at, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != at) fail("mmap");
  return at;
}

static void *fault(void *unused) {
  prctl(PR_SET_NAME, "faulter");
  for (;;) {
    pthread_barrier_wait(&begin);
    *(volatile char *)watched;
    pthread_barrier_wait(&end);
  }
  return unused;
}

static void *migrate(void *unused) {
  prctl(PR_SET_NAME, "migrator");
  for (int node = 0;; node ^= 1) {
    void *page = other;
    int status = 0;
    syscall(SYS_move_pages, 0, 1, &page, &node, &status, MPOL_MF_MOVE_ALL);
  }
  return unused;
}

static int watch(void) {
  int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (uffd < 0) fail("userfaultfd");
  struct uffdio_api api = {.api = UFFD_API};
  if (ioctl(uffd, UFFDIO_API, &api)) fail("UFFDIO_API");
  struct uffdio_register range = {.range = {(uintptr_t)watched, HUGE},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (ioctl(uffd, UFFDIO_REGISTER, &range)) fail("UFFDIO_REGISTER");
  return uffd;
}

static void allow_huge_pages(void) {
  int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_WRONLY);
  if (fd < 0 || write(fd, "always", 6) != 6) fail("shmem_enabled");
  close(fd);
}

int main(void) {
  allow_huge_pages();
  int fd = memfd_create("watched", 0);
  if (fd < 0 || ftruncate(fd, HUGE)) fail("memfd");
  watched = map_aligned(fd);
  other = map_aligned(fd);
  int uffd = watch();
  pthread_barrier_init(&begin, NULL, 2);
  pthread_barrier_init(&end, NULL, 2);
  pthread_t thread;
  if (pthread_create(&thread, NULL, fault, NULL)) fail("pthread_create");
  if (pthread_create(&thread, NULL, migrate, NULL)) fail("pthread_create");
  for (;;) {
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE)) fail("fallocate");
    pthread_barrier_wait(&begin);
    memset(other, 1, HUGE);         // the page is in the page cache now,
    *(volatile char *)watched;      // and mapped where the faulter faults,
    struct uffdio_range range = {(uintptr_t)watched, HUGE};
    if (ioctl(uffd, UFFDIO_WAKE, &range)) fail("UFFDIO_WAKE");  // and who waits is told.
    pthread_barrier_wait(&end);
  }
}
