// SPDX-License-Identifier: GPL-2.0-or-later
//
// A device that mirrors pages which migrate, and a second process (the sharer) that has them
// through the same page of PMDs. One role does everything, in an order, so what a read must give is
// known exactly: after each migration the device must read what was written through page tables,
// and page tables must show what the device wrote.
//
//             plain                                 unshare-first
//   mappings  the sharer's is the first             the device's is the first
//   mirror    the device reads all pages            the same
//   unshare                                         page 0 moves: takes the device's process off
//                                                   the page of PMDs, and must tell the device of
//                                                   the whole GiB
//   order                                           the device's mapping is split: now the last
//   migrate   all pages move                        the others move through the sharer: nobody
//                                                   looks at the device's mapping any more
//   judge     read and write by the device          the same
//
// RDMA without on-demand paging pins what it mirrors, so it gets the upper half of the pages. They
// must stay where they are, whoever tries to move them; the lower half moves.
#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "guest/device/dmirror.h"
#include "guest/device/kvm_mirror.h"
#include "guest/device/pinning_device.h"
#include "guest/memory/numa.h"
#include "workloads/hugetlb/consumer.h"
#include "workloads/hugetlb/shared_pmd_area.h"
#include "workloads/hugetlb/sharer.h"

namespace mmquake {
namespace {

constexpr int kMovesPerRound = 4;
constexpr const char* kRole = "device";

// Breaks the device's rules on purpose, to test the oracle.
class FaultyMirror final : public DeviceMirror {
 public:
  FaultyMirror(std::unique_ptr<DeviceMirror> device, bool stale_reads, bool lost_writes)
      : device_(std::move(device)), stale_reads_(stale_reads), lost_writes_(lost_writes) {}

  std::string_view name() const override { return device_->name(); }
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override {
    std::string fresh(bytes, '\0');
    if (Result<> read = device_->read(address, fresh.data(), bytes); !read) {
      return read;
    }
    // Some thirty reads of a cell later its first one is an old one.
    const std::string& seen = stale_reads_ ? first_.emplace(address, fresh).first->second : fresh;
    std::copy(seen.begin(), seen.end(), static_cast<char*>(to));
    return {};
  }
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override {
    return lost_writes_ ? Result<>() : device_->write(address, from, bytes);
  }

 private:
  std::unique_ptr<DeviceMirror> device_;
  bool stale_reads_, lost_writes_;
  std::map<std::uintptr_t, std::string> first_;
};

class DeviceConsumer final : public Consumer {
 public:
  DeviceConsumer(Setting& setting, MirrorKind kind, bool unshare_first)
      : setting_(setting), kind_(kind), unshare_first_(unshare_first) {}

  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  Result<> verify_work() override;

 private:
  // An error is the harness's; damage goes to the setting's report.
  Result<> play(RoleContext& context);
  Result<> play_plain(RoleContext& context, const Sharer& sharer);
  Result<> play_unshare_first(RoleContext& context, const Sharer& sharer);
  Result<> open_device();
  Result<> begin();
  // The device pins its pages, or lets go of them; nothing for a device that does not pin.
  Result<> hold();
  Result<> let_go();
  // Both processes have all pages, through one page of PMDs.
  Result<bool> touch_all(const Sharer& sharer);
  Result<> mirror(RoleContext& context, std::size_t first_page);
  Result<> judge_all(RoleContext& context, const Sharer& sharer, std::size_t first_page);
  Result<> judge_page(RoleContext& context, const Sharer& sharer, std::size_t page);
  Result<> judge_device_read(std::size_t page);
  void judge(Witness witness, const CellImage& image, std::size_t page);
  std::size_t move(pid_t pid, std::vector<std::uintptr_t> pages, int node, RoleContext& context);

  std::uintptr_t cell(std::size_t page) const {
    // Not on the first small page: see dmirror.h.
    return area_.page(page) + (1 + page % 8) * kSmallPage;
  }
  // The first page that the device has.
  std::size_t first_held() const { return holder_ != nullptr ? setting_.pages / 2 : 0; }
  CellPlace place(std::size_t page) const { return {0, 0, page}; }
  int node_of_round(RoleContext& context, int move) const {
    const auto nth = static_cast<std::size_t>(move) + context.round();
    return setting_.nodes[nth % setting_.nodes.size()];
  }

