// SPDX-License-Identifier: GPL-2.0-or-later
//
// An orchestrator for the tests to kill: starts a spinning VM, prints "ROOT-HOLDER PID" of its
// QEMU's arguments, and waits for ever.
#include <unistd.h>

#include <cstdio>

#include "host/machine/libvirt_hypervisor.h"
#include "host/machine/test_guest.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto fail = [](const mmquake::Error& error) {
    std::fprintf(stderr, "%s\n", error.message.c_str());
    return 3;
  };
  auto request = mmquake::test_boot("orphan", "spin", argv[1]);
  if (!request) return fail(request.error());
  auto hypervisor = mmquake::LibvirtHypervisor::open();
  if (!hypervisor) return fail(hypervisor.error());
  auto machine = (*hypervisor)->start(*request);
  if (!machine) return fail(machine.error());
  std::puts("started");
  std::fflush(stdout);
  for (;;) pause();
}
