// SPDX-License-Identifier: GPL-2.0-or-later
//
// vmsplice: pages in a pipe, held by short-term references, wherever they lie.
#pragma once

#include <memory>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Reads through the pages in the pipe and cannot write to them. The pipe is made as large as the
// range; more than 1 MiB needs CAP_SYS_RESOURCE.
class VmspliceHolder final : public PinningDevice {
 public:
  static Result<std::unique_ptr<VmspliceHolder>> open();

  std::string_view name() const override { return "vmsplice"; }
  bool long_term() const override { return false; }
  int pin(std::uintptr_t address, std::size_t bytes) override;
  Result<> unpin() override;
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  struct Pipe {
    UniqueFd out, in;
  };
  static Result<Pipe> open_pipe(std::size_t bytes);

  Pipe pipe_;
  std::uintptr_t address_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace mmquake
