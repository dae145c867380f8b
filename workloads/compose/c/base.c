#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define BLOCKS 4
#define CELLS 64  // of a block: one on every eighth page; the pages between are nobody's
#define APART (HUGE / CELLS)
#define NODES /*{nodes}*/  // 0 and up, all with memory
#define WRITERS /*{writers}*/
/*{#empties}*/
#define PARTLY (1ULL << 32)

/*{/empties}*/
// What is known of a cell.
struct cell {
  _Atomic uint64_t intended;   // raised before a write
  _Atomic uint64_t published;  // and behind it
/*{#empties}*/
  _Atomic uint64_t before, after;  // emptied[] around the last write
/*{/empties}*/
};

// Of all processes, and not of the memory under test.
static struct book {
  struct cell cells[BLOCKS][CELLS];
/*{#empties}*/
  _Atomic uint64_t emptied[BLOCKS];  // raised before and behind; odd: somebody is at it
/*{/empties}*/
/*{#drops}*/
  _Atomic uint64_t dropped[BLOCKS];  // the same for the pages between the cells
/*{/drops}*/
  atomic_int said;
} *book;

static char *area;
/*{#parent}*/
static pid_t parent;
/*{/parent}*/
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
  return area + block * /*{apart}*/;
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
/*{#empties}*/
  uint64_t wrote_before, wrote_after, before, after;  // emptied[]
/*{/empties}*/
};

static struct look begin_look(uint64_t block, uint64_t cell) {
  struct cell *c = &book->cells[block][cell];
  struct look look = {.oldest = c->published};
/*{#empties}*/
  look.wrote_before = c->before;
  look.wrote_after = c->after;
  look.before = book->emptied[block];
/*{/empties}*/
  return look;
}

static void end_look(struct look *look, uint64_t seen, uint64_t block, uint64_t cell) {
  look->seen = seen;
/*{#empties}*/
  look->after = book->emptied[block];
/*{/empties}*/
  look->newest = book->cells[block][cell].intended;
}

/*{#empties}*/
// A cell holds what was written last, if nobody has emptied the block since; zero, if that was done
// wholly between the write and the look; and where they overlapped, either.
/*{/empties}*/
/*{^empties}*/
// A cell holds what was written last, and zero before that.
/*{/empties}*/
/*{#copies}*/
// Who gets a cell by a copy may see it half written, so only a cell at rest is judged.
#define BY_DEVICE 2
/*{/copies}*/
static void judge(const char *who, uint64_t block, uint64_t cell, struct look look/*{#copies}*/, int copied/*{/copies}*/) {
  uint64_t first = value(block, cell, look.oldest ? look.oldest : 1);
  int written = look.seen >= first && look.seen <= value(block, cell, look.newest);
/*{#empties}*/
  int at_rest = look.oldest == look.newest && look.wrote_before == look.wrote_after &&
                look.wrote_before % 2 == 0 && look.before == look.after && look.before % 2 == 0;
  int since = (uint32_t)look.before != (uint32_t)look.wrote_before;
  int partly = !since && look.before != look.wrote_before;
  int may_be_zero = look.oldest == 0 || !at_rest || since || partly;
  int may_be_written = !at_rest || !since;
/*{#copies}*/
  if (copied && !at_rest) return;
/*{/copies}*/
  if ((written && may_be_written) || (look.seen == 0 && may_be_zero)) return;
/*{/empties}*/
/*{^empties}*/
/*{#copies}*/
  if (copied && look.oldest != look.newest) return;
/*{/copies}*/
  if (written || (look.oldest == 0 && look.seen == 0)) return;
/*{/empties}*/
  const char *damage = look.seen == 0 ? "zero" : look.seen >> 40 == first >> 40 ? "stale" : "foreign";
  const char *way = "";
/*{#copies}*/
  if (copied == BY_DEVICE) way = " through a device";
/*{/copies}*/
  found("FOUND corruption: %s data in /*{backing}*/%s\n%s sees %#lx in cell %lu of block %lu; from %#lx to "
        "%#lx was expected\n",
        damage, way, who, look.seen, cell, block, first, value(block, cell, look.newest));
}

// A writer reads any cell, and writes those that are its own.
static void touch(uint64_t writer, uint64_t block, uint64_t cell) {
  struct cell *c = &book->cells[block][cell];
/*{#empties}*/
  // Seldom where the page is gone: the page of zeros would come, and no huge one after it.
  int gone = (uint32_t)c->after != (uint32_t)book->emptied[block];
  if (c->intended && below(10) < (gone ? 1 : 7)) {
/*{/empties}*/
/*{^empties}*/
  if (c->intended && below(10) < 7) {
/*{/empties}*/
    struct look look = begin_look(block, cell);
    end_look(&look, *cell_at(block, cell), block, cell);
    judge("a writer", block, cell, look/*{#copies}*/, 0/*{/copies}*/);
  }
  if (cell % WRITERS != writer) return;
  uint64_t next = c->intended + 1;
  c->intended = next;
/*{#empties}*/
  c->before = book->emptied[block];
/*{/empties}*/
  atomic_store_explicit(cell_at(block, cell), value(block, cell, next), memory_order_release);
/*{#empties}*/
  c->after = book->emptied[block];
/*{/empties}*/
  c->published = next;
}

/*{#empties}*/
// Nobody else is at it. What was begun has to end.
static int begin_emptying(uint64_t block) {
  uint64_t now = book->emptied[block];
  return now % 2 == 0 && atomic_compare_exchange_strong(&book->emptied[block], &now, now + 1);
}

// All of the block went, or perhaps some of it.
static void end_emptying(uint64_t block, int whole) {
  book->emptied[block] += whole ? 1 : PARTLY - 1;
}
/*{/empties}*/
