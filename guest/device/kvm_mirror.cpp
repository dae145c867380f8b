// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/kvm_mirror.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mmquake {
namespace {

// Guest-physical: the code, the mailbox, and the range, aligned as a nested huge page needs it.
constexpr std::uint64_t kCodeAt = 0;
constexpr std::uint64_t kMailboxAt = kSmallPage;
constexpr std::uint64_t kRangeAt = 1ULL << 30;
constexpr std::uint64_t kMaxRange = 2ULL << 30;  // below the APIC's page
constexpr int kMaxInterruptions = 1000;

// cld; rep movsl; hlt: copies %ecx words from (%esi) to (%edi). Without an interrupt controller
// in the kernel, HLT ends KVM_RUN.
constexpr std::array<unsigned char, 4> kCode{0xfc, 0xf3, 0xa5, 0xf4};

kvm_segment flat_segment(bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = code ? 0x8 : 0x10;
  segment.type = code ? 0xb : 0x3;  // execute and read, or read and write; accessed
  segment.present = 1;
  segment.s = 1;
  segment.db = 1;
  segment.g = 1;
  return segment;
}

}  // namespace

Result<std::unique_ptr<KvmMirror>> KvmMirror::create(std::uintptr_t address, std::size_t bytes,
                                                     const char* path) {
  if (bytes > kMaxRange) {
    return broken(fmt::format("kvm: a range of {} bytes; at most {}", bytes, kMaxRange));
  }
  std::unique_ptr<KvmMirror> mirror(new KvmMirror);
  mirror->address_ = address;
  mirror->bytes_ = bytes;
  Result<Mapping> memory = Mapping::create(Backing::kAnon4k, 2 * kSmallPage);
  if (!memory) {
    return tl::make_unexpected(memory.error());
  }
  mirror->memory_ = std::move(*memory);
  std::memcpy(mirror->memory_.data(), kCode.data(), kCode.size());
  if (Result<> started = mirror->start(path); !started) {
    return tl::make_unexpected(started.error());
  }
  if (Result<> code = mirror->add_slot(0, kCodeAt, mirror->memory_.address(), 2 * kSmallPage);
      !code) {
    return tl::make_unexpected(code.error());
  }
  if (Result<> range = mirror->add_slot(1, kRangeAt, address, bytes); !range) {
    return tl::make_unexpected(range.error());
  }
  if (Result<> flat = mirror->enter_flat_mode(); !flat) {
    return tl::make_unexpected(flat.error());
  }
  // Does it run at all? From the mailbox's first half to its second.
  constexpr std::uint32_t kProbe = 0x6d6d7175;
  std::memcpy(mirror->mailbox(), &kProbe, sizeof(kProbe));
  const Result<> ran = mirror->copy(kMailboxAt + kMaxBytes / 2, kMailboxAt, sizeof(kProbe));
  if (!ran || std::memcmp(mirror->mailbox() + kMaxBytes / 2, &kProbe, sizeof(kProbe)) != 0) {
    return skipped(fmt::format("{} is there, but no vCPU can be run: {}", path,
                               ran ? "it copied nothing" : ran.error().message));
  }
  return mirror;
}

Result<> KvmMirror::start(const char* path) {
  kvm_ = UniqueFd(open(path, O_RDWR | O_CLOEXEC));
  if (!kvm_) {
    return skipped(
        fmt::format("open {}: {}: this guest has no KVM (CONFIG_KVM_AMD or "
                    "CONFIG_KVM_INTEL, and a CPU with SVM or VMX)",
                    path, errno_text(errno)));
  }
  const int version = ioctl(kvm_.get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION) {
    return skipped(fmt::format("{}: API version {}, {} is needed", path, version, KVM_API_VERSION));
  }
  vm_ = UniqueFd(ioctl(kvm_.get(), KVM_CREATE_VM, 0));
  if (!vm_) {
    return skipped(fmt::format("{}: KVM_CREATE_VM: {}", path, errno_text(errno)));
  }
  vcpu_ = UniqueFd(ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
  if (!vcpu_) {
    return skipped(fmt::format("{}: KVM_CREATE_VCPU: {}", path, errno_text(errno)));
  }
  const int run_bytes = ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < static_cast<int>(sizeof(kvm_run))) {
    return broken(fmt::format("{}: KVM_GET_VCPU_MMAP_SIZE says {}", path, run_bytes));
  }
  run_bytes_ = static_cast<std::size_t>(run_bytes);
  void* run = mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_.get(), 0);
  if (run == MAP_FAILED) {
    return broken(fmt::format("{}: map the vCPU: {}", path, errno_text(errno)));
  }
  run_ = static_cast<kvm_run*>(run);
  return {};
}

