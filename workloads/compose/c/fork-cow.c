#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define LOOKS 24

/*{#anon}*/
// The child has the memory as it was: what it reads may not change, whatever the parent writes, and
// what it writes the parent never sees.
/*{/anon}*/
/*{#shared}*/
// The child sees what all see.
/*{/shared}*/
static void be_child(uint64_t block, uint64_t first, struct look *looks) {
  for (uint64_t i = 0; i < LOOKS; i++) {
    uint64_t cell = (first + i) % CELLS;
    end_look(&looks[i], *cell_at(block, cell), block, cell);
/*{#anon}*/
/*{#empties}*/
    if (looks[i].before != looks[i].after) continue;  // the child may have kept the pages
/*{/empties}*/
/*{/anon}*/
    judge("a child", block, cell, looks[i]/*{#copies}*/, 0/*{/copies}*/);
  }
/*{#anon}*/
  for (int glance = 0; glance < 8; glance++) {
    sched_yield();
    for (uint64_t i = 0; i < LOOKS; i++) {
      uint64_t seen = *cell_at(block, (first + i) % CELLS);
      if (seen == looks[i].seen) continue;
      found("FOUND corruption: a forked child's memory changed in /*{backing}*/\n%#lx, then %#lx in cell %lu "
            "of block %lu\n",
            looks[i].seen, seen, (first + i) % CELLS, block);
    }
  }
  for (uint64_t i = 0; i < LOOKS; i++) *cell_at(block, (first + i) % CELLS) = UINT64_MAX;
/*{/anon}*/
}

static void fork_cow(void) {
  uint64_t block = below(BLOCKS), first = below(CELLS);
  struct look looks[LOOKS];
  for (uint64_t i = 0; i < LOOKS; i++) looks[i] = begin_look(block, (first + i) % CELLS);
  pid_t pid = fork();
  if (pid == 0) {
    be_child(block, first, looks);
    _exit(0);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return;
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
  if (WEXITSTATUS(status)) _exit(WEXITSTATUS(status));
}
