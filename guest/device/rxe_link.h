// SPDX-License-Identifier: GPL-2.0-or-later
//
// Soft-RoCE (CONFIG_RDMA_RXE): an RDMA device whose hardware is a network device and the CPU.
#pragma once

#include <string>

#include "guest/protocol/result.h"

namespace mmquake {

// Names of the kernel's: at most 15 characters.
struct RxeLink {
  std::string device = "rxe0";
  // Has no wire: what it sends comes back at once. There is one by that name (CONFIG_DUMMY).
  std::string netdev = "dummy0";
};

// Gives the network device an address and a large MTU, brings it up, and puts the RDMA device on
// it. Nothing is undone: meant for a guest. What is there already is no error. An error of kind
// kSkipped names what the kernel lacks.
Result<> add_rxe_link(const RxeLink& link = {});

}  // namespace mmquake
