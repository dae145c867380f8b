// SPDX-License-Identifier: GPL-2.0-or-later
//
// The guest's one binary. As PID 1 it is init; elsewhere it answers questions about itself.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "guest/init/init.h"
#include "guest/runner/describe.h"

namespace {

int print_frame(const char* payload) {
  const mmquake::Result<mmquake::Record> record = mmquake::from_json(payload);
  if (!record) {
    std::fprintf(stderr, "mmquake-guest: %s\n", record.error().message.c_str());
    return 2;
  }
  const std::string frame = mmquake::encode(*record);
  return std::fwrite(frame.data(), 1, frame.size(), stdout) == frame.size() ? 0 : 3;
}

int print_records() {
  mmquake::RecordReader reader;
  std::array<char, 65536> block{};
  ssize_t got = 0;
  while ((got = read(STDIN_FILENO, block.data(), block.size())) > 0) {
    for (const mmquake::Record& record :
         reader.feed({block.data(), static_cast<std::size_t>(got)})) {
      std::printf("%s\n", mmquake::to_json(record).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const mmquake::Registry& registry = mmquake::Registry::instance();
  if (getpid() == 1) {
    mmquake::run_init(registry);
  }
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "--describe" && argc == 2) {
    std::printf("%s\n", mmquake::describe(registry).c_str());
    return 0;
  }
  // Aids for experiments by hand: the calibration's time, a record's frame, frames as JSON lines.
  if (mode == "--calibrate" && argc == 2) {
    std::printf("%.3f\n", mmquake::calibrate());
    return 0;
  }
  if (mode == "--frame" && argc == 3) {
    return print_frame(argv[2]);
  }
  if (mode == "--read-records" && argc == 2) {
    return print_records();
  }
  std::fprintf(stderr,
               "usage: mmquake-guest --describe | --calibrate | --frame JSON | --read-records\n"
               "It runs as PID 1 of a guest; `mmquake run` boots one.\n");
  return 2;
}
