// SPDX-License-Identifier: GPL-2.0-or-later
//
// A virtual machine inside of the guest as a device: its nested page tables mirror a range of the
// process's memory, and KVM's mmu notifier keeps them in step. Its one vCPU runs four bytes of
// code that copy between the range and a mailbox.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <memory>

#include "guest/device/device_mirror.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// For the process that made it, from one thread at a time.
class KvmMirror final : public DeviceMirror {
 public:
  static constexpr std::size_t kMaxBytes = kSmallPage;  // of one read or write
  static constexpr std::size_t kUnit = 4;               // what the vCPU copies at a time

  // One memory slot over [address, address + bytes), at most 2 GiB; what is mapped there may
  // change later. An error of kind kSkipped says that there is no KVM, or that it runs no vCPU.
  static Result<std::unique_ptr<KvmMirror>> create(std::uintptr_t address, std::size_t bytes,
                                                   const char* path = "/dev/kvm");
  ~KvmMirror() override;
  KvmMirror(const KvmMirror&) = delete;
  KvmMirror& operator=(const KvmMirror&) = delete;

  std::string_view name() const override { return "kvm"; }
  // `bytes` is a multiple of kUnit, at most kMaxBytes.
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  KvmMirror() = default;
  Result<> start(const char* path);
  Result<> add_slot(std::uint32_t slot, std::uint64_t guest_physical, std::uintptr_t address,
                    std::size_t bytes);
  Result<> enter_flat_mode();
  // Lets the vCPU copy between guest-physical addresses.
  Result<> copy(std::uint64_t to, std::uint64_t from, std::size_t bytes);
  Result<std::uint64_t> guest_physical(std::uintptr_t address, std::size_t bytes) const;
  std::byte* mailbox() const { return memory_.data() + kSmallPage; }

  std::uintptr_t address_ = 0;
  std::size_t bytes_ = 0;
  Mapping memory_;  // a page of code, and the mailbox
  UniqueFd kvm_, vm_, vcpu_;
  kvm_run* run_ = nullptr;
  std::size_t run_bytes_ = 0;
};

}  // namespace mmquake
