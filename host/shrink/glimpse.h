// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace mmquake {

// What one trial says of the bug that is looked for.
struct Glimpse {
  enum class Says {
    kFound,
    kNotFound,
    kOther,  // it found something else first, so nobody knows
    kCannot  // this machine or kernel cannot run it, or has no such place to delay
  };
  Says says = Says::kNotFound;
  double seconds = 0;  // guest time until it was found
};

}  // namespace mmquake
