// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/probe_count.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

constexpr const char* kGroup = "mmquake";

// One more line, or one less, in tracefs' list of probes: each write is a command.
bool command(const std::string& tracing, const std::string& text) {
  const UniqueFd fd(open((tracing + "/kprobe_events").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Result<ProbeCount> ProbeCount::start(const std::vector<std::string>& functions,
                                     std::string tracing) {
  for (const std::string& function : functions) {
    if (!command(tracing, fmt::format("p:{}/{} {}\n", kGroup, function, function))) {
      continue;
    }
    ProbeCount probe(tracing, function);
    // A probe counts only while its event is on.
    const std::string enable = fmt::format("{}/events/{}/{}/enable", tracing, kGroup, function);
    if (Result<> on = write_text(enable, "1\n"); !on) {
      return context("count calls of " + function, on.error());
    }
    return probe;
  }
  return skipped(fmt::format("no probe on any of {}: it needs CONFIG_KPROBE_EVENTS and one of them",
                             fmt::join(functions, ", ")));
}

ProbeCount::~ProbeCount() {
  if (!function_.empty()) {
    // A guest that ends has no use for the errors.
    (void)write_text(fmt::format("{}/events/{}/{}/enable", tracing_, kGroup, function_), "0\n");
    (void)command(tracing_, fmt::format("-:{}/{}\n", kGroup, function_));
  }
}

Result<std::uint64_t> ProbeCount::calls() const {
  const Result<std::string> text = read_text(tracing_ + "/kprobe_profile");
  if (!text) {
    return context("count calls of " + function_, text.error());
  }
  const std::optional<std::uint64_t> hits = hits_in_profile(*text, function_);
  return hits ? Result<std::uint64_t>(*hits)
              : Result<std::uint64_t>(broken("tracefs' kprobe_profile has no " + function_));
}

std::optional<std::uint64_t> hits_in_profile(std::string_view text, std::string_view event) {
  while (const std::optional<std::string_view> line = next_line(text)) {
    std::string_view rest = *line;
    if (next_word(rest) == event) {
      return to_number(next_word(rest));
    }
  }
  return std::nullopt;
}

}  // namespace mmquake
