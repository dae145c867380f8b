// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/strobe.h"

#include <pthread.h>

#include <future>
#include <random>

#include "guest/race/placement.h"

namespace mmquake {
namespace {

// Above everything that a workload starts, below the kernel's own migration and stop threads.
constexpr int kPriority = 50;

}  // namespace

Result<std::unique_ptr<Strobe>> Strobe::start(const StrobePlan& plan) {
  std::unique_ptr<Strobe> strobe(new Strobe());
  for (const int cpu : plan.cpus) {
    std::promise<Result<>> placed;
    std::future<Result<>> answer = placed.get_future();
    strobe->threads_.emplace_back([strobe = strobe.get(), &placed, plan, cpu] {
      pthread_setname_np(pthread_self(), "strobe");
      Result<> done = pin_to_cpu(cpu);
      if (done) done = set_fifo_priority(kPriority);
      const bool fine = done.has_value();
      placed.set_value(std::move(done));
      if (fine) strobe->flash(cpu, plan);
    });
    if (Result<> done = answer.get(); !done) return tl::make_unexpected(done.error());
  }
  return strobe;
}

Strobe::~Strobe() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void Strobe::flash(int cpu, const StrobePlan& plan) {
  // The pause is a sleep because the CPU has to be free for the roles; it synchronises nothing.
  std::mt19937_64 random(plan.seed * 1000003 + static_cast<std::uint64_t>(cpu));
  std::uniform_int_distribution<std::int64_t> pause(1, plan.max_pause.count());
  std::uniform_int_distribution<std::int64_t> length(1, plan.max_flash.count());
  while (!stop_) {
    std::this_thread::sleep_for(std::chrono::microseconds(pause(random)));
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(length(random));
    while (std::chrono::steady_clock::now() < until) {
    }
    ++flashes_;
  }
}

}  // namespace mmquake
