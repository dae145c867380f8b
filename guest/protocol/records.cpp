// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/protocol/records.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <optional>

namespace mmquake {
namespace {

constexpr char kStart = '\x1e';
constexpr std::string_view kMagic = "\x1eMMQ1 ";
constexpr std::size_t kHashDigits = 8;
constexpr std::size_t kHeaderBytes = kMagic.size() + kHashDigits + 1;

std::array<char, kHashDigits + 1> hash_of(std::string_view payload) {
  std::array<char, kHashDigits + 1> text{};
  std::snprintf(text.data(), text.size(), "%08x", XXH32(payload.data(), payload.size(), 0));
  return text;
}

// The payload of one line without its newline, if magic and checksum are right.
std::optional<std::string_view> payload_of(std::string_view line) {
  if (line.size() < kHeaderBytes || line.substr(0, kMagic.size()) != kMagic ||
      line[kHeaderBytes - 1] != ' ') {
    return std::nullopt;
  }
  const std::string_view payload = line.substr(kHeaderBytes);
  if (line.substr(kMagic.size(), kHashDigits) != hash_of(payload).data()) {
    return std::nullopt;
  }
  return payload;
}

}  // namespace

std::string encode(const Record& record) {
  const std::string payload = to_json(record);
  std::string frame;
  frame.reserve(kHeaderBytes + payload.size() + 1);
  frame += kMagic;
  frame += hash_of(payload).data();
  frame += ' ';
  frame += payload;
  frame += '\n';
  return frame;
}

std::vector<Record> RecordReader::feed(std::string_view bytes) {
  std::vector<Record> out;
  while (!bytes.empty()) {
    if (line_.empty()) {
      const std::size_t start = std::min(bytes.find(kStart), bytes.size());
      stats_.garbage_bytes += start;
      bytes.remove_prefix(start);
      if (bytes.empty()) {
        break;
      }
      line_ += kStart;
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\n\x1e");
    const std::size_t chunk = std::min(end, bytes.size());
    if (line_.size() + chunk >= kMaxFrameBytes) {
      // What is left of this line is garbage: only a newline or an RS can start over.
      ++stats_.bad_frames;
      line_.clear();
      continue;
    }
    line_ += bytes.substr(0, chunk);
    bytes.remove_prefix(chunk);
    if (end == std::string_view::npos) {
      break;
    }
    if (bytes.front() == '\n') {
      take_line(out);
      bytes.remove_prefix(1);
    } else {
      ++stats_.bad_frames;  // an RS inside of a frame: the old one never ended
    }
    line_.clear();
  }
  return out;
}

void RecordReader::take_line(std::vector<Record>& out) {
  const std::optional<std::string_view> payload = payload_of(line_);
  if (payload) {
    Result<Record> record = from_json(*payload);
    if (record) {
      ++stats_.records;
      out.push_back(std::move(*record));
      return;
    }
  }
  ++stats_.bad_frames;
}

double calibrate() {
  // An emulator runs plain arithmetic at nearly full speed; a kernel's slow paths are loads,
  // stores and jumps that depend on data, so these are what is timed.
  static constexpr std::array<std::uint32_t (*)(std::uint32_t), 4> kSteps = {
      [](std::uint32_t x) { return x * 2654435761U; },
      [](std::uint32_t x) { return x ^ (x >> 15); },
      [](std::uint32_t x) { return x + 0x9e3779b9U; }, [](std::uint32_t x) { return ~x; }};
  std::array<std::uint32_t, 4096> table{};
  // The best of three, so that a preemption does not count.
  double best_ms = 0;
  for (int run = 0; run < 3; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::uint32_t x = 1;
    for (int i = 0; i < 200'000; ++i) {
      std::uint32_t& cell = table[x % table.size()];
      x = kSteps[(x >> 12) % kSteps.size()](x + cell);
      cell = x;
    }
    volatile std::uint32_t sink = x;  // keeps the loop
    static_cast<void>(sink);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    best_ms = run == 0 ? took.count() : std::min(best_ms, took.count());
  }
  return best_ms;
}

}  // namespace mmquake
