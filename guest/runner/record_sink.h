// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where records go: the runner writes to its supervisor, the supervisor to the host.
#pragma once

#include <vector>

#include "guest/protocol/records.h"

namespace mmquake {

class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void send(const Record& record) = 0;
};

// The supervisor's way out of the guest. Nothing of it ever blocks.
class Outlet : public RecordSink {
 public:
  virtual int fd() const { return -1; }                  // to poll; -1: nothing to wait for
  virtual short events() const { return 0; }             // what to poll it for
  virtual void pump() {}                                 // writes what fits, reads what came in
  virtual bool is_answered() const { return false; }     // whether anybody may ever send something
  virtual std::vector<Record> received() { return {}; }  // what came in since the last call
  virtual std::uint64_t dropped() const { return 0; }    // records lost because nobody read
};

}  // namespace mmquake
