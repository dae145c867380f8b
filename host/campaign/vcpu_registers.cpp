// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/vcpu_registers.h"

#include <charconv>
#include <string>

namespace mmquake {
namespace {

constexpr std::size_t kMostFrames = 64;
constexpr std::uint64_t kWord = sizeof(std::uint64_t);

// What stands behind `key` in `text`, up to a blank.
std::string_view value_of(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + key.size());
  return text.substr(0, text.find_first_of(" \r\n"));
}

std::optional<std::uint64_t> hexadecimal(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value, 16);
  if (text.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::uint64_t> register_of(std::string_view answer, std::string_view name) {
  return hexadecimal(value_of(answer, std::string(name) + "="));
}

std::vector<VcpuRegisters> vcpu_registers(std::string_view answer) {
  constexpr std::string_view kHead = "CPU#";
  std::vector<VcpuRegisters> out;
  std::size_t at = answer.find(kHead);
  while (at != std::string_view::npos) {
    const std::size_t next = answer.find(kHead, at + 1);
    const std::string_view one = answer.substr(at, next - at);
    at = next;
    const auto rip = register_of(one, "RIP");
    if (!rip) continue;
    out.push_back({value_of(one, kHead), *rip, register_of(one, "RSP").value_or(0),
                   register_of(one, "RBP").value_or(0), value_of(one, "HLT=") == "1"});
  }
  return out;
}

bool stop_guest(Machine& machine) {
  if (!machine.monitor("stop")) return false;
  const auto status = machine.monitor("info status");
  return status && status->find("paused") != std::string::npos &&
         status->find("panicked") == std::string::npos;
}

std::vector<std::uint64_t> memory_words(std::string_view answer) {
  std::vector<std::uint64_t> out;
  for (std::size_t at = answer.find("0x"); at != std::string_view::npos;) {
    const std::size_t end = std::min(answer.find_first_of(" \r\n", at), answer.size());
    const auto word = hexadecimal(answer.substr(at + 2, end - at - 2));
    if (!word) break;
    out.push_back(*word);
    at = answer.find("0x", end);
  }
  return out;
}

std::vector<std::uint64_t> walk_frames(const VcpuRegisters& vcpu,
                                       std::span<const std::uint64_t> words) {
  std::vector<std::uint64_t> out{vcpu.rip};
  std::uint64_t frame = vcpu.rbp;
  while (out.size() < kMostFrames && frame >= vcpu.rsp && (frame - vcpu.rsp) % kWord == 0) {
    const std::uint64_t index = (frame - vcpu.rsp) / kWord;
    if (index + 1 >= words.size() || words[index + 1] < kKernelHalf) break;
    out.push_back(words[index + 1]);
    if (words[index] <= frame) break;  // callers lie higher
    frame = words[index];
  }
  return out;
}

}  // namespace mmquake
