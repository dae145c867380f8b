// SPDX-License-Identifier: GPL-2.0-or-later
//
// A device that reaches memory by references that it holds itself.
#pragma once

#include <memory>
#include <string_view>

#include "guest/device/device_mirror.h"
#include "guest/device/pinner.h"

namespace mmquake {

// read() and write() need a pinned range that holds theirs.
class PinningDevice : public Pinner, public DeviceMirror {
 public:
  std::string_view name() const override = 0;
};

// "io_uring", "rxe" and "gup_test-hold" pin for long, "vmsplice" holds short-term references and
// cannot write. An error of kind kSkipped names what the kernel lacks.
Result<std::unique_ptr<PinningDevice>> open_pinning_device(std::string_view name);

}  // namespace mmquake
