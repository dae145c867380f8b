// SPDX-License-Identifier: GPL-2.0-or-later
//
// What kbuild prints, read for progress and for the reason of a failure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake::kernel {

// How far a build is. kbuild walks through its folders in one order, so an object's place in the
// last whole build tells how much of the way is behind, also when only a few objects are made.
class MakeProgress {
 public:
  // `before`: the objects of the last whole build, in order; empty when there was none.
  explicit MakeProgress(std::vector<std::string> before);

  void line(std::string_view text);

  // 0 to 0.99, never falls; negative before the first object.
  double fraction() const { return fraction_; }
  // "mm/rmap.o, 812 objects"; with "about 2 min left" once that can be said.
  std::string detail(double seconds) const;
  // What the next build shall know: these objects, or the ones before when this build made only a
  // part of them.
  const std::vector<std::string>& objects() const;

 private:
  std::vector<std::string> before_;
  std::unordered_map<std::string, std::size_t> place_;
  std::vector<std::string> made_;
  std::string current_;
  double fraction_ = -1;
  bool skips_ = false;  // most objects are kept from the last build
};

// The object of a line such as "  CC      mm/rmap.o"; empty when the line is of another kind.
std::string_view object_in(std::string_view line);

// Finds the line that says why a build failed.
class FailureReason {
 public:
  void line(std::string_view text);
  // Empty when nothing looked like a reason.
  const std::string& text() const { return reason_; }
  bool no_space() const { return no_space_; }
  // This host stopped the build, whatever the source is like: no space, no memory, a signal, a tool
  // that is not there.
  bool is_hosts() const { return is_hosts_ || no_space_; }

 private:
  std::string reason_;
  int rank_ = 0;  // how good the reason is
  bool no_space_ = false;
  bool is_hosts_ = false;
};

}  // namespace mmquake::kernel
