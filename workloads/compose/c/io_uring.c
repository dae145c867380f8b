#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

// A ring for one request at a time, by system calls alone.
static int ring, copy;
static struct io_uring_params params = {.flags = 0};
static char *queues;
static struct io_uring_sqe *entry;

static _Atomic uint32_t *queue(uint32_t offset) {
  return (void *)(queues + offset);
}

static void open_ring(void) {
  ring = (int)syscall(SYS_io_uring_setup, 1, &params);
  if (ring < 0 || !(params.features & IORING_FEAT_SINGLE_MMAP)) cannot("io_uring");
  // For one request each of the two fits a page.
  queues = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  entry = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  copy = memfd_create("copy", 0);
  if (queues == MAP_FAILED || entry == MAP_FAILED || copy < 0) cannot("io_uring");
}

// What the pinned pages hold, by way of a file. False: the kernel refused.
static int read_pinned(void *at, uint64_t *seen) {
  *entry = (struct io_uring_sqe){.opcode = IORING_OP_WRITE_FIXED, .fd = copy, .len = sizeof(*seen)};
  entry->addr = (uintptr_t)at;
  *queue(params.sq_off.array) = 0;
  *queue(params.sq_off.tail) += 1;
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1) return 0;
  struct io_uring_cqe *done = (void *)(queues + params.cq_off.cqes);
  uint32_t head = *queue(params.cq_off.head);
  int moved = done[head % params.cq_entries].res;
  *queue(params.cq_off.head) = head + 1;
  return moved == sizeof(*seen) && pread(copy, seen, sizeof(*seen), 0) == sizeof(*seen);
}

// The frames of ZONE_MOVABLE, where nothing may be pinned for long.
static struct {
  uint64_t begin, end;
} movable[8];

static void read_zones(void) {
  FILE *in = fopen("/proc/zoneinfo", "r");
  char line[200], zone[32] = "";
  uint64_t spanned = 0, begin_pfn = 0;
  if (!in) cannot("/proc/zoneinfo");
  for (int count = 0; count < 8 && fgets(line, sizeof(line), in);) {
    if (sscanf(line, "Node %*d, zone %31s", zone) == 1) spanned = 0;
    if (sscanf(line, " spanned %lu", &spanned) == 1) continue;
    if (sscanf(line, " start_pfn: %lu", &begin_pfn) != 1 || strcmp(zone, "Movable") != 0) continue;
    movable[count].begin = begin_pfn;
    movable[count++].end = begin_pfn + spanned;
  }
  fclose(in);
}

static void set_up_io_uring(void) {
  open_ring();
  read_zones();
}

static void read_frames_once(char *at, uint64_t pages, uint64_t *frames) {
  int fd = open("/proc/self/pagemap", O_RDONLY);
  off_t offset = (off_t)((uintptr_t)at / PAGE * sizeof(*frames));
  ssize_t bytes = (ssize_t)(pages * sizeof(*frames));
  if (fd < 0 || pread(fd, frames, (size_t)bytes, offset) != bytes) cannot("/proc/self/pagemap");
  close(fd);
  // What is not mapped now has none.
  for (uint64_t i = 0; i < pages; i++) frames[i] = frames[i] >> 63 ? frames[i] << 9 >> 9 : 0;
}

// Before 6.5 the kernel may at times tell the frames of pages 2 MiB behind (pagemap_pmd_range()).
static void read_frames(char *at, uint64_t pages, uint64_t *frames) {
  static uint64_t again[HUGE / PAGE];
  read_frames_once(at, pages, frames);
  read_frames_once(at, pages, again);
  for (uint64_t i = 0; i < pages; i++) frames[i] = frames[i] == again[i] ? frames[i] : 0;
}

// Is there a part of a large folio before this page of the range? A bug of its own.
static int behind_a_large_folio(uint64_t page, const uint64_t *frames) {
  int fd = open("/proc/kpageflags", O_RDONLY), behind = 0;
  uint64_t flags = 0;
  if (fd < 0) cannot("/proc/kpageflags");
  for (uint64_t i = 0; i < page && !behind; i++) {
    if (!frames[i]) continue;
    off_t offset = (off_t)(frames[i] * sizeof(flags));
    if (pread(fd, &flags, sizeof(flags), offset) != sizeof(flags)) cannot("/proc/kpageflags");
    behind = (flags >> 15 & 3) != 0;  // KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
  }
  close(fd);
  return behind;
}

// A page keeps its frame for as long as it is pinned.
static void judge_frames(uint64_t pages, uint64_t step, const uint64_t *before, const uint64_t *after) {
  for (uint64_t i = 0; i < pages; i += step) {
    if (!before[i] || !after[i]) continue;
    if (before[i] != after[i])
      found("FOUND misplacement: a pinned page was replaced in /*{backing}*/\n"
            "page %lu of the pinned range: frame %#lx, then %#lx\n",
            i, before[i], after[i]);
    for (int zone = 0; zone < 8; zone++) {
      if (after[i] >= movable[zone].begin && after[i] < movable[zone].end)
        found("FOUND misplacement: a page %sis pinned for long in ZONE_MOVABLE\n"
              "page %lu of the pinned range: frame %#lx of [%#lx, %#lx)\n",
              behind_a_large_folio(i, after) ? "behind a large folio " : "", i, after[i],
              movable[zone].begin, movable[zone].end);
    }
  }
}

static void judge_pinned(uint64_t block, uint64_t cell/*{#empties}*/, uint64_t emptied/*{/empties}*/) {
  uint64_t seen = 0;
  struct look look = begin_look(block, cell);
  if (!read_pinned(cell_at(block, cell), &seen)) return;
  end_look(&look, seen, block, cell);
/*{#empties}*/
  if (look.after != emptied) return;  // the pinned page is the old one, and rightly
/*{/empties}*/
  // Before its first write a cell may have the page of zeros.
  if (look.oldest) judge("a pin", block, cell, look, BY_DEVICE);
}

// Pins four cells, or a whole block. Meanwhile the pinned pages hold what the CPU sees, and stay.
static void io_uring(void) {
  int whole = below(5) == 0;
  uint64_t block = below(BLOCKS), first = whole ? 0 : below(CELLS - 3);
  uint64_t pages = whole ? HUGE / PAGE : 4 * APART / PAGE;
  char *at = block_at(block) + first * APART;
  uint64_t before[HUGE / PAGE], after[HUGE / PAGE];
/*{#empties}*/
  uint64_t emptied = book->emptied[block];
/*{/empties}*/
/*{#drops}*/
  uint64_t dropped = book->dropped[block];
/*{/drops}*/
  struct iovec range = {at, pages * PAGE};
  if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &range, 1)) {
    sched_yield();  // no memory, or busy
    return;
  }
  read_frames(at, pages, before);
  for (int i = 0; i < 4/*{#empties}*/ && emptied % 2 == 0/*{/empties}*/; i++) {
    judge_pinned(block, first + below(4)/*{#empties}*/, emptied/*{/empties}*/);
    sched_yield();
  }
  read_frames(at, pages, after);
/*{#drops}*/
  // Of pages that may have been dropped meanwhile the pin has the old ones.
  int all = dropped % 2 == 0 && book->dropped[block] == dropped;
/*{/drops}*/
/*{#empties}*/
  if (emptied % 2 == 0 && book->emptied[block] == emptied)
/*{/empties}*/
/*{#drops}*/
    judge_frames(pages, all ? 1 : APART / PAGE, before, after);
/*{/drops}*/
/*{^drops}*/
    judge_frames(pages, 1, before, after);
/*{/drops}*/
  if (syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0)) cannot("unpin");
  sched_yield();
}
