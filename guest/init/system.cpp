// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/init/system.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "guest/protocol/detectors.h"
#include "guest/runner/requirements.h"

namespace mmquake {
namespace {

// False: the file is not there or refuses the text. Not every kernel has every setting.
bool write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return false;
  }
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

void mount_one(const char* type, const char* where, const char* options = nullptr) {
  mkdir(where, 0755);
  if (mount(type, where, type, 0, options) != 0 && errno != EBUSY) {
    say(std::string("mount ") + type + " on " + where + ": " + std::strerror(errno));
  }
}

// Descriptors 0 to 2, so that nothing else gets these numbers.
void open_standard_files() {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0) {
    fd = open("/dev/null", O_RDWR);
  }
  for (int standard = 0; standard <= 2; ++standard) {
    if (fd >= 0 && fd != standard && fcntl(standard, F_GETFD) < 0) {
      dup2(fd, standard);
    }
  }
  if (fd > 2) {
    close(fd);
  }
}

// Returns 0 or the errno with which the kernel refused the module.
int finit_module(int fd) {
  return syscall(SYS_finit_module, fd, "", 0) == 0 || errno == EEXIST ? 0 : errno;
}

// The file is "03-kvm-amd.ko".
std::string module_in(const std::filesystem::path& path) {
  const std::string stem = path.stem();
  return stem.substr(stem.find('-') + 1);
}

// The driver of a device, or of a CPU, that this machine does not have.
bool is_about_hardware(int error) {
  return error == ENODEV || error == EOPNOTSUPP;
}

}  // namespace

void say(const std::string& text) {
  const int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    const std::string line = "<5>mmquake: " + text + "\n";
    // Nothing can be done about a console that refuses a line.
    [[maybe_unused]] const ssize_t wrote = write(fd, line.data(), line.size());
    close(fd);
  }
}

void mount_file_systems() {
  mount_one("devtmpfs", "/dev");
  open_standard_files();
  say("init");
  mount_one("proc", "/proc");
  mount_one("sysfs", "/sys");
  mount_one("debugfs", "/sys/kernel/debug");
  mount_one("tmpfs", "/tmp");
  mount_one("tmpfs", "/dev/shm");
}

void set_kernel_defaults() {
  if (access("/proc/sys/kernel", F_OK) != 0) {
    say("this kernel has no sysctls (CONFIG_PROC_SYSCTL): its detectors keep their own times");
  }
  write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
  write_file("/proc/sys/kernel/printk", "7 4 1 7\n");
  write_file("/proc/sys/kernel/unknown_nmi_panic", "1\n");
  write_file("/proc/sys/kernel/numa_balancing", "0\n");  // it would migrate by itself
}

void set_detectors(double slowdown) {
  const DetectorTimes times = detector_times(slowdown);
  const auto text = [](int seconds) { return std::to_string(seconds) + "\n"; };
  write_file("/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", text(times.rcu_stall));
  // A soft lockup takes twice this.
  write_file("/proc/sys/kernel/watchdog_thresh", text(times.soft_lockup / 2));
  write_file("/proc/sys/kernel/hung_task_timeout_secs", text(times.hung_task));
}

namespace {

constexpr double kEndLimitMs = 10000;  // scaled

// All but this one and the kernel's own.
bool end_all_processes(double slowdown) {
  const auto limit =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<std::int64_t>(kEndLimitMs * std::max(slowdown, 1.0)));
  sigset_t child_ended{};
  sigset_t before{};
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, &before);
  kill(-1, SIGKILL);
  pid_t last = 0;
  for (;;) {
    while ((last = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (last < 0 || std::chrono::steady_clock::now() > limit) {
      break;
    }
    constexpr timespec kTick{0, 100'000'000};
    sigtimedwait(&child_ended, nullptr, &kTick);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return last < 0;  // ECHILD: nobody is left
}

}  // namespace

bool settle_machine(double slowdown) {
  if (!end_all_processes(slowdown)) {
    say("a process of the trial does not end");
    return false;
  }
  set_kernel_defaults();
  write_file("/proc/sys/vm/drop_caches", "3\n");
  // The next trial wants huge pages, too.
  write_file("/proc/sys/vm/compact_memory", "1\n");
  return true;
}

Result<> load_module(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return broken("open the module " + path + ": " + std::strerror(errno));
  }
  const int error = finit_module(fd);
  close(fd);
  if (error != 0) {
    return broken("load the module " + path + ": " + std::strerror(error) +
                  "; the console has the kernel's reason");
  }
  return {};
}

std::vector<std::string> load_modules(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code none;
  for (std::filesystem::directory_iterator at(folder, none), end; !none && at != end;
       at.increment(none)) {
    paths.push_back(at->path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> refused;
  for (const std::filesystem::path& path : paths) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const int error = fd < 0 ? errno : finit_module(fd);
    if (fd >= 0) {
      close(fd);
    }
    if (error != 0) {
      const std::string what = module_in(path) + " (" + std::strerror(error) + ")";
      say("module not loaded: " + what);
      if (!is_about_hardware(error)) {
        refused.push_back(what);
      }
    }
  }
  return refused;
}

Hello describe_system(double uptime_s) {
  Hello hello;
  utsname names{};
  if (uname(&names) == 0) {
    hello.kernel = names.release;
  }
  struct sysinfo info {};
  if (sysinfo(&info) == 0) {
    hello.memory_mib = info.totalram / 1024 * info.mem_unit / 1024;
  }
  hello.cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int fd = open("/sys/devices/system/node/online", O_RDONLY | O_CLOEXEC);
  char text[256] = "0";
  if (fd >= 0) {
    const ssize_t got = read(fd, text, sizeof(text) - 1);
    text[std::max<ssize_t>(got, 0)] = '\0';
    close(fd);
  }
  hello.nodes = static_cast<int>(parse_cpu_list(text).size());
  hello.uptime_s = uptime_s;
  hello.calibration_ms = calibrate();
  return hello;
}

void power_off() {
  sync();
  reboot(RB_POWER_OFF);
  // A kernel without power-off: stop here, and let the host's deadline end the machine.
  for (;;) {
    pause();
  }
}

}  // namespace mmquake
