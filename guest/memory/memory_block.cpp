// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/memory_block.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

// Has no use in a workload's process but to end a system call.
constexpr int kSignal = SIGUSR2;
constexpr std::chrono::milliseconds kSignalEvery{10};
constexpr std::chrono::seconds kEndLimit{10};

// Without a handler the signal would kill, and ignored it would end nothing.
Result<> handle_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  if (sigaction(kSignal, &action, nullptr) != 0) {
    return broken(fmt::format("hot-remove: sigaction: {}", errno_text(errno)));
  }
  return {};
}

// Not write_text(): this one is meant to be interrupted.
int write_offline(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  constexpr std::string_view kOffline = "offline";
  if (!fd || write(fd.get(), kOffline.data(), kOffline.size()) < 0) {
    return errno;
  }
  return 0;
}

}  // namespace

Result<MemoryBlocks> MemoryBlocks::read(std::string root) {
  const std::string path = root + "/block_size_bytes";
  if (!std::filesystem::exists(path)) {
    return skipped(fmt::format("no {}: this kernel has no memory hotplug", path));
  }
  Result<std::string> text = read_text(path);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  std::string_view rest = *text;
  const std::string_view line = next_line(rest).value_or("");
  const std::optional<std::uint64_t> bytes = to_number(line, 16);
  if (!bytes || *bytes < kSmallPage) {
    return broken(fmt::format("{}: '{}' is no size of a block", path, line));
  }
  MemoryBlocks blocks;
  blocks.root_ = std::move(root);
  blocks.pages_ = *bytes / kSmallPage;
  return blocks;
}

std::vector<std::uint64_t> MemoryBlocks::blocks_in(const PfnRange& range) const {
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t block = (range.begin + pages_ - 1) / pages_; pfns(block).end <= range.end;
       ++block) {
    if (std::filesystem::exists(state_file(block))) {
      blocks.push_back(block);
    }
  }
  return blocks;
}

std::vector<std::uint64_t> MemoryBlocks::inner_blocks_of(const PfnRange& zone) const {
  std::vector<std::uint64_t> blocks = blocks_in(zone);
  std::erase_if(blocks, [&](std::uint64_t block) { return pfns(block).begin == zone.begin; });
  return blocks;
}

std::string MemoryBlocks::state_file(std::uint64_t block) const {
  return fmt::format("{}/memory{}/state", root_, block);
}

Result<std::string> MemoryBlocks::state(std::uint64_t block) const {
  Result<std::string> text = read_text(state_file(block));
  if (!text) {
    return text;
  }
  std::string_view rest = *text;
  return std::string(next_line(rest).value_or(""));
}

Result<> MemoryBlocks::online_movable(std::uint64_t block) const {
  return write_text(state_file(block), "online_movable");
}

Result<std::unique_ptr<HotRemoval>> HotRemoval::start(std::string state_file) {
  if (Result<> handled = handle_signal(); !handled) {
    return tl::make_unexpected(handled.error());
  }
  auto shared = std::make_shared<Shared>();
  std::unique_ptr<HotRemoval> removal(new HotRemoval(shared));
  removal->thread_ = std::thread([shared, path = std::move(state_file)] {
    pthread_setname_np(pthread_self(), "hot-remove");
    {
      const std::lock_guard lock(shared->mutex);
      shared->tid = gettid();
    }
    const int answer = write_offline(path);
    const std::lock_guard lock(shared->mutex);
    shared->answer = answer;
    shared->changed.notify_all();
  });
  return removal;
}

HotRemoval::~HotRemoval() {
  if (interrupt(kEndLimit)) {
    thread_.join();
  } else {
    thread_.detach();  // stuck in the kernel; what it still uses is its own
  }
}

std::optional<int> HotRemoval::wait(std::chrono::nanoseconds time) {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, time, [this] { return shared_->answer.has_value(); });
  return shared_->answer;
}

// More than one signal: the first may come before the thread is in the kernel.
std::optional<int> HotRemoval::interrupt(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  std::optional<int> answer = wait(std::chrono::nanoseconds(0));
  while (!answer && std::chrono::steady_clock::now() < end) {
    pthread_kill(thread_.native_handle(), kSignal);
    answer = wait(kSignalEvery);
  }
  return answer;
}

std::string HotRemoval::stack() const {
  int tid = 0;
  {
    const std::lock_guard lock(shared_->mutex);
    tid = shared_->tid;
  }
  Result<std::string> stack = read_text(fmt::format("/proc/self/task/{}/stack", tid));
  return stack ? *stack : stack.error().message;
}

}  // namespace mmquake
