// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/accelerator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "guest/protocol/records.h"
#include "host/machine/file_descriptor.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string boot_id(const AcceleratorProbe& probe) {
  std::ifstream file(probe.boot_id_file);
  std::string id;
  std::getline(file, id);
  return id;
}

// {"boot_id": ..., "hypervisor": ..., "kernels": {KEY: {"usable": bool, "how": text}}}. Anything
// else, and what is from another boot or hypervisor, is as good as no file.
json read_cache(const AcceleratorProbe& probe, const std::string& version) {
  json fresh = {{"boot_id", boot_id(probe)}, {"hypervisor", version}, {"kernels", json::object()}};
  std::ifstream file(probe.cache_file);
  std::ostringstream text;
  text << file.rdbuf();  // catches what a file that cannot be read throws
  json cache = json::parse(text.str(), nullptr, false);
  const bool valid = cache.is_object() && cache.contains("kernels") &&
                     cache["kernels"].is_object() &&
                     cache.value("boot_id", json()) == fresh["boot_id"] &&
                     cache.value("hypervisor", json()) == fresh["hypervisor"];
  // Without an identity of the boot nothing can be trusted to be of this one.
  return valid && !boot_id(probe).empty() ? cache : fresh;
}

// A cache that cannot be written costs the next run a probe, nothing else.
void keep(const AcceleratorProbe& probe, const std::string& version, const std::string& kernel_key,
          const KvmAnswer& answer) {
  if (probe.cache_file.empty()) return;
  json cache = read_cache(probe, version);
  cache["kernels"][kernel_key] = {{"usable", answer.state == KvmState::kUsable},
                                  {"how", answer.how}};
  std::error_code ignored;
  fs::create_directories(probe.cache_file.parent_path(), ignored);
  const fs::path draft = probe.cache_file.string() + "." + std::to_string(getpid());
  std::ofstream file(draft);
  file << cache.dump(2) << '\n';
  file.close();
  if (file) fs::rename(draft, probe.cache_file, ignored);
  fs::remove(draft, ignored);
}

// Looks for PID 1's first word in everything a VM says, and keeps none of it.
class FirstWord {
 public:
  bool spoken(const MachineActivity& activity) {
    for (const auto& [reader, bytes] : {std::pair{&virtio_, &activity.records_virtio},
                                        std::pair{&serial_, &activity.records_serial}}) {
      for (const Record& record : reader->feed(*bytes)) {
        if (std::holds_alternative<Hello>(record)) return true;
      }
    }
    if (!activity.console.empty()) printed_ = true;
    tail_ += activity.console;
    if (tail_.find(kInitMarker) != std::string::npos) return true;
    const std::size_t needed = std::strlen(kInitMarker) - 1;
    if (tail_.size() > needed) tail_.erase(0, tail_.size() - needed);
    return false;
  }
  // What the guest printed up to now, for a person.
  std::string progress() const {
    return printed_ ? "its kernel printed something" : "its kernel printed nothing";
  }

 private:
  RecordReader virtio_;
  RecordReader serial_;
  std::string tail_;
  bool printed_ = false;
};

KvmAnswer watch_boot(const AcceleratorProbe& probe, Machine& machine) {
  const auto start = probe.now();
  const auto seconds = [&] { return std::chrono::duration<double>(probe.now() - start).count(); };
  const auto unusable = [](std::string how) {
    return KvmAnswer{KvmState::kUnusable, std::move(how)};
  };
  FirstWord first_word;
  while (probe.now() - start < probe.deadline) {
    auto activity = machine.wait(std::chrono::milliseconds(200));
    if (!activity) return unusable(activity.error().message);
    if (first_word.spoken(*activity)) {
      return {KvmState::kUsable, fmt::format("a kernel reached PID 1 in {:.1f} s", seconds())};
    }
    const bool drained = activity->console.empty() && activity->records_virtio.empty() &&
                         activity->records_serial.empty();
    if (activity->state == MachineState::kRunning || !drained) continue;
    if (activity->state == MachineState::kHostFailed) return unusable(activity->host_failure);
    return unusable(fmt::format("a kernel {} before it reached PID 1",
                                activity->state == MachineState::kCrashed ? "panicked" : "ended"));
  }
  return unusable(fmt::format("a kernel did not reach PID 1 in {:.0f} s; {}",
                              std::chrono::duration<double>(probe.deadline).count(),
                              first_word.progress()));
}

