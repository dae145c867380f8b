// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/bug_switches.h"

#include <filesystem>
#include <fstream>
#include <system_error>

namespace mmquake {

Counters bug_hits(const std::string& root) {
  namespace fs = std::filesystem;
  Counters out;
  std::error_code none;  // no such directory: no switches
  for (const fs::directory_entry& entry : fs::directory_iterator(root, none)) {
    std::string on;
    std::uint64_t hits = 0;
    std::ifstream(entry.path() / "on") >> on;
    std::ifstream(entry.path() / "hits") >> hits;
    if (on == "Y") out[std::string(kBugHits) + entry.path().filename().string()] = hits;
  }
  return out;
}

}  // namespace mmquake
