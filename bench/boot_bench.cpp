// SPDX-License-Identifier: GPL-2.0-or-later
//
// What mmquake adds to a boot: the time from the command to PID 1 and to power-off, through
// libvirt as mmquake does it and with QEMU alone, on the same kernel, initramfs, accelerator and
// devices, in turns. And what the orchestrator costs while a VM runs.
//
//   boot_bench [ROUNDS]            default 7
//
// Exit code 0: within the limits, 1: not, 3: broken.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "host/machine/accelerator.h"
#include "host/machine/domain_xml.h"
#include "host/machine/libvirt_hypervisor.h"
#include "host/machine/test_guest.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr double kMaxOwnSeconds = 0.5;
constexpr double kMaxCpuPercent = 2;
constexpr double kMaxRssMib = 100;
constexpr double kRestSeconds = 10;

// CLOCK_MONOTONIC, which a child process shares with us.
double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// A boot seen from outside, in seconds since the command.
struct Boot {
  double pid1 = 0;
  double off = 0;
};

double number_after(std::string_view line, std::string_view word) {
  double value = 0;
  if (line.substr(0, word.size()) != word) return 0;
  std::from_chars(line.data() + word.size(), line.data() + line.size(), value);
  return value;
}

// The child that is mmquake's part: prints when PID 1 spoke.
int boot_once(const fs::path& directory) {
  auto request = test_boot("boot", "off", directory);
  if (!request) {
    fmt::print("error {}\n", request.error().message);
    return 3;
  }
  auto hypervisor = LibvirtHypervisor::open();
  auto machine = hypervisor ? (*hypervisor)->start(*request)
                            : tl::make_unexpected(std::move(hypervisor.error()));
  if (!machine) {
    fmt::print("error {}\n", machine.error().message);
    return 3;
  }
  std::string console;
  double pid1 = 0;
  for (;;) {
    auto activity = (*machine)->wait(std::chrono::seconds(1));
    if (!activity || activity->state == MachineState::kHostFailed) return 3;
    console += activity->console;
    if (pid1 == 0 && console.find(kInitMarker) != std::string::npos) pid1 = now();
    if (activity->state == MachineState::kOff) break;
  }
  fmt::print("pid1 {:.6f}\n", pid1);
  return 0;
}

// The child whose cost is measured: waits beside an idle guest.
int rest(const fs::path& directory) {
  auto request = test_boot("rest", "idle", directory);
  if (!request) return 3;
  auto hypervisor = LibvirtHypervisor::open();
  if (!hypervisor) return 3;
  auto machine = (*hypervisor)->start(*request);
  if (!machine) return 3;
  std::string console;
  while (console.find(kInitMarker) == std::string::npos) {
    auto activity = (*machine)->wait(std::chrono::seconds(1));
    if (!activity || activity->state != MachineState::kRunning) return 3;
    console += activity->console;
  }
  const auto cpu = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  };
  const double cpu_before = cpu();
  const double start = now();
  while (now() < start + kRestSeconds) {
    if (!(*machine)->wait(std::chrono::milliseconds(200))) return 3;
  }
  const double percent = (cpu() - cpu_before) / (now() - start) * 100;
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;  // the second number is the resident set
  fmt::print("cpu {:.3f}\nrss {:.1f}\n", percent,
             pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20));
  return 0;
}

Result<Boot> through_libvirt(const fs::path& directory) {
  Boot boot;
  std::string error;
  const double start = now();
  auto done = run_command({{"/proc/self/exe", "boot-once", directory.string()}, {}, {}},
                          [&](std::string_view line) {
                            if (const double at = number_after(line, "pid1 ")) boot.pid1 = at;
                            if (line.substr(0, 6) == "error ") error = line.substr(6);
                          });
  if (!done) return tl::make_unexpected(done.error());
  boot.off = now();  // with the end of libvirt and the removal of its files
  if (boot.pid1 == 0) return broken("boot through libvirt: " + error);
  return Boot{boot.pid1 - start, boot.off - start};
}

std::vector<std::string> bare_command(const BootRequest& request) {
  std::vector<std::string> argv = {"qemu-system-x86_64",
                                   "-M",
                                   "q35",
                                   "-accel",
                                   "tcg",
                                   "-cpu",
                                   "max",
                                   "-nodefaults",
                                   "-no-user-config",
                                   "-display",
                                   "none",
                                   "-no-reboot",
                                   "-serial",
                                   "stdio",
                                   "-smp",
                                   "2,sockets=2,cores=1",
                                   "-m",
                                   "256",
                                   "-device",
                                   "pvpanic-pci"};
  const auto add = [&](std::initializer_list<std::string> words) {
    argv.insert(argv.end(), words);
  };
  for (int node = 0; node < 2; ++node) {
    add({"-object", fmt::format("memory-backend-ram,id=m{},size=128M", node)});
    add({"-numa", fmt::format("node,cpus={0},memdev=m{0}", node)});
  }
  add({"-numa", "dist,src=0,dst=1,val=20"});
  for (const char* channel : {"s1", "vs"}) {
    add({"-chardev", fmt::format("socket,id={0},path={1}/{0},server=on,wait=off", channel,
                                 request.directory.string())});
  }
  add({"-serial", "chardev:s1", "-device", "virtio-serial-pci", "-device",
       fmt::format("virtserialport,chardev=vs,name={}", kRecordPort)});
  add({"-kernel", request.bzimage.string(), "-initrd", request.initramfs.string(), "-append",
       kernel_command_line(request)});
  return argv;
}

