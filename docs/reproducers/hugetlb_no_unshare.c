// SPDX-License-Identifier: GPL-2.0-or-later
//
// stale data in hugetlb-shared-pmd
// on Linux 6.1.192, in a VM with 2 nodes of 1 and 1 CPUs.
//
// What races:
//   memory:     hugetlb pages whose page tables two processes share
//   mover:      move_pages(2) on the process itself
//   writers:    count up cells of their own, and look at all
//
// Run it as root on a machine with 2 nodes. It goes on until it sees that something is
// wrong, says what, and ends with 1. MMQUAKE_SEED decides its random numbers.
//
//   cc -O2 -static -pthread -o race race.c && ./race
//
// Made by mmquake, which had found the bug with these parts:
//
//   mmquake run compose --kernel specimen --machine machine-2.toml --seconds 7 --seed 1
//     --param backing=hugetlb-shared-pmd --param mover=move_pages --bugs hugetlb-no-unshare
#define _GNU_SOURCE
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define BLOCKS 4
#define CELLS 64  // of a block: one on every eighth page; the pages between are nobody's
#define APART (HUGE / CELLS)
#define NODES 2  // 0 and up, all with memory
#define WRITERS 3
// What is known of a cell.
struct cell {
  _Atomic uint64_t intended;   // raised before a write
  _Atomic uint64_t published;  // and behind it
};

// Of all processes, and not of the memory under test.
static struct book {
  struct cell cells[BLOCKS][CELLS];
  atomic_int said;
} *book;

static char *area;
static _Thread_local uint64_t state;

// What this machine or kernel lacks: 4, as kselftest has it.
static void cannot(const char *what) {
  perror(what);
  exit(4);
}

// Something is wrong. The first who says so ends everything.
static void found(const char *format, ...) {
  if (atomic_exchange(&book->said, 1)) {
    for (;;) pause();
  }
  va_list more;
  va_start(more, format);
  vprintf(format, more);
  va_end(more);
  fflush(stdout);
  _exit(1);
}

static uint64_t below(uint64_t end) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % end;
}

// Names the thread, and gives it random numbers of its own, which MMQUAKE_SEED decides.
static void begin(const char *name) {
  const char *seed = getenv("MMQUAKE_SEED");
  state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
  for (const char *c = name; *c; c++) state = (state ^ (uint64_t)*c) * 0x100000001b3;
  state |= 1;
  prctl(PR_SET_NAME, name);
}

static char *block_at(uint64_t block) {
  return area + block * (2 * HUGE);
}

// At both ends of their pages by turns.
static _Atomic uint64_t *cell_at(uint64_t block, uint64_t cell) {
  return (void *)(block_at(block) + cell * APART + (cell % 2 ? PAGE - sizeof(uint64_t) : 0));
}

static uint64_t value(uint64_t block, uint64_t cell, uint64_t generation) {
  return (block * CELLS + cell + 1) << 40 | generation;
}

// A look at a cell, and what was known around it.
struct look {
  uint64_t seen;
  uint64_t oldest, newest;  // published before, intended behind
};

static struct look begin_look(uint64_t block, uint64_t cell) {
  struct cell *c = &book->cells[block][cell];
  struct look look = {.oldest = c->published};
  return look;
}

static void end_look(struct look *look, uint64_t seen, uint64_t block, uint64_t cell) {
  look->seen = seen;
  look->newest = book->cells[block][cell].intended;
}

// A cell holds what was written last, and zero before that.
static void judge(const char *who, uint64_t block, uint64_t cell, struct look look) {
  uint64_t first = value(block, cell, look.oldest ? look.oldest : 1);
  int written = look.seen >= first && look.seen <= value(block, cell, look.newest);
  if (written || (look.oldest == 0 && look.seen == 0)) return;
  const char *damage = look.seen == 0 ? "zero" : look.seen >> 40 == first >> 40 ? "stale" : "foreign";
  found("FOUND corruption: %s data in hugetlb-shared-pmd\n%s sees %#lx in cell %lu of block %lu; from %#lx to "
        "%#lx was expected\n",
        damage, who, look.seen, cell, block, first, value(block, cell, look.newest));
}

