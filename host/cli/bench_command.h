// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake bench: one function a question.
#pragma once

#include "host/cli/session.h"

namespace mmquake {

struct BenchPinOptions {
  int rounds = 15;
};

// Measures nth_page() against page++ on both memory models and prints the ratios. Exit code 0, 3
// broken, 4 skipped: a benchmark finds nothing.
int bench_pin(const CommonOptions& common, const BenchPinOptions& options);

}  // namespace mmquake
