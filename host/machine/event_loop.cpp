// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/event_loop.h"

#include <libvirt/libvirt.h>

#include <atomic>
#include <future>

#include "host/machine/virt_error.h"

namespace mmquake {
namespace {

std::atomic<bool> stopping{false};

// Only has to make one turn of the loop end.
void wake(int timer, void*) {
  virEventUpdateTimeout(timer, -1);
}

void on_ready(int, int, int, void* opaque) {
  (*static_cast<std::function<void()>*>(opaque))();
}

void free_handler(void* opaque) {
  delete static_cast<std::function<void()>*>(opaque);
}

}  // namespace

Result<EventLoop*> EventLoop::instance() {
  static EventLoop loop;
  static const Result<> started = []() -> Result<> {
    quieten_libvirt();
    if (virEventRegisterDefaultImpl() < 0) return virt_error("register libvirt's event loop");
    // A disabled timer: moved to 0 from another thread it wakes the loop.
    loop.wake_timer_ = virEventAddTimeout(-1, wake, nullptr, nullptr);
    if (loop.wake_timer_ < 0) return virt_error("add a timer to libvirt's event loop");
    loop.thread_ = std::thread([] { loop.run(); });
    return {};
  }();
  if (!started) return tl::make_unexpected(started.error());
  return &loop;
}

void EventLoop::run() {
  while (!stopping) {
    if (virEventRunDefaultImpl() < 0) return;
  }
}

EventLoop::~EventLoop() {
  if (!thread_.joinable()) return;
  stopping = true;
  virEventUpdateTimeout(wake_timer_, 0);
  thread_.join();
}

Result<int> EventLoop::watch(int fd, std::function<void()> ready) {
  auto* handler = new std::function<void()>(std::move(ready));
  const int number =
      virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_ready, handler, free_handler);
  if (number < 0) {
    delete handler;
    return virt_error("watch a descriptor in libvirt's event loop");
  }
  return number;
}

void EventLoop::call(const std::function<void()>& work) {
  struct Call {
    const std::function<void()>& work;
    std::promise<void> done;
  } call{work, {}};
  auto run_once = [](int timer, void* opaque) {
    auto* self = static_cast<Call*>(opaque);
    virEventRemoveTimeout(timer);
    self->work();
    self->done.set_value();
  };
  const bool elsewhere = !stopping && std::this_thread::get_id() != thread_.get_id();
  if (!elsewhere || virEventAddTimeout(0, run_once, &call, nullptr) < 0) {
    work();
    return;
  }
  call.done.get_future().wait();
}

void EventLoop::unwatch(int watch) {
  virEventRemoveHandle(watch);
}

}  // namespace mmquake
