// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/rxe_link.h"

#include <fmt/core.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <rdma/rdma_netlink.h>

#include <array>
#include <memory>

namespace mmquake {
namespace {

// Of 192.0.2.0/24, which is for documentation (RFC 5737). The kernel makes a GID of it.
constexpr std::array<unsigned char, 4> kAddress{192, 0, 2, 1};
// So that a packet carries 4096 bytes, the most that RDMA has.
constexpr unsigned kMtu = 9000;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* what) const {
    Free(what);
  }
};
using Socket = std::unique_ptr<nl_sock, Freer<nl_socket_free>>;
using Link = std::unique_ptr<rtnl_link, Freer<rtnl_link_put>>;
using Address = std::unique_ptr<rtnl_addr, Freer<rtnl_addr_put>>;
using Bytes = std::unique_ptr<nl_addr, Freer<nl_addr_put>>;

// libnl's functions return 0 or -NLE_*.
tl::unexpected<Error> failed(const std::string& what, int error) {
  return broken(fmt::format("soft-RoCE: {}: {}", what, nl_geterror(error)));
}

Socket connect_to(int protocol) {
  Socket socket(nl_socket_alloc());
  if (socket && nl_connect(socket.get(), protocol) < 0) {
    socket.reset();
  }
  return socket;
}

Result<> bring_up(const std::string& netdev) {
  const Socket socket = connect_to(NETLINK_ROUTE);
  if (!socket) {
    return skipped("soft-RoCE: this kernel has no network (CONFIG_NET)");
  }
  rtnl_link* found = nullptr;
  if (rtnl_link_get_kernel(socket.get(), 0, netdev.c_str(), &found) < 0) {
    return skipped(
        fmt::format("soft-RoCE: this kernel has no network device {} (CONFIG_DUMMY)", netdev));
  }
  const Link link(found);
  const Link change(rtnl_link_alloc());
  const Address address(rtnl_addr_alloc());
  const Bytes bytes(nl_addr_build(AF_INET, kAddress.data(), kAddress.size()));
  if (!change || !address || !bytes) {
    return broken("soft-RoCE: no memory for a netlink message");
  }
  rtnl_link_set_mtu(change.get(), kMtu);
  rtnl_link_set_flags(change.get(), IFF_UP);
  if (const int error = rtnl_link_change(socket.get(), link.get(), change.get(), 0); error < 0) {
    return failed("bring up " + netdev, error);
  }
  rtnl_addr_set_ifindex(address.get(), rtnl_link_get_ifindex(link.get()));
  rtnl_addr_set_local(address.get(), bytes.get());
  const int error = rtnl_addr_add(socket.get(), address.get(), 0);
  if (error < 0 && error != -NLE_EXIST) {
    return failed("give an address to " + netdev, error);
  }
  return {};
}

}  // namespace

// The address first: the kernel makes the device's GIDs of what is there when the device comes, and
// of later addresses some time later.
Result<> add_rxe_link(const RxeLink& link) {
  if (Result<> up = bring_up(link.netdev); !up) {
    return up;
  }
  const Socket socket = connect_to(NETLINK_RDMA);
  if (!socket) {
    return skipped("soft-RoCE: this kernel has no RDMA (CONFIG_INFINIBAND)");
  }
  nl_msg* message =
      nlmsg_alloc_simple(RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK), NLM_F_REQUEST);
  if (message == nullptr) {
    return broken("soft-RoCE: no memory for a netlink message");
  }
  nla_put_string(message, RDMA_NLDEV_ATTR_DEV_NAME, link.device.c_str());
  nla_put_string(message, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
  nla_put_string(message, RDMA_NLDEV_ATTR_NDEV_NAME, link.netdev.c_str());
  const int error = nl_send_sync(socket.get(), message);  // frees it
  if (error == -NLE_INVAL || error == -NLE_OPNOTSUPP) {
    return skipped("soft-RoCE: this kernel knows no link of type rxe (CONFIG_RDMA_RXE)");
  }
  if (error < 0 && error != -NLE_EXIST) {
    return failed(fmt::format("add {} on {}", link.device, link.netdev), error);
  }
  return {};
}

}  // namespace mmquake
