// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory that is registered with an RDMA device, and read and written by it as if from another
// machine: the device (rxe_link.h) is connected to itself.
#pragma once

#include <infiniband/verbs.h>

#include <memory>
#include <string>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Pins with FOLL_WRITE | FOLL_LONGTERM (drivers/infiniband/core/umem.c, ib_umem_get). The device
// reaches the pages by the kernel's own mapping of them. From one thread at a time.
//
// Before 6.15 soft-RoCE cannot do without the pin: it has no on-demand paging.
class RdmaBuffer final : public PinningDevice {
 public:
  // Makes the device if there is none. An error of kind kSkipped names what the kernel lacks.
  static Result<std::unique_ptr<RdmaBuffer>> open();

  std::string_view name() const override { return "rxe"; }
  bool long_term() const override { return true; }
  // ibv_reg_mr and ibv_dereg_mr.
  int pin(std::uintptr_t address, std::size_t bytes) override;
  Result<> unpin() override;
  // RDMA READ and RDMA WRITE, in parts of at most 64 KiB.
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  template <auto Free>
  struct Freer {
    template <typename T>
    void operator()(T* what) const {
      Free(what);
    }
  };
  RdmaBuffer() = default;
  Result<> open_device();
  Result<> make_queues();
  Result<> connect_to_itself();
  Result<> prepare_staging();
  // One operation between the pinned range and the staging area, until it is complete.
  Result<> transfer(ibv_wr_opcode opcode, std::uintptr_t address, std::size_t bytes);
  Result<> wait_for_completion();

  // Freed from the last to the first.
  std::unique_ptr<ibv_context, Freer<ibv_close_device>> context_;
  std::unique_ptr<ibv_pd, Freer<ibv_dealloc_pd>> domain_;
  std::unique_ptr<ibv_comp_channel, Freer<ibv_destroy_comp_channel>> channel_;
  std::unique_ptr<ibv_cq, Freer<ibv_destroy_cq>> completions_;
  std::unique_ptr<ibv_qp, Freer<ibv_destroy_qp>> queue_;
  Mapping staging_;  // what the near end of an operation reads or writes
  std::unique_ptr<ibv_mr, Freer<ibv_dereg_mr>> staging_region_;
  std::unique_ptr<ibv_mr, Freer<ibv_dereg_mr>> region_;  // the pinned range; null: there is none
};

}  // namespace mmquake
