// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/make_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mmquake::kernel {
namespace {

// Objects of a small kernel, for the first build of a tree. Measured: base.config on 6.1.
constexpr std::size_t kTypicalObjects = 1280;

// What compiler, linker and make say when they were ended, or got no memory.
constexpr std::array<std::string_view, 5> kHostWords = {
    "Killed", "Terminated", "Cannot allocate memory", "virtual memory exhausted",
    "memory exhausted"};

constexpr std::array<std::string_view, 5> kObjectTags = {"CC", "AS", "LD", "HOSTCC", "HOSTLD"};

std::string time_left(double seconds) {
  if (seconds < 90) return fmt::format("about {:.0f} s left", std::max(1.0, seconds));
  return fmt::format("about {:.0f} min left", seconds / 60);
}

}  // namespace

std::string_view object_in(std::string_view line) {
  if (!line.starts_with("  ")) return {};
  line.remove_prefix(2);
  const std::size_t tag_end = line.find(' ');
  if (tag_end == std::string_view::npos) return {};
  const std::string_view tag = line.substr(0, tag_end);
  if (std::find(kObjectTags.begin(), kObjectTags.end(), tag) == kObjectTags.end()) return {};
  std::string_view rest = line.substr(tag_end);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (rest.starts_with("[M] ")) {
    rest.remove_prefix(4);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  }
  return rest.substr(0, rest.find(' '));
}

MakeProgress::MakeProgress(std::vector<std::string> before) : before_(std::move(before)) {
  for (std::size_t i = 0; i < before_.size(); ++i) place_.emplace(before_[i], i + 1);
}

void MakeProgress::line(std::string_view text) {
  const std::string_view object = object_in(text);
  if (object.empty()) return;
  current_ = object;
  made_.push_back(current_);
  std::size_t done = made_.size();
  std::size_t of = kTypicalObjects;
  if (!before_.empty()) {
    const auto found = place_.find(current_);
    if (found == place_.end()) return;
    done = found->second;
    of = before_.size();
    skips_ = made_.size() * 2 < done;
  }
  const double now = static_cast<double>(done) / static_cast<double>(of);
  fraction_ = std::max(fraction_, std::min(now, 0.99));
}

std::string MakeProgress::detail(double seconds) const {
  if (made_.empty()) return "looking for what has to be compiled";
  std::string text = fmt::format("{}, {} objects", current_, made_.size());
  // Earlier, the estimate would jump about; and when most objects are kept, what is left cannot be
  // told from what was done.
  if (seconds > 5 && !skips_ && fraction_ > 0.05 && fraction_ < 0.99) {
    text += ", " + time_left(seconds * (1 - fraction_) / fraction_);
  }
  return text;
}

const std::vector<std::string>& MakeProgress::objects() const {
  return made_.size() * 2 >= before_.size() ? made_ : before_;
}

void FailureReason::line(std::string_view text) {
  if (text.find("No space left on device") != std::string_view::npos) no_space_ = true;
  const bool no_tool = text.starts_with("/bin/sh: ") && text.ends_with(": not found");
  is_hosts_ = is_hosts_ || no_tool ||
              std::any_of(kHostWords.begin(), kHostWords.end(), [&](std::string_view word) {
                return text.find(word) != std::string_view::npos;
              });
  int rank = 0;
  if (text.find(": error: ") != std::string_view::npos ||
      text.find(": fatal error: ") != std::string_view::npos ||
      text.find("undefined reference to") != std::string_view::npos ||
      text.find("undefined!") != std::string_view::npos) {
    rank = 4;
  } else if (text.starts_with("ERROR: ") || text.starts_with("error: ") ||
             text.find("internal compiler error") != std::string_view::npos) {
    rank = 3;
  } else if (text.find(": not found") != std::string_view::npos ||
             text.find(": can't open file ") != std::string_view::npos ||
             text.find("Killed") != std::string_view::npos ||
             text.find("Error: ") != std::string_view::npos) {
    rank = 2;
  } else if (text.find("*** ") != std::string_view::npos) {
    rank = 1;
  }
  // The first of the best kind: what comes later follows from it.
  if (rank > rank_) {
    rank_ = rank;
    reason_ = text;
  }
}

}  // namespace mmquake::kernel
