// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "host/bisect/bisection.h"
#include "host/cli/status_line.h"

namespace mmquake {

// A line for each build and trial, a status line between them.
class Speaker final : public bisect::BisectionListener {
 public:
  // `belief` says at the end of each line what the search makes of it; empty: nothing.
  Speaker(std::FILE* out, std::function<std::string(const bisect::Search&)> belief)
      : out_(out), belief_(std::move(belief)), status_(out) {}

  // Before the first build; `search` outlives this.
  void watch(const bisect::Search& search) { search_ = &search; }
  StatusLine& status() { return status_; }

  void on_status(const std::string& text) override { status_.show(text); }
  void on_build(std::size_t commit, const bisect::BuildResult& build) override;
  void on_trial(std::size_t commit, const bisect::TrialOutcome& trial) override;

 private:
  void print(const char* word, const std::string& number, std::size_t commit, double seconds,
             const std::string& more);

  std::FILE* out_;
  std::function<std::string(const bisect::Search&)> belief_;
  StatusLine status_;
  const bisect::Search* search_ = nullptr;
};

}  // namespace mmquake
