// SPDX-License-Identifier: GPL-2.0-or-later
// rdma-core's way to have a provider in a static program.
#define RDMA_STATIC_PROVIDERS rxe
#include "guest/device/rdma_buffer.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "guest/device/rxe_link.h"

namespace mmquake {
namespace {

constexpr std::size_t kStagingBytes = 64UL * 1024;
constexpr std::uint8_t kPort = 1;  // soft-RoCE has no other
// The network is a function call: what takes so long is lost for good.
constexpr int kCompletionLimitMs = 30'000;
// 4.1 us * 2^18: a second until a packet is sent again, and seven times in all.
constexpr std::uint8_t kAckTimeout = 18;
constexpr std::uint8_t kRetries = 7;
constexpr int kRegionAccess =
    IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;

tl::unexpected<Error> failed(const char* what, int error) {
  return broken(fmt::format("rxe: {}: {}", what, errno_text(error)));
}

// The GID that stands for an IPv4 address, ::ffff:a.b.c.d: the others need IPv6.
std::optional<std::pair<std::uint8_t, ibv_gid>> ipv4_gid(ibv_context* context,
                                                         const ibv_port_attr& port) {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const int count = std::min(port.gid_tbl_len, 256);
  for (int index = 0; index < count; ++index) {
    ibv_gid gid{};
    if (ibv_query_gid(context, kPort, index, &gid) == 0 &&
        std::equal(kMapped.begin(), kMapped.end(), gid.raw)) {
      return std::pair(static_cast<std::uint8_t>(index), gid);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<RdmaBuffer>> RdmaBuffer::open() {
  if (Result<> linked = add_rxe_link(); !linked) {
    return tl::make_unexpected(linked.error());
  }
  std::unique_ptr<RdmaBuffer> buffer(new RdmaBuffer);
  for (const auto step : {&RdmaBuffer::open_device, &RdmaBuffer::make_queues,
                          &RdmaBuffer::connect_to_itself, &RdmaBuffer::prepare_staging}) {
    if (Result<> done = (buffer.get()->*step)(); !done) {
      return tl::make_unexpected(done.error());
    }
  }
  return buffer;
}

Result<> RdmaBuffer::open_device() {
  const RxeLink link;
  int count = 0;
  ibv_device** list = ibv_get_device_list(&count);
  ibv_device** end = list + count;
  ibv_device** mine = std::find_if(list, end, [&link](ibv_device* device) {
    return link.device == ibv_get_device_name(device);
  });
  if (mine != end) {
    context_.reset(ibv_open_device(*mine));
  }
  const int error = errno;
  if (list != nullptr) {
    ibv_free_device_list(list);
  }
  if (!context_) {
    return skipped(
        fmt::format("rxe: {} cannot be opened from user space ({}): CONFIG_INFINIBAND_USER_ACCESS?",
                    link.device, errno_text(error)));
  }
  return {};
}

Result<> RdmaBuffer::make_queues() {
  domain_.reset(ibv_alloc_pd(context_.get()));
  channel_.reset(domain_ ? ibv_create_comp_channel(context_.get()) : nullptr);
  completions_.reset(channel_ ? ibv_create_cq(context_.get(), 16, nullptr, channel_.get(), 0)
                              : nullptr);
  if (!completions_) {
    return failed("protection domain and completion queue", errno);
  }
  ibv_qp_init_attr wanted{};
  wanted.send_cq = completions_.get();
  wanted.recv_cq = completions_.get();
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap = {.max_send_wr = 4,
                .max_recv_wr = 1,
                .max_send_sge = 1,
                .max_recv_sge = 1,
                .max_inline_data = 0};
  queue_.reset(ibv_create_qp(domain_.get(), &wanted));
  return queue_ ? Result<>() : Result<>(failed("queue pair", errno));
}

// INIT, ready to receive, ready to send; the peer is the queue pair itself.
Result<> RdmaBuffer::connect_to_itself() {
  ibv_port_attr port{};
  if (const int error = ibv_query_port(context_.get(), kPort, &port); error != 0) {
    return failed("query the port", error);
  }
  const auto gid = ipv4_gid(context_.get(), port);
  if (!gid) {
    return broken(fmt::format("rxe: the port has no GID of an IPv4 address; its state is '{}'",
                              ibv_port_state_str(port.state)));
  }
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_INIT;
  attr.port_num = kPort;
  attr.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  int error = ibv_modify_qp(queue_.get(), &attr,
                            IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  if (error != 0) {
    return failed("queue pair to INIT", error);
  }
  attr.qp_state = IBV_QPS_RTR;
  attr.path_mtu = port.active_mtu;
  attr.dest_qp_num = queue_->qp_num;
  attr.max_dest_rd_atomic = 1;
  attr.min_rnr_timer = 12;
  attr.ah_attr.is_global = 1;
  attr.ah_attr.port_num = kPort;
  attr.ah_attr.grh.dgid = gid->second;
  attr.ah_attr.grh.sgid_index = gid->first;
  attr.ah_attr.grh.hop_limit = 1;
  error = ibv_modify_qp(queue_.get(), &attr,
                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                            IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (error != 0) {
    return failed("queue pair to RTR", error);
  }
  attr.qp_state = IBV_QPS_RTS;
  attr.timeout = kAckTimeout;
  attr.retry_cnt = kRetries;
  attr.rnr_retry = kRetries;
  attr.max_rd_atomic = 1;
  error = ibv_modify_qp(queue_.get(), &attr,
                        IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                            IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
  return error == 0 ? Result<>() : Result<>(failed("queue pair to RTS", error));
}

// Shared memory: of private memory that is pinned, a fork would copy all.
Result<> RdmaBuffer::prepare_staging() {
  Result<Mapping> staging = Mapping::create(Backing::kShmem4k, kStagingBytes);
  if (!staging) {
    return tl::make_unexpected(staging.error());
  }
  staging_ = std::move(*staging);
  staging_region_.reset(
      ibv_reg_mr(domain_.get(), staging_.data(), kStagingBytes, IBV_ACCESS_LOCAL_WRITE));
  return staging_region_ ? Result<>() : Result<>(failed("register the staging area", errno));
}

int RdmaBuffer::pin(std::uintptr_t address, std::size_t bytes) {
  if (region_) {
    return EBUSY;
  }
  region_.reset(ibv_reg_mr(domain_.get(), reinterpret_cast<void*>(address), bytes, kRegionAccess));
  return region_ ? 0 : errno;
}

Result<> RdmaBuffer::unpin() {
  if (!region_) {
    return broken("rxe: nothing is registered");
  }
  if (const int error = ibv_dereg_mr(region_.get()); error != 0) {
    return failed("deregister", error);
  }
  static_cast<void>(region_.release());  // it is gone
  return {};
}

Result<> RdmaBuffer::read(std::uintptr_t address, void* to, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(bytes - done, kStagingBytes);
    if (Result<> moved = transfer(IBV_WR_RDMA_READ, address + done, part); !moved) {
      return moved;
    }
    std::memcpy(static_cast<std::byte*>(to) + done, staging_.data(), part);
    done += part;
  }
  return {};
}

Result<> RdmaBuffer::write(std::uintptr_t address, const void* from, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(bytes - done, kStagingBytes);
    std::memcpy(staging_.data(), static_cast<const std::byte*>(from) + done, part);
    if (Result<> moved = transfer(IBV_WR_RDMA_WRITE, address + done, part); !moved) {
      return moved;
    }
    done += part;
  }
  return {};
}

Result<> RdmaBuffer::transfer(ibv_wr_opcode opcode, std::uintptr_t address, std::size_t bytes) {
  const auto begin = region_ ? reinterpret_cast<std::uintptr_t>(region_->addr) : 0;
  if (!region_ || address < begin || bytes > region_->length ||
      address - begin > region_->length - bytes) {
    return broken(fmt::format("rxe: {} bytes are outside of the registered range", bytes));
  }
  ibv_sge near{};
  near.addr = staging_.address();
  near.length = static_cast<std::uint32_t>(bytes);
  near.lkey = staging_region_->lkey;
  ibv_send_wr work{};
  work.sg_list = &near;
  work.num_sge = 1;
  work.opcode = opcode;
  work.send_flags = IBV_SEND_SIGNALED;
  work.wr.rdma.remote_addr = address;
  work.wr.rdma.rkey = region_->rkey;
  ibv_send_wr* refused = nullptr;
  if (const int error = ibv_req_notify_cq(completions_.get(), 0); error != 0) {
    return failed("ask for a completion", error);
  }
  if (const int error = ibv_post_send(queue_.get(), &work, &refused); error != 0) {
    return failed("post an operation", error);
  }
  return wait_for_completion();
}

Result<> RdmaBuffer::wait_for_completion() {
  pollfd event{channel_->fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&event, 1, kCompletionLimitMs);
  } while (ready < 0 && errno == EINTR);
  if (ready != 1) {
    return broken(
        fmt::format("rxe: an operation was not complete after {} ms", kCompletionLimitMs));
  }
  ibv_cq* queue = nullptr;
  void* unused = nullptr;
  if (ibv_get_cq_event(channel_.get(), &queue, &unused) != 0) {
    return failed("take a completion's event", errno);
  }
  ibv_ack_cq_events(queue, 1);
  ibv_wc done{};
  if (ibv_poll_cq(completions_.get(), 1, &done) != 1) {
    return broken("rxe: an event without a completion");
  }
  if (done.status != IBV_WC_SUCCESS) {
    return broken(fmt::format("rxe: an operation failed: {}", ibv_wc_status_str(done.status)));
  }
  return {};
}

}  // namespace mmquake
