// SPDX-License-Identifier: GPL-2.0-or-later
//
// How often the kernel has called one of its functions: a kprobe event of tracefs, which kernels as
// distributions build them have (CONFIG_KPROBE_EVENTS). It only counts; the widener delays.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// Counts while it lives. The whole machine's calls, so it is meant for a guest.
class ProbeCount {
 public:
  // The first of `functions` that a probe can be put on; what became a part of another function has
  // no name any more. An error of kind kSkipped names them all. `tracing` is tracefs.
  static Result<ProbeCount> start(const std::vector<std::string>& functions,
                                  std::string tracing = "/sys/kernel/debug/tracing");
  ProbeCount(ProbeCount&& other) noexcept : tracing_(std::move(other.tracing_)) {
    function_.swap(other.function_);
  }
  ProbeCount& operator=(ProbeCount&& other) noexcept {
    tracing_.swap(other.tracing_);
    function_.swap(other.function_);
    return *this;
  }
  ProbeCount(const ProbeCount&) = delete;
  ProbeCount& operator=(const ProbeCount&) = delete;
  ~ProbeCount();

  const std::string& function() const { return function_; }
  Result<std::uint64_t> calls() const;

 private:
  ProbeCount(std::string tracing, std::string function)
      : tracing_(std::move(tracing)), function_(std::move(function)) {}

  std::string tracing_;
  std::string function_;  // empty: moved from
};

// The hits of an event in tracefs' kprobe_profile; nullopt when it is not in there.
std::optional<std::uint64_t> hits_in_profile(std::string_view text, std::string_view event);

}  // namespace mmquake
