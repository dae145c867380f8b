// SPDX-License-Identifier: GPL-2.0-or-later
//
// KVM or TCG. /dev/kvm can be there, open and make VMs and still run no ordinary kernel (a host
// that is itself a paravirtual guest), so KVM counts only when a real kernel reached PID 1.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "guest/protocol/result.h"
#include "host/kernel/kernel_store.h"
#include "host/machine/machine.h"

namespace mmquake {

// What the guest's PID 1 writes to the console before anything else.
inline constexpr const char* kInitMarker = "mmquake: init";

// How the question is asked; tests put in their own.
struct AcceleratorProbe {
  std::filesystem::path cache_file;  // empty: the answer is not kept
  std::filesystem::path kvm_device = "/dev/kvm";
  std::filesystem::path boot_id_file = "/proc/sys/kernel/random/boot_id";
  std::filesystem::path scratch = std::filesystem::temp_directory_path();
  std::chrono::milliseconds deadline = std::chrono::seconds(20);  // for PID 1's first word
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

enum class KvmState { kUsable, kUnusable, kMissing };

struct KvmAnswer {
  KvmState state = KvmState::kMissing;
  std::string how;      // how it was established
  bool cached = false;  // true: by an earlier process
};

// What the device alone tells: kMissing, kUnusable (may not be opened), or nothing yet.
std::optional<KvmAnswer> ask_kvm_device(const AcceleratorProbe& probe);

// The answer that was kept for this boot of the host, this QEMU and libvirt, and this kernel.
std::optional<KvmAnswer> cached_kvm_answer(const AcceleratorProbe& probe,
                                           const std::string& hypervisor_version,
                                           const std::string& kernel_key);

// Device, cache, or a real boot, whichever answers first. Keeps the answer of a boot. An error is
// one of the probe, not of KVM.
Result<KvmAnswer> ask_kvm(const AcceleratorProbe& probe, Hypervisor& hypervisor,
                          const KernelArtifact& kernel, const std::filesystem::path& initramfs);

struct AcceleratorChoice {
  Accelerator accelerator = Accelerator::kTcg;
  std::string message;  // one line for the user, or empty
};

// `mode`: "auto" takes KVM if it is usable, else TCG and says why; "kvm" takes KVM unprobed, and
// is kSkipped if the device cannot be opened; "tcg" asks nothing.
Result<AcceleratorChoice> choose_accelerator(const std::string& mode, const AcceleratorProbe& probe,
                                             Hypervisor& hypervisor, const KernelArtifact& kernel,
                                             const std::filesystem::path& initramfs);

}  // namespace mmquake
