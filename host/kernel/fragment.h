// SPDX-License-Identifier: GPL-2.0-or-later
//
// Configuration fragments, and whether kconfig kept what they ask for.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake::kernel {

struct Fragment {
  std::filesystem::path file;  // where it was read
  std::string text;
};

// What each option shall be, a later line before an earlier one. "n" is off: CONFIG_X=n and
// "# CONFIG_X is not set". A line may end with "# where it exists": not every series has the
// option. Usage error with file and line when a line is neither an option nor a comment.
Result<std::map<std::string, std::string>> wanted_options(const std::vector<Fragment>& fragments);

// `config` with the options of the fragments in place of its own.
Result<std::string> merge(std::string_view config, const std::vector<Fragment>& fragments);

// Error of the kind kSkipped that lists every option that `config`, as olddefconfig left it, has
// otherwise, and how it has it. One that may be lacking is fine when there is no trace of it.
Result<> check_options(const std::vector<Fragment>& fragments, std::string_view config);

}  // namespace mmquake::kernel