  Setting& setting_;
  MirrorKind kind_;
  bool unshare_first_;
  SharedPmdArea area_;
  std::unique_ptr<DeviceMirror> device_;
  PinningDevice* holder_ = nullptr;  // the device, if it pins
  bool holds_ = false;
  std::vector<std::uint64_t> generation_;
  pid_t sharer_ = 0;  // of this round
  Counter reads_, writes_, pinned_stayed_;
};

Result<> DeviceConsumer::set_up(Environment& env) {
  reads_ = env.counter("device-reads");
  writes_ = env.counter("device-writes");
  pinned_stayed_ = env.counter("moves/refused-as-pinned");
  generation_.assign(setting_.pages, 0);
  Result<SharedPmdArea> area = SharedPmdArea::create();
  if (!area) {
    return tl::make_unexpected(area.error());
  }
  area_ = std::move(*area);
  if (Result<> mapped = area_.renew(); !mapped) {
    return mapped;
  }
  if (Result<> opened = open_device(); !opened) {
    return opened;
  }
  const bool stale = setting_.provoked("stale-device-read");
  const bool lost = setting_.provoked("lost-device-write");
  if (stale || lost) {
    device_ = std::make_unique<FaultyMirror>(std::move(device_), stale, lost);
  }
  return {};
}

Result<> DeviceConsumer::open_device() {
  if (kind_ == MirrorKind::kDmirror) {
    auto device = Dmirror::open();
    if (!device) {
      return tl::make_unexpected(device.error());
    }
    device_ = std::move(*device);
  } else if (kind_ == MirrorKind::kKvm) {
    auto device = KvmMirror::create(area_.address(), SharedPmdArea::kBytes);
    if (!device) {
      return tl::make_unexpected(device.error());
    }
    device_ = std::move(*device);
  } else {
    auto device = open_pinning_device("rxe");
    if (!device) {
      return tl::make_unexpected(device.error());
    }
    holder_ = device->get();
    device_ = std::move(*device);
  }
  return {};
}

std::vector<Role> DeviceConsumer::roles() {
  // In the process that made the device: it mirrors that one's memory.
  std::vector<Role> roles(1);
  roles[0].name = kRole;
  roles[0].body = [this](RoleContext& context) {
    if (Result<> played = play(context); !played) {
      setting_.fail(played.error());
    }
  };
  return roles;
}

Result<> DeviceConsumer::play(RoleContext& context) {
  if (setting_.over()) {
    return {};
  }
  if (Result<> begun = begin(); !begun) {
    return begun;
  }
  Result<Sharer> sharer = Sharer::start();
  if (!sharer) {
    return tl::make_unexpected(sharer.error());
  }
  sharer_ = sharer->pid();
  return unshare_first_ ? play_unshare_first(context, *sharer) : play_plain(context, *sharer);
}

// Everything anew, so that the kernel's order of the mappings is known.
Result<> DeviceConsumer::begin() {
  if (Result<> free = let_go(); !free) {
    return free;
  }
  if (Result<> mapped = area_.renew(); !mapped) {
    return mapped;
  }
  for (std::size_t page = 0; page < setting_.pages; ++page) {
    store_cell(reinterpret_cast<std::byte*>(cell(page)),
               make_cell(place(page), ++generation_[page]));
  }
  return {};
}

// One range, with the gaps between its pages.
Result<> DeviceConsumer::hold() {
  if (holder_ == nullptr || holds_) {
    return {};
  }
  const std::uintptr_t begin = area_.page(first_held());
  const std::uintptr_t end = area_.page(setting_.pages - 1) + kHugePage;
  if (const int error = holder_->pin(begin, end - begin); error != 0) {
    return broken(std::string(holder_->name()) + ": register pages: " + errno_text(error));
  }
  holds_ = true;
  return {};
}

Result<> DeviceConsumer::let_go() {
  return std::exchange(holds_, false) ? holder_->unpin() : Result<>();
}

Result<bool> DeviceConsumer::touch_all(const Sharer& sharer) {
  for (std::size_t page = 0; page < setting_.pages; ++page) {
    CellImage image{};
    if (Result<> read = sharer.read(cell(page), image.data(), kCellBytes); !read) {
      return tl::make_unexpected(read.error());
    }
    judge(Witness::kReader, image, page);
    judge(Witness::kReader, load_cell(reinterpret_cast<const std::byte*>(cell(page))), page);
  }
  return setting_.note_sharing(area_.page(0), {0, sharer.pid()});
}

Result<> DeviceConsumer::play_plain(RoleContext& context, const Sharer& sharer) {
  if (Result<> last = area_.remap(); !last) {
    return last;
  }
  for (int i = 0; i < kMovesPerRound && !context.stopping() && !setting_.over(); ++i) {
    const Result<bool> shared = touch_all(sharer);
    if (!shared) {
      return tl::make_unexpected(shared.error());
    }
    if (Result<> mirrored = mirror(context, 0); !mirrored) {
      return mirrored;
    }
    const std::size_t moved =
        move(0, area_.pages(setting_.pages), node_of_round(context, i), context);
    setting_.overlaps.add(*shared ? moved : 0);
    if (Result<> judged = judge_all(context, sharer, 0); !judged) {
      return judged;
    }
  }
  return {};
}

Result<> DeviceConsumer::play_unshare_first(RoleContext& context, const Sharer& sharer) {
  const Result<bool> shared = touch_all(sharer);
  if (!shared) {
    return tl::make_unexpected(shared.error());
  }
  if (Result<> mirrored = mirror(context, 1); !mirrored) {
    return mirrored;
  }
  std::vector<std::uintptr_t> others = area_.pages(setting_.pages);
  others.erase(others.begin());
  // Away from where the pages are: they were all touched first on one node.
  const Result<std::vector<int>> now = nodes_of(0, {area_.page(0)});
  if (!now) {
    return tl::make_unexpected(now.error());
  }
  const int target = now->front() == setting_.nodes[0] ? setting_.nodes[1] : setting_.nodes[0];
  const bool unshared = move(0, {area_.page(0)}, target, context) > 0;
  if (Result<> split = area_.split(); !split) {
    return split;
  }
  const std::size_t moved = move(sharer.pid(), others, target, context);
  setting_.overlaps.add(*shared && unshared ? moved : 0);
  return judge_all(context, sharer, 1);
}

Result<> DeviceConsumer::mirror(RoleContext& context, std::size_t first_page) {
  if (Result<> held = hold(); !held) {
    return held;
  }
  for (std::size_t page = first_page; page < setting_.pages; ++page) {
    if (Result<> read = judge_device_read(page); !read) {
      return read;
    }
    context.step();
  }
  return {};
}

Result<> DeviceConsumer::judge_all(RoleContext& context, const Sharer& sharer,
                                   std::size_t first_page) {
  for (std::size_t page = first_page; page < setting_.pages && !setting_.over(); ++page) {
    if (Result<> judged = judge_page(context, sharer, page); !judged) {
      return judged;
    }
    context.step();
  }
  return {};
}

// The next generation comes from the sharer or from the device. Either way all must agree.
Result<> DeviceConsumer::judge_page(RoleContext& context, const Sharer& sharer, std::size_t page) {
  CellImage image = make_cell(place(page), ++generation_[page]);
  const bool by_device = page >= first_held() && context.random().chance(0.5);
  if (by_device) {
    writes_.add();
    if (Result<> written = device_->write(cell(page), image.data(), kCellBytes); !written) {
      return written;
    }
  } else {
    if (Result<> written = sharer.write(cell(page), image.data(), kCellBytes); !written) {
      return written;
    }
    if (Result<> read = judge_device_read(page); !read) {
      return read;
    }
  }
  if (Result<> read = sharer.read(cell(page), image.data(), kCellBytes); !read) {
    return read;
  }
  judge(by_device ? Witness::kDeviceWrite : Witness::kReader, image, page);
  judge(Witness::kReader, load_cell(reinterpret_cast<const std::byte*>(cell(page))), page);
  return {};
}

Result<> DeviceConsumer::judge_device_read(std::size_t page) {
  if (page < first_held()) {
    return {};
  }
  CellImage image{};
  reads_.add();
  if (Result<> read = device_->read(cell(page), image.data(), kCellBytes); !read) {
    return read;
  }
  judge(Witness::kDevice, image, page);
  return {};
}

void DeviceConsumer::judge(Witness witness, const CellImage& image, std::size_t page) {
  const CellReading reading = judge_quiet_cell(image, place(page), generation_[page]);
  if (reading.damage) {
    setting_.report(witness, kRole, reading, place(page),
                    describe_mappings(area_.page(page), {0, sharer_}));
  }
}

// In an order of its own each time: the first page that moves is the one that is unshared.
std::size_t DeviceConsumer::move(pid_t pid, std::vector<std::uintptr_t> pages, int node,
                                 RoleContext& context) {
  if (setting_.provoked("no-move")) {
    return 0;
  }
  for (std::size_t left = pages.size(); left > 1; --left) {
    std::swap(pages[left - 1], pages[context.random().below(left)]);
  }
  // In a call of their own: of a batch in which one page stays no status is told.
  const auto held = std::partition(pages.begin(), pages.end(), [this](std::uintptr_t page) {
    return page < area_.page(first_held());
  });
  const std::vector<std::uintptr_t> pinned(holder_ != nullptr ? held : pages.end(), pages.end());
  pages.erase(pages.end() - static_cast<std::ptrdiff_t>(pinned.size()), pages.end());
  // A touch would put the device's process on the page of PMDs again.
  const std::size_t moved = setting_.move(pid, pages, node, Recount::kStatuses);
  if (!pinned.empty()) {
    const std::uint64_t before = setting_.refused.value();
    setting_.move(pid, pinned, node, Recount::kStatuses);
    pinned_stayed_.add(setting_.refused.value() - before);
  }
  return moved;
}

Result<> DeviceConsumer::verify_work() {
  if (reads_.value() == 0 || writes_.value() == 0) {
    return broken("the device did not both read and write");
  }
  if (holder_ != nullptr && pinned_stayed_.value() == 0) {
    return broken("nobody tried to move a page that the device had registered");
  }
  return {};
}

}  // namespace

std::unique_ptr<Consumer> make_device_consumer(Setting& setting, MirrorKind kind,
                                               bool unshare_first) {
  return std::make_unique<DeviceConsumer>(setting, kind, unshare_first);
}

}  // namespace mmquake
