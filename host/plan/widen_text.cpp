// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/widen_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "host/plan/plan.h"

namespace mmquake {
namespace {

template <typename T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// False: it is none of the parts that there are.
bool take_part(std::string_view part, WidenSite& site) {
  const std::size_t dash = part.find('-');
  if (part.starts_with("p=")) return parse_number(part.substr(2), site.probability);
  if (part.starts_with("comm=")) {
    site.comm = part.substr(5);
  } else if (part == "spin") {
    site.mode = part;
  } else if (part == "may-miss") {
    site.may_miss = true;
  } else {
    return dash != std::string_view::npos && parse_number(part.substr(0, dash), site.min_us) &&
           parse_number(part.substr(dash + 1), site.max_us);
  }
  return true;
}

}  // namespace

Result<WidenSite> parse_widen(const std::string& text) {
  WidenSite site;
  site.max_us = 1000;
  std::size_t at = std::min(text.find(':'), text.size());
  site.site = text.substr(0, at);
  // FILE:LINE is one word of the text: no other part of it is a plain number.
  const std::size_t after = std::min(text.find(':', std::min(at + 1, text.size())), text.size());
  if (after > at + 1 && text.find_first_not_of("0123456789", at + 1) >= after) {
    site.site = text.substr(0, after);
    at = after;
  }
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(':', at + 1), text.size());
    const std::string part = text.substr(at + 1, end - at - 1);
    if (!take_part(part, site)) {
      return usage(fmt::format(
          "--widen '{}': '{}' is none of MIN-MAX (us), p=PROBABILITY (0 to 1), comm=THREAD, spin, "
          "may-miss",
          text, part));
    }
    at = end;
  }
  if (const auto fault = find_fault(site)) {
    return usage(fmt::format("--widen '{}': '{}' {}", text, fault->field, fault->what));
  }
  return site;
}

std::string widen_text(const WidenSite& site) {
  std::string out = fmt::format("{}:{}-{}", site.site, site.min_us, site.max_us);
  if (site.probability != 1) out += fmt::format(":p={}", site.probability);
  if (!site.comm.empty()) out += ":comm=" + site.comm;
  if (site.mode == "spin") out += ":spin";
  if (site.may_miss) out += ":may-miss";
  return out;
}

}  // namespace mmquake
