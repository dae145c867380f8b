// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever a guest writes: the reader neither crashes nor grows, and what it accepts it can
// write and read again. The first byte chooses how the input is cut into pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "guest/protocol/records.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t piece = std::size_t{data[0]} + 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  mmquake::RecordReader reader;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    for (const mmquake::Record& record : reader.feed(input.substr(at, piece))) {
      mmquake::RecordReader again;
      if (again.feed(mmquake::encode(record)).size() != 1) {
        std::abort();
      }
    }
  }
  // The checksum keeps a fuzzer out of the payloads: try the input as one of them, too.
  const mmquake::Result<mmquake::Record> record = mmquake::from_json(input);
  if (record && !mmquake::from_json(mmquake::to_json(*record))) {
    std::abort();
  }
  return 0;
}
