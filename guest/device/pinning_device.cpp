// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/pinning_device.h"

#include <string>

#include "guest/device/gup_test.h"
#include "guest/device/io_uring_buffer.h"
#include "guest/device/rdma_buffer.h"
#include "guest/device/vmsplice_holder.h"

namespace mmquake {
namespace {

template <typename Device>
Result<std::unique_ptr<PinningDevice>> opened(Result<std::unique_ptr<Device>> device) {
  if (!device) {
    return tl::make_unexpected(device.error());
  }
  return std::unique_ptr<PinningDevice>(std::move(*device));
}

}  // namespace

Result<std::unique_ptr<PinningDevice>> open_pinning_device(std::string_view name) {
  if (name == "io_uring") {
    return opened(IoUringBuffer::open());
  }
  if (name == "rxe") {
    return opened(RdmaBuffer::open());
  }
  if (name == "gup_test-hold") {
    return opened(GupTest::open_to_hold());
  }
  if (name == "vmsplice") {
    return opened(VmspliceHolder::open());
  }
  return broken("there is no pinning device '" + std::string(name) + "'");
}

}  // namespace mmquake
