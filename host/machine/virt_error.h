// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// libvirt's last error on this thread as kBroken: "doing: what libvirt says".
tl::unexpected<Error> virt_error(std::string_view doing);

// libvirt prints errors and warnings to stderr by itself; ends that. Idempotent. A log that the
// user asked for with LIBVIRT_LOG_OUTPUTS stays.
void quieten_libvirt();

}  // namespace mmquake
