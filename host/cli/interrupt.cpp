// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace mmquake {
namespace {

volatile std::sig_atomic_t caught_signal = 0;

void on_signal(int signal) {
  if (caught_signal != 0) _exit(128 + signal);
  caught_signal = signal;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() {
  return caught_signal != 0;
}

int interrupted_exit_code() {
  return 128 + static_cast<int>(caught_signal);
}

}  // namespace mmquake