BootRequest probe_boot(const KernelArtifact& kernel, const fs::path& initramfs,
                       const fs::path& directory) {
  BootRequest request;
  request.name = "kvm-probe";
  request.machine.name = "kvm-probe";
  // The smallest machine of the shape that trials have.
  request.machine.nodes = {{1, 256}, {1, 256}};
  request.machine.distances = {{10, 20}, {20, 10}};
  request.accelerator = Accelerator::kKvm;
  request.bzimage = kernel.bzimage;
  request.initramfs = initramfs;
  request.directory = directory;
  return request;
}

}  // namespace

std::optional<KvmAnswer> ask_kvm_device(const AcceleratorProbe& probe) {
  const FileDescriptor device(open(probe.kvm_device.c_str(), O_RDWR | O_CLOEXEC));
  if (device) return std::nullopt;
  const std::string name = "'" + probe.kvm_device.string() + "'";
  if (errno == ENOENT) return KvmAnswer{KvmState::kMissing, "there is no " + name};
  return KvmAnswer{KvmState::kUnusable, name + " cannot be opened: " + std::strerror(errno)};
}

std::optional<KvmAnswer> cached_kvm_answer(const AcceleratorProbe& probe,
                                           const std::string& hypervisor_version,
                                           const std::string& kernel_key) {
  if (probe.cache_file.empty()) return std::nullopt;
  const json cache = read_cache(probe, hypervisor_version);
  const auto entry = cache["kernels"].find(kernel_key);
  if (entry == cache["kernels"].end() || !entry->is_object()) return std::nullopt;
  const auto usable = entry->find("usable");
  const auto how = entry->find("how");
  if (usable == entry->end() || !usable->is_boolean()) return std::nullopt;
  if (how == entry->end() || !how->is_string()) return std::nullopt;
  return KvmAnswer{usable->get<bool>() ? KvmState::kUsable : KvmState::kUnusable,
                   how->get<std::string>(), true};
}

Result<KvmAnswer> ask_kvm(const AcceleratorProbe& probe, Hypervisor& hypervisor,
                          const KernelArtifact& kernel, const fs::path& initramfs) {
  if (auto answer = ask_kvm_device(probe)) return *answer;
  const std::string version = hypervisor.version();
  if (auto answer = cached_kvm_answer(probe, version, kernel.key)) return *answer;
  std::string directory = (probe.scratch / "kvm-probe-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    return broken(fmt::format("probe KVM: cannot make a directory in '{}': {}",
                              probe.scratch.string(), std::strerror(errno)));
  }
  KvmAnswer answer;
  auto machine = hypervisor.start(probe_boot(kernel, initramfs, directory));
  if (machine) {
    answer = watch_boot(probe, **machine);
    if (auto ended = (*machine)->destroy(); !ended) answer.how += "; " + ended.error().message;
    keep(probe, version, kernel.key, answer);
  } else {
    // Not kept: it may be a full disk today and KVM tomorrow.
    answer = {KvmState::kUnusable, machine.error().message};
  }
  std::error_code ignored;  // scratch
  fs::remove_all(directory, ignored);
  return answer;
}

Result<AcceleratorChoice> choose_accelerator(const std::string& mode, const AcceleratorProbe& probe,
                                             Hypervisor& hypervisor, const KernelArtifact& kernel,
                                             const fs::path& initramfs) {
  if (mode == "tcg") return AcceleratorChoice{Accelerator::kTcg, ""};
  if (mode == "kvm") {
    if (auto answer = ask_kvm_device(probe)) {
      return skipped(answer->how + "; use --accel tcg, or --accel auto");
    }
    return AcceleratorChoice{Accelerator::kKvm, ""};
  }
  if (mode != "auto") {
    return usage("unknown accelerator '" + mode + "': give auto, kvm or tcg");
  }
  auto answer = ask_kvm(probe, hypervisor, kernel, initramfs);
  if (!answer) return tl::make_unexpected(answer.error());
  switch (answer->state) {
    case KvmState::kUsable:
      return AcceleratorChoice{Accelerator::kKvm, ""};
    case KvmState::kUnusable:
      return AcceleratorChoice{Accelerator::kTcg,
                               "KVM is here but unusable (" + answer->how + "): taking TCG"};
    case KvmState::kMissing:
      return AcceleratorChoice{Accelerator::kTcg, "no KVM (" + answer->how + "): taking TCG"};
  }
  return broken("unknown answer about KVM");
}

}  // namespace mmquake
