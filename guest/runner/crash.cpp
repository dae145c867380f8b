// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/crash.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

namespace mmquake {
namespace {

SharedState* g_state = nullptr;  // a signal handler has no other way to find it

void on_fatal(int number, siginfo_t* info, void* /*context*/) {
  int none = 0;
  if (g_state->crash.signal.compare_exchange_strong(none, number)) {
    g_state->crash.address.store(reinterpret_cast<std::uint64_t>(info->si_addr));
    g_state->crash.tid.store(gettid());
  }
  // SA_RESETHAND is set: a fault comes again and kills; a raised signal is raised again.
  if (info->si_code <= 0) {
    raise(number);
  }
}

}  // namespace

void mark_crashes(SharedState& state) {
  g_state = &state;
  struct sigaction action {};
  action.sa_sigaction = on_fatal;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    sigaction(number, &action, nullptr);
  }
}

SignalStack::SignalStack() : memory_(std::size_t{64} * 1024) {
  stack_t stack{};
  stack.ss_sp = memory_.data();
  stack.ss_size = memory_.size();
  sigaltstack(&stack, nullptr);
}

SignalStack::~SignalStack() {
  stack_t stack{};
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
}

std::string describe_death(const std::string& who, int status, const SharedState& state) {
  if (!WIFSIGNALED(status)) {
    return fmt::format("{} ended by itself with status {}", who,
                       WIFEXITED(status) ? WEXITSTATUS(status) : status);
  }
  const int number = WTERMSIG(status);
  std::string text = fmt::format("{} died of signal {} ({})", who, number, sigdescr_np(number));
  if (state.crash.signal.load() == number) {
    const int tid = state.crash.tid.load();
    text += fmt::format(" at address {:#x}", state.crash.address.load());
    for (std::uint32_t i = 0; i < state.role_count.load() && i < kMaxRoles; ++i) {
      if (state.roles[i].tid.load() == tid) {
        text += fmt::format(" in role '{}'", state.roles[i].name.data());
      }
    }
  }
  return text;
}

}  // namespace mmquake
