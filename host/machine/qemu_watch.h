// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "guest/protocol/result.h"
#include "host/machine/event_loop.h"
#include "host/machine/file_descriptor.h"

namespace mmquake {

// Waits for the QEMUs of the embedded libvirt. They daemonize, so they become this process's
// children (it is a subreaper) and stay zombies until it waits for them; libvirt, which polls
// with kill(pid, 0), would take a zombie for a QEMU that refuses to end (40 s each, the two that
// it probes capabilities with included). All of it runs on the event loop's thread; the QEMUs are
// found by their pid files.
class QemuWatch {
 public:
  using OnExit = std::function<void(const std::string& vm, const siginfo_t& info)>;

  // In `pid_dir` there will be NAME.pid for each VM, and in `probe_dir` a directory with a pid
  // file for each probe. Both exist.
  static Result<std::unique_ptr<QemuWatch>> start(EventLoop& loop, std::filesystem::path pid_dir,
                                                  const std::filesystem::path& probe_dir,
                                                  OnExit on_exit);
  QemuWatch(const QemuWatch&) = delete;
  QemuWatch& operator=(const QemuWatch&) = delete;
  ~QemuWatch();

  // For the loop's thread: if `vm`'s QEMU ends within `patience`, waits for it now.
  void collect(const std::string& vm, std::chrono::milliseconds patience);

 private:
  struct Qemu {
    FileDescriptor handle;  // a pidfd
    pid_t pid = -1;
    int watch = -1;
  };

  QemuWatch(EventLoop& loop, std::filesystem::path pid_dir, OnExit on_exit)
      : loop_(loop), pid_dir_(std::move(pid_dir)), on_exit_(std::move(on_exit)) {}
  Result<> watch_directory(const std::filesystem::path& directory);
  void on_news();
  void on_file(const std::filesystem::path& path, bool is_directory);
  void track(const std::filesystem::path& pid_file);
  void collect_file(const std::filesystem::path& pid_file, std::chrono::milliseconds patience);

  EventLoop& loop_;
  std::filesystem::path pid_dir_;
  OnExit on_exit_;
  FileDescriptor inotify_;
  int inotify_watch_ = -1;
  std::map<int, std::filesystem::path> directories_;  // by inotify's watch
  std::map<std::filesystem::path, Qemu> qemus_;       // by pid file
};

}  // namespace mmquake
