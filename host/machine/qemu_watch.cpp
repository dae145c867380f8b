// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/qemu_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr const char* kSuffix = ".pid";

}  // namespace

Result<std::unique_ptr<QemuWatch>> QemuWatch::start(EventLoop& loop, fs::path pid_dir,
                                                    const fs::path& probe_dir, OnExit on_exit) {
  std::unique_ptr<QemuWatch> self(new QemuWatch(loop, std::move(pid_dir), std::move(on_exit)));
  self->inotify_.reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  for (const fs::path& directory : {self->pid_dir_, probe_dir}) {
    if (auto watched = self->watch_directory(directory); !watched) {
      return tl::make_unexpected(watched.error());
    }
  }
  auto watch = loop.watch(self->inotify_.get(), [raw = self.get()] { raw->on_news(); });
  if (!watch) return tl::make_unexpected(watch.error());
  self->inotify_watch_ = *watch;
  return self;
}

QemuWatch::~QemuWatch() {
  if (inotify_watch_ >= 0) loop_.unwatch(inotify_watch_);
  for (const auto& entry : qemus_) loop_.unwatch(entry.second.watch);
}

Result<> QemuWatch::watch_directory(const fs::path& directory) {
  // Not IN_CLOSE_WRITE: QEMU inherits its open pid file and holds it for life.
  const int number = inotify_add_watch(inotify_.get(), directory.c_str(),
                                       IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR);
  if (number < 0) {
    return broken("cannot watch '" + directory.string() + "': " + std::strerror(errno));
  }
  directories_[number] = directory;
  return {};
}

void QemuWatch::on_news() {
  alignas(inotify_event) std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while ((got = read(inotify_.get(), buffer.data(), buffer.size())) > 0) {
    for (const char* at = buffer.data(); at < buffer.data() + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      const auto directory = directories_.find(event->wd);
      if ((event->mask & IN_IGNORED) != 0) {
        directories_.erase(event->wd);  // it is gone, and its number may come again
      } else if (directory != directories_.end() && event->len > 0) {
        on_file(directory->second / event->name, (event->mask & IN_ISDIR) != 0);
      }
      at += sizeof(inotify_event) + event->len;
    }
  }
}

void QemuWatch::on_file(const fs::path& path, bool is_directory) {
  if (!is_directory) {
    if (path.extension() == kSuffix) track(path);
    return;
  }
  // A probe's directory may be gone already, or have its pid file before we watch it.
  if (!watch_directory(path)) return;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kSuffix) track(it->path());
  }
}

void QemuWatch::track(const fs::path& pid_file) {
  pid_t pid = -1;
  std::ifstream file(pid_file);
  if (!(file >> pid) || pid <= 1) return;
  const auto known = qemus_.find(pid_file);
  if (known != qemus_.end()) {
    if (known->second.pid == pid) return;
    loop_.unwatch(known->second.watch);
    qemus_.erase(known);
  }
  Qemu qemu;
  qemu.pid = pid;
  qemu.handle.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!qemu.handle) return;  // it has ended and somebody has waited for it
  auto watch = loop_.watch(qemu.handle.get(), [this, pid_file] { collect_file(pid_file, {}); });
  if (!watch) return;
  qemu.watch = *watch;
  qemus_.emplace(pid_file, std::move(qemu));
}

void QemuWatch::collect(const std::string& vm, std::chrono::milliseconds patience) {
  collect_file(pid_dir_ / (vm + kSuffix), patience);
}

void QemuWatch::collect_file(const fs::path& pid_file, std::chrono::milliseconds patience) {
  const auto found = qemus_.find(pid_file);
  if (found == qemus_.end()) return;
  pollfd ended{found->second.handle.get(), POLLIN, 0};
  if (poll(&ended, 1, static_cast<int>(patience.count())) != 1) return;
  siginfo_t info{};
  // Before the reparenting its parent is a short-lived child of libvirt (ECHILD here): then
  // that one collects it.
  const bool ours =
      waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(found->second.handle.get()), &info,
             WEXITED | WNOHANG) == 0 &&
      info.si_pid != 0;
  // `pid_file` may be the handler's own, which goes with the watch.
  const fs::path vm_directory = pid_file.parent_path();
  const std::string vm = pid_file.stem().string();
  loop_.unwatch(found->second.watch);
  qemus_.erase(found);
  if (ours && vm_directory == pid_dir_) on_exit_(vm, info);
}

}  // namespace mmquake
