// SPDX-License-Identifier: GPL-2.0-or-later
//
// Tells the widener module where to delay, and asks it what it did.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace mmquake {

class WidenerControl {
 public:
  // `directory` is where the module has its control and sites files.
  explicit WidenerControl(std::string directory = "/sys/kernel/debug/mmquake_widener")
      : directory_(std::move(directory)) {}

  // Replaces all sites and starts to delay. Call it while no role runs. Kind kSkipped: the module
  // is not loaded, or this kernel lacks a symbol. On an error nothing is delayed.
  Result<> configure(const std::vector<WidenSite>& sites, std::uint64_t seed);

  // One entry a site, in the order in which they were configured.
  Result<std::vector<WidenerCount>> read() const;

  // Lets every task pass from now on. Sites and counts stay, and no code is patched, so roles may
  // still run.
  Result<> disable();

 private:
  // One write, as the module wants it. The result is 0 or an errno.
  int command(const std::string& text) const;
  // The first of its names that the kernel has. The result is 0 or an errno.
  int add(const WidenSite& site) const;
  Result<> order(const std::string& text) const;

  std::string directory_;
};

// Of "folio_mc_copy|folio_copy", which a place is called in different kernels, each.
std::vector<std::string> names_of(const WidenSite& site);

// The module's command for a site with one name.
std::string add_command(const WidenSite& site);

// Why the module refused a site, and what to do about it.
Error site_error(const WidenSite& site, int error);

// The sites file. An error quotes the line that it cannot read.
Result<std::vector<WidenerCount>> parse_widener_sites(std::string_view text);

}  // namespace mmquake