KvmMirror::~KvmMirror() {
  if (run_ != nullptr) {
    munmap(run_, run_bytes_);
  }
}

Result<> KvmMirror::add_slot(std::uint32_t slot, std::uint64_t guest_physical,
                             std::uintptr_t address, std::size_t bytes) {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.guest_phys_addr = guest_physical;
  region.memory_size = bytes;
  region.userspace_addr = address;
  if (ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return broken(fmt::format("kvm: memory slot {} of {} bytes: {}", slot, bytes,  //
                              errno_text(errno)));
  }
  return {};
}

// Protected mode without paging: linear addresses are guest-physical ones.
Result<> KvmMirror::enter_flat_mode() {
  kvm_sregs sregs{};
  if (ioctl(vcpu_.get(), KVM_GET_SREGS, &sregs) != 0) {
    return broken(fmt::format("kvm: KVM_GET_SREGS: {}", errno_text(errno)));
  }
  sregs.cr0 |= 1;
  sregs.cs = flat_segment(true);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat_segment(false);
  if (ioctl(vcpu_.get(), KVM_SET_SREGS, &sregs) != 0) {
    return broken(fmt::format("kvm: KVM_SET_SREGS: {}", errno_text(errno)));
  }
  return {};
}

Result<> KvmMirror::copy(std::uint64_t to, std::uint64_t from, std::size_t bytes) {
  kvm_regs regs{};
  regs.rflags = 2;  // the bit that is always set; interrupts are off
  regs.rip = kCodeAt;
  regs.rsi = from;
  regs.rdi = to;
  regs.rcx = bytes / kUnit;
  if (ioctl(vcpu_.get(), KVM_SET_REGS, &regs) != 0) {
    return broken(fmt::format("kvm: KVM_SET_REGS: {}", errno_text(errno)));
  }
  for (int i = 0; i < kMaxInterruptions; ++i) {
    if (ioctl(vcpu_.get(), KVM_RUN, 0) != 0) {
      if (errno == EINTR || errno == EAGAIN) {
        continue;
      }
      return broken(fmt::format("kvm: KVM_RUN: {}", errno_text(errno)));
    }
    if (run_->exit_reason == KVM_EXIT_HLT) {
      return {};
    }
    if (run_->exit_reason != KVM_EXIT_INTR) {
      return broken(
          fmt::format("kvm: the vCPU left for reason {} and not by HLT (linux/kvm.h, "
                      "KVM_EXIT_*)",
                      run_->exit_reason));
    }
  }
  return broken(fmt::format("kvm: KVM_RUN was interrupted {} times", kMaxInterruptions));
}

Result<std::uint64_t> KvmMirror::guest_physical(std::uintptr_t address, std::size_t bytes) const {
  if (bytes == 0 || bytes % kUnit != 0 || bytes > kMaxBytes) {
    return broken(fmt::format("kvm: {} bytes at once; a multiple of {} up to {} is possible", bytes,
                              kUnit, kMaxBytes));
  }
  if (address < address_ || address - address_ > bytes_ || bytes > bytes_ - (address - address_)) {
    return broken("kvm: the address lies outside of the mirrored range");
  }
  return kRangeAt + (address - address_);
}

Result<> KvmMirror::read(std::uintptr_t address, void* to, std::size_t bytes) {
  const Result<std::uint64_t> from = guest_physical(address, bytes);
  if (!from) {
    return tl::make_unexpected(from.error());
  }
  if (Result<> copied = copy(kMailboxAt, *from, bytes); !copied) {
    return copied;
  }
  std::memcpy(to, mailbox(), bytes);
  return {};
}

Result<> KvmMirror::write(std::uintptr_t address, const void* from, std::size_t bytes) {
  const Result<std::uint64_t> to = guest_physical(address, bytes);
  if (!to) {
    return tl::make_unexpected(to.error());
  }
  std::memcpy(mailbox(), from, bytes);
  return copy(*to, kMailboxAt, bytes);
}

}  // namespace mmquake
