// SPDX-License-Identifier: GPL-2.0-or-later
//
// For vm tests: programs that mmquake knows nothing of, as text.
#pragma once

#include <string>

namespace mmquake {

// Before the code of each.
inline const std::string kSampleHead =
    "#include <fcntl.h>\n#include <linux/userfaultfd.h>\n#include <pthread.h>\n"
    "#include <stdio.h>\n#include <stdlib.h>\n#include <sys/ioctl.h>\n#include <sys/mman.h>\n"
    "#include <sys/syscall.h>\n#include <unistd.h>\n";

// A page fault that nobody serves.
inline constexpr const char* kUnserved = R"(
static char *page;
static void *fault(void *unused) { *(volatile char *)page; return unused; }
int main(void) {
  int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register range = {.range = {(unsigned long)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range)) return 1;
  pthread_t thread;
  pthread_create(&thread, 0, fault, 0);
  pthread_join(thread, 0);
}
)";

}  // namespace mmquake
