// SPDX-License-Identifier: GPL-2.0-or-later
//
// A program of the user's on its way into the guest: compiled, or looked at, so that it runs in an
// image that holds nothing else.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "guest/protocol/result.h"

namespace mmquake {

struct PayloadSource {
  enum class Kind { kC, kBinary, kScript };
  Kind kind = Kind::kC;
  std::filesystem::path file;
};
// "c", "binary", "script": as the options are called.
std::string to_string(PayloadSource::Kind kind);

// What goes into the image: /payload/run, and a shell for a script.
struct Payload {
  std::filesystem::path program;
  std::optional<std::filesystem::path> busybox;  // as /bin/busybox and /bin/sh
};

// kC: compiled by cc or c++ (.cc, .cpp, .cxx), statically, into `folder`. A program that does not
// compile is a usage error with the compiler's words; one without a compiler or a static busybox
// says what to install; one that needs shared libraries is refused.
Result<Payload> prepare_payload(const PayloadSource& source, const std::filesystem::path& folder);

// Is it an ELF program for x86_64 that needs no interpreter? The error says what it is instead.
Result<> check_static_program(const std::filesystem::path& file);

}  // namespace mmquake