Result<Boot> with_qemu_alone(const fs::path& directory) {
  Boot boot;
  const double start = now();
  auto request = test_boot("bare", "off", directory);
  if (!request) return tl::make_unexpected(request.error());
  auto done = run_command({bare_command(*request), {}, {}}, [&](std::string_view line) {
    if (line.find(kInitMarker) != std::string_view::npos) boot.pid1 = now();
  });
  if (!done) return tl::make_unexpected(done.error());
  boot.off = now();
  if (boot.pid1 == 0) return broken("QEMU alone did not reach PID 1: " + done->output_tail);
  return Boot{boot.pid1 - start, boot.off - start};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double median_difference(const std::vector<double>& left, const std::vector<double>& right) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < left.size(); ++i) differences.push_back(left[i] - right[i]);
  return median(differences);
}

void print_row(const char* what, const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  fmt::print("  {:<28} median {:6.3f} s   {:.3f} to {:.3f} s\n", what, median(values), *low, *high);
}

// Prints what the orchestrator costs; false: more than it may.
Result<bool> measure_rest(const fs::path& directory) {
  double cpu = -1;
  double rss = -1;
  auto done = run_command({{"/proc/self/exe", "rest", directory.string()}, {}, {}},
                          [&](std::string_view line) {
                            if (line.substr(0, 4) == "cpu ") cpu = number_after(line, "cpu ");
                            if (line.substr(0, 4) == "rss ") rss = number_after(line, "rss ");
                          });
  if (!done) return tl::make_unexpected(done.error());
  if (cpu < 0 || rss < 0) return broken("the measurement of a running VM failed");
  fmt::print(
      "while a VM runs ({:.0f} s): {:.2f} % CPU (limit {}), {:.0f} MiB resident (limit {})\n",
      kRestSeconds, cpu, kMaxCpuPercent, rss, kMaxRssMib);
  return cpu < kMaxCpuPercent && rss < kMaxRssMib;
}

Result<bool> run(int rounds, const fs::path& directory) {
  std::vector<double> values[4];
  for (int round = 1; round <= rounds; ++round) {
    auto libvirt = through_libvirt(directory);
    if (!libvirt) return tl::make_unexpected(libvirt.error());
    auto bare = with_qemu_alone(directory);
    if (!bare) return tl::make_unexpected(bare.error());
    fmt::print("round {}/{}: mmquake {:.3f} s, QEMU alone {:.3f} s to power-off\n", round, rounds,
               libvirt->off, bare->off);
    std::fflush(stdout);
    const double all[] = {libvirt->pid1, bare->pid1, libvirt->off, bare->off};
    for (int i = 0; i < 4; ++i) values[i].push_back(all[i]);
  }
  fmt::print("from the command, {} rounds in turns, TCG, 2 nodes, 2 vCPUs:\n", rounds);
  const char* names[] = {"PID 1, mmquake", "PID 1, QEMU alone", "power-off, mmquake",
                         "power-off, QEMU alone"};
  for (int i = 0; i < 4; ++i) print_row(names[i], values[i]);
  // By rounds: the two boots of one round met the same load of the host.
  const double own =
      std::max(median_difference(values[0], values[1]), median_difference(values[2], values[3]));
  fmt::print("mmquake's own part: {:.3f} s (limit {})\n", own, kMaxOwnSeconds);
  auto rested = measure_rest(directory);
  if (!rested) return rested;
  return *rested && own <= kMaxOwnSeconds;
}

int bench_main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "boot-once") == 0) return boot_once(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "rest") == 0) return rest(argv[2]);
  int rounds = 7;
  if (argc > 1) {
    const char* end = argv[1] + std::strlen(argv[1]);
    if (std::from_chars(argv[1], end, rounds).ptr != end || rounds < 1 || rounds > 1000) {
      fmt::print(stderr, "boot_bench: '{}' is no number of rounds from 1 to 1000\n", argv[1]);
      return 2;
    }
  }
  std::string directory = (fs::temp_directory_path() / "boot-bench-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    fmt::print(stderr, "boot_bench: cannot make '{}'\n", directory);
    return 3;
  }
  auto within = run(rounds, directory);
  std::error_code ignored;  // a temporary directory
  fs::remove_all(directory, ignored);
  if (!within) {
    fmt::print(stderr, "boot_bench: {}\n", within.error().message);
    return 3;
  }
  return *within ? 0 : 1;
}

}  // namespace
}  // namespace mmquake

int main(int argc, char** argv) {
  return mmquake::bench_main(argc, argv);
}
