// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/reaper.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>

#include "host/machine/file_descriptor.h"
#include "host/machine/qemu_process.h"
#include "host/machine/vm_root.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr const char* kReaperWord = "vm-reaper";
// The owner may have died while libvirt was starting a VM: look again for a while.
constexpr auto kPeriod = std::chrono::milliseconds(100);
constexpr int kLooks = 30;

// The pidfd comes before the look at the arguments: should the number be used again in between,
// the signal goes to the process that has ended, which is to nobody.
bool kill_if_vm(pid_t pid, const std::string& root) {
  const FileDescriptor handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!handle || !is_qemu_of(pid, root + "/")) return false;
  return syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0) == 0;
}

void remove_root(const fs::path& root) {
  std::error_code ignored;  // what is left is swept by the next start
  fs::remove_all(root, ignored);
}

void wait_for_owner() {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = read(STDIN_FILENO, &byte, 1);
  } while (got > 0 || (got < 0 && errno == EINTR));
}

// glibc hands the program's arguments to initialisers. Running the reaper from here makes every
// program that can open the hypervisor (tests and benchmarks too) fit to be its own reaper.
__attribute__((constructor)) void become_reaper(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], kReaperWord) == 0) {
    _exit(vm_reaper_main(argv[2]));
  }
}

}  // namespace

Result<Companion> start_reaper(const fs::path& root) {
  // This name, and not the program's own, so that "pkill -f mmquake" leaves the reaper alive.
  auto reaper = Companion::start({"/proc/self/exe", kReaperWord, root.string()});
  if (!reaper) return context("start the reaper of VMs", reaper.error());
  return reaper;
}

int kill_vms_of(const fs::path& root) {
  int found = 0;
  for (const pid_t pid : find_qemus(root.string() + "/")) {
    if (kill_if_vm(pid, root.string())) ++found;
  }
  return found;
}

void sweep_stale_roots(const std::vector<fs::path>& parents) {
  for (const fs::path& root : find_roots(parents)) {
    const FileDescriptor lock = lock_root(root);
    if (!lock) continue;
    kill_vms_of(root);
    remove_root(root);
  }
}

int vm_reaper_main(const std::string& root) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    signal(number, SIG_IGN);
  }
  if (chdir("/") != 0) return 1;
  if (fs::path(root).filename().string().rfind(kRootPrefix, 0) != 0) return 2;
  wait_for_owner();
  // Held, so that the next start leaves this root to us.
  const FileDescriptor lock = lock_root(root);
  for (int look = 0; look < kLooks && fs::exists(root); ++look) {
    kill_vms_of(root);
    std::this_thread::sleep_for(kPeriod);
  }
  remove_root(root);
  return 0;
}

}  // namespace mmquake