// A writer reads any cell, and writes those that are its own.
static void touch(uint64_t writer, uint64_t block, uint64_t cell) {
  struct cell *c = &book->cells[block][cell];
  if (c->intended && below(10) < 7) {
    struct look look = begin_look(block, cell);
    end_look(&look, *cell_at(block, cell), block, cell);
    judge("a writer", block, cell, look);
  }
  if (cell % WRITERS != writer) return;
  uint64_t next = c->intended + 1;
  c->intended = next;
  atomic_store_explicit(cell_at(block, cell), value(block, cell, next), memory_order_release);
  c->published = next;
}

// Address space that nobody else has, aligned so that huge pages fit.
static char *reserve(size_t size, size_t align) {
  char *at = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) cannot("mmap");
  return (char *)(((uintptr_t)at + align - 1) & ~(align - 1));
}

static void set(const char *file, const char *text) {
  FILE *out = fopen(file, "w");
  if (!out || fputs(text, out) < 0 || fclose(out)) cannot(file);
}

static int file;

static void map_area(void) {
  // A page that moves needs a free one on the other node.
  for (int node = 0; node < NODES; node++) {
    char path[100];
    snprintf(path, sizeof(path),
             "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages", node);
    set(path, "12");
  }
  file = memfd_create("area", MFD_HUGETLB | MFD_HUGE_2MB);
  // Both processes map the same GiB of the file at the same address, so one page of PMDs serves
  // both. It has to be there before the fork: two that make theirs at once never share.
  if (file < 0 || ftruncate(file, 2UL << 30)) cannot("memfd_create");
  area = reserve(2UL << 30, 1UL << 30);
  if (mmap(area, 2UL << 30, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, 0) !=
      area)
    cannot("mmap");
  (void)*(volatile char *)area;
}

// One block's pages to one node, some of them to any.
static void move_pages(void) {
  uint64_t block = below(BLOCKS);
  int node = (int)below(NODES);
  void *pages[CELLS];
  int nodes[CELLS], status[CELLS];
  for (int cell = 0; cell < CELLS; cell++) {
    pages[cell] = block_at(block) + cell * APART;
    nodes[cell] = below(10) ? node : (int)below(NODES);
  }
  syscall(SYS_move_pages, 0, CELLS, pages, nodes, status, MPOL_MF_MOVE_ALL);
}

static void *write_cells(void *number) {
  uint64_t writer = (uintptr_t)number;
  char name[] = "writer-0";
  name[7] += (char)writer;
  begin(name);
  for (;;) {
    uint64_t block = below(BLOCKS);
    for (int i = 0; i < 24; i++) touch(writer, block, below(CELLS));
    usleep(100 + below(900));
  }
  return NULL;
}

struct role {
  const char *name;
  void (*act)(void);
};

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// How long it waits between two acts changes every 120 ms, since who acts all the time leaves the
// others nothing to act on.
static void *act(void *which) {
  static const uint64_t longest_us[] = {200, 2000, 10000, 30000};
  const struct role *role = which;
  begin(role->name);
  for (;;) {
    uint64_t longest = longest_us[below(4)];
    for (uint64_t end = now_ms() + 120; now_ms() < end;) {
      usleep(below(longest));
      role->act();
    }
  }
  return NULL;
}

static void start(void *(*body)(void *), const void *what) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, (void *)what)) cannot("pthread_create");
}

int main(void) {
  static const struct role mover = {"mover", move_pages};
  book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (book == MAP_FAILED) cannot("mmap");
  map_area();
  pid_t child = fork();
  if (child < 0) cannot("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    start(write_cells, (void *)2);
    for (;;) pause();
  }
  start(write_cells, (void *)0);
  start(write_cells, (void *)1);
  start(act, &mover);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
  return WEXITSTATUS(status);
}
