#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
/*{#two_processes}*/
#include <signal.h>
#include <sys/wait.h>

/*{/two_processes}*/
static void *write_cells(void *number) {
  uint64_t writer = (uintptr_t)number;
  char name[] = "writer-0";
  name[7] += (char)writer;
  begin(name);
  for (;;) {
    uint64_t block = below(BLOCKS);
    for (int i = 0; i < 24; i++) touch(writer, block, below(CELLS));
/*{#pte}*/
    // Leaves everything as it was, but for the PMD, which is split.
    if (mprotect(block_at(block) + PAGE, PAGE, PROT_READ) == 0)
      mprotect(block_at(block) + PAGE, PAGE, PROT_READ | PROT_WRITE);
/*{/pte}*/
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

/*{#watcher}*/
static void *watch(void *unused) {
  begin("watcher");
  for (;;) /*{watcher}*/();
  return unused;
}

/*{/watcher}*/
static void start(void *(*body)(void *), const void *what) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, (void *)what)) cannot("pthread_create");
}

int main(void) {
/*{#parent_roles}*/
  static const struct role /*{role}*/ = {"/*{role}*/", /*{act}*/};
/*{/parent_roles}*/
/*{#child_roles}*/
  static const struct role /*{role}*/ = {"/*{role}*/", /*{act}*/};
/*{/child_roles}*/
  book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (book == MAP_FAILED) cannot("mmap");
  map_area();
/*{#set_up}*/
  /*{call}*/();
/*{/set_up}*/
/*{#parent}*/
  parent = getpid();
/*{/parent}*/
/*{#two_processes}*/
  pid_t child = fork();
  if (child < 0) cannot("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
/*{#shared}*/
    start(write_cells, (void *)2);
/*{/shared}*/
/*{#child_roles}*/
    start(act, &/*{role}*/);
/*{/child_roles}*/
    for (;;) pause();
  }
/*{/two_processes}*/
  start(write_cells, (void *)0);
  start(write_cells, (void *)1);
/*{#parent_roles}*/
  start(act, &/*{role}*/);
/*{/parent_roles}*/
/*{#watcher}*/
  start(watch, NULL);
/*{/watcher}*/
/*{#two_processes}*/
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
  return WEXITSTATUS(status);
/*{/two_processes}*/
/*{^two_processes}*/
  for (;;) pause();
/*{/two_processes}*/
}
