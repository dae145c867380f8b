// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/widener/widener_control.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <optional>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

// As in control.c.
constexpr std::uint64_t kMaxUs = 10000000;
constexpr std::size_t kMaxComm = 15;

std::optional<std::string> out_of_range(const WidenSite& site) {
  if (site.site.empty() || site.site.find_first_of(" \t\n") != std::string::npos) {
    return "its name must be SYMBOL, SYMBOL+0xOFFSET or several with '|' between, without a blank";
  }
  if (site.min_us > site.max_us || site.max_us > kMaxUs) {
    return fmt::format("the delay {}..{} us must be an interval within 0..{} us", site.min_us,
                       site.max_us, kMaxUs);
  }
  if (!(site.probability >= 0 && site.probability <= 1)) {
    return fmt::format("the probability {} must be within 0..1", site.probability);
  }
  if (site.mode != "auto" && site.mode != "spin") {
    return fmt::format("the mode '{}' must be auto or spin", site.mode);
  }
  if (site.comm.size() > kMaxComm || site.comm.find_first_of(" \t\n") != std::string::npos) {
    return fmt::format("the thread name '{}' must have at most {} characters and no blank",
                       site.comm, kMaxComm);
  }
  return std::nullopt;
}

bool take_number(std::string_view word, std::string_view key, std::uint64_t& value) {
  if (!word.starts_with(key) || word.size() <= key.size() || word[key.size()] != '=') {
    return false;
  }
  const std::optional<std::uint64_t> number = to_number(word.substr(key.size() + 1));
  value = number.value_or(0);
  return number.has_value();
}

}  // namespace

std::string add_command(const WidenSite& site) {
  return fmt::format("add {} {} {} {} {}{}{}", site.site, site.min_us, site.max_us,
                     std::llround(site.probability * 1e6), site.mode, site.comm.empty() ? "" : " ",
                     site.comm);
}

std::vector<std::string> names_of(const WidenSite& site) {
  std::vector<std::string> names;
  std::string_view rest = site.site;
  for (std::size_t bar = rest.find('|'); bar != std::string_view::npos; bar = rest.find('|')) {
    names.emplace_back(rest.substr(0, bar));
    rest.remove_prefix(bar + 1);
  }
  names.emplace_back(rest);
  return names;
}

Error site_error(const WidenSite& site, int error) {
  const std::string what = fmt::format("widen at '{}': ", site.site);
  switch (error) {
    case ENOENT:
      return {ErrorKind::kSkipped,
              what + "this kernel has no such symbol (look for it in /proc/kallsyms)"};
    case EEXIST:
      return {ErrorKind::kUsage, what + "another site of this trial has the same address"};
    case EILSEQ:
      return {ErrorKind::kUsage, what + "the offset is not the start of an instruction"};
    case EINVAL:
      return {ErrorKind::kUsage,
              what + "the kernel allows no probe there (see /sys/kernel/debug/kprobes/blacklist)"};
    default:
      return {ErrorKind::kBroken, what + errno_text(error)};
  }
}

int WidenerControl::command(const std::string& text) const {
  // O_APPEND means nothing to debugfs; in a test's plain file it keeps every command.
  const UniqueFd fd(open((directory_ + "/control").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd) {
    return errno;
  }
  const std::string line = text + "\n";
  const ssize_t put = write(fd.get(), line.data(), line.size());
  if (put < 0) {
    return errno;
  }
  return static_cast<std::size_t>(put) == line.size() ? 0 : EIO;
}

int WidenerControl::add(const WidenSite& site) const {
  int error = ENOENT;
  for (const std::string& name : names_of(site)) {
    WidenSite one = site;
    one.site = name;
    error = command(add_command(one));
    if (error != ENOENT) {
      break;
    }
  }
  return error;
}

Result<> WidenerControl::order(const std::string& text) const {
  if (const int error = command(text); error != 0) {
    return broken(fmt::format("tell the widener '{}' through {}/control: {}", text, directory_,
                              errno_text(error)));
  }
  return {};
}

Result<> WidenerControl::configure(const std::vector<WidenSite>& sites, std::uint64_t seed) {
  if (access((directory_ + "/control").c_str(), F_OK) != 0) {
    return skipped(
        fmt::format("the widener module is not loaded: there is no {}/control; build "
                    "the kernel with mmquake, or run without widening",
                    directory_));
  }
  for (const WidenSite& site : sites) {
    if (const std::optional<std::string> why = out_of_range(site)) {
      return usage(fmt::format("widen at '{}': {}", site.site, *why));
    }
  }
  for (const std::string& text :
       {std::string("enable 0"), std::string("clear"), fmt::format("seed {}", seed)}) {
    if (Result<> done = order(text); !done) {
      return done;
    }
  }
  for (const WidenSite& site : sites) {
    const int error = add(site);
    const bool is_no_place = error == ENOENT || error == EINVAL || error == EEXIST;
    if (error != 0 && !(is_no_place && site.may_miss)) {
      return tl::make_unexpected(site_error(site, error));
    }
  }
  return order("enable 1");
}

Result<> WidenerControl::disable() {
  return order("enable 0");
}

Result<std::vector<WidenerCount>> WidenerControl::read() const {
  Result<std::string> text = read_text(directory_ + "/sites");
  if (!text) {
    return context("ask the widener what it did", text.error());
  }
  return parse_widener_sites(*text);
}

Result<std::vector<WidenerCount>> parse_widener_sites(std::string_view text) {
  std::vector<WidenerCount> counts;
  while (const std::optional<std::string_view> line = next_line(text)) {
    std::string_view rest = *line;
    WidenerCount count;
    count.site = next_word(rest);
    // Counters after these three are for people; a later module may add some.
    if (count.site.empty() || !take_number(next_word(rest), "hits", count.hits) ||
        !take_number(next_word(rest), "effective", count.effective) ||
        !take_number(next_word(rest), "slept", count.slept)) {
      return broken(
          fmt::format("the widener's sites file has the line '{}'; 'SITE hits=N "
                      "effective=N slept=N ...' was expected",
                      *line));
    }
    counts.push_back(std::move(count));
  }
  return counts;
}

}  // namespace mmquake
