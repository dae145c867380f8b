#include <sys/mman.h>
/*{#hugetlb}*/
#include <linux/memfd.h>

/*{/hugetlb}*/
// Address space that nobody else has, aligned so that huge pages fit.
static char *reserve(size_t size, size_t align) {
  char *at = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) cannot("mmap");
  return (char *)(((uintptr_t)at + align - 1) & ~(align - 1));
}

/*{#settings}*/
static void set(const char *file, const char *text) {
  FILE *out = fopen(file, "w");
  if (!out || fputs(text, out) < 0 || fclose(out)) cannot(file);
}

/*{/settings}*/
/*{#shared}*/
static int file;

/*{/shared}*/
static void map_area(void) {
/*{#anon}*/
  area = reserve(BLOCKS * HUGE, HUGE);
  if (mmap(area, BLOCKS * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
           0) != area)
    cannot("mmap");
/*{/anon}*/
/*{#shmem}*/
/*{#thp}*/
  set("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always");
/*{/thp}*/
  file = memfd_create("area", 0);
  if (file < 0 || ftruncate(file, BLOCKS * HUGE)) cannot("memfd_create");
  area = reserve(BLOCKS * HUGE, HUGE);
  if (mmap(area, BLOCKS * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != area)
    cannot("mmap");
/*{/shmem}*/
/*{#hugetlb}*/
  // A page that moves needs a free one on the other node.
  for (int node = 0; node < NODES; node++) {
    char path[100];
    snprintf(path, sizeof(path),
             "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages", node);
    set(path, "12");
  }
  file = memfd_create("area", MFD_HUGETLB | MFD_HUGE_2MB);
/*{#shared_pmd}*/
  // Both processes map the same GiB of the file at the same address, so one page of PMDs serves
  // both. It has to be there before the fork: two that make theirs at once never share.
  if (file < 0 || ftruncate(file, 2UL << 30)) cannot("memfd_create");
  area = reserve(2UL << 30, 1UL << 30);
  if (mmap(area, 2UL << 30, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, 0) !=
      area)
    cannot("mmap");
  (void)*(volatile char *)area;
/*{/shared_pmd}*/
/*{^shared_pmd}*/
  if (file < 0 || ftruncate(file, BLOCKS * HUGE)) cannot("memfd_create");
  area = reserve(BLOCKS * HUGE, HUGE);
  if (mmap(area, BLOCKS * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != area)
    cannot("mmap");
/*{/shared_pmd}*/
/*{/hugetlb}*/
/*{#thp}*/
  if (madvise(area, BLOCKS * HUGE, MADV_HUGEPAGE)) cannot("MADV_HUGEPAGE");
/*{/thp}*/
/*{#small}*/
  madvise(area, BLOCKS * HUGE, MADV_NOHUGEPAGE);  // a kernel without huge pages need not know it
/*{/small}*/
}
