// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/virt_error.h"

#include <libvirt/virterror.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace mmquake {

tl::unexpected<Error> virt_error(std::string_view doing) {
  const virErrorPtr error = virGetLastError();
  const char* text =
      error != nullptr && error->message != nullptr ? error->message : "libvirt gave no reason";
  return broken(std::string(doing) + ": " + text);
}

void quieten_libvirt() {
  static std::once_flag once;
  std::call_once(once, [] {
    // What matters of it comes back as errors; LIBVIRT_LOG_OUTPUTS of the user wins.
    setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
  });
}

}  // namespace mmquake
