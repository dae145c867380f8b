// SPDX-License-Identifier: GPL-2.0-or-later
//
// A composition as one C file that needs nothing but libc: the same memory, the same races, and a
// simple form of the same oracle. It is put together from workloads/compose/c, a fragment for each
// ingredient; what is not needed is not in it.
#pragma once

#include <string>
#include <vector>

#include "guest/protocol/composition.h"
#include "guest/protocol/result.h"
#include "host/campaign/verdict.h"

namespace mmquake {

// What the file's head tells about the finding.
struct CProgramOrigin {
  std::string title;
  bool in_log = false;  // the kernel says it, not an oracle
  std::string kernel;   // "6.1.192"
  std::string machine;  // "2 nodes of 1 and 1 CPUs"
  std::string command;  // that runs the composition
  int nodes = 2;        // with memory; they are numbered from 0
};

// The words of the composition that have no fragment.
std::vector<std::string> missing_in_c(const Composition& composition);
// All that have none, for the manual.
std::vector<std::string> all_missing_in_c();

// The file. An error of kind kSkipped names the words that have no fragment.
Result<std::string> c_program(const Composition& composition, const CProgramOrigin& origin);

// Is what a trial of the C file found the bug that `signature` stands for? A kernel report or a
// hang is if its signature is the same. What the program itself saw it prints as "FOUND KIND:
// TITLE" before it ends with 1: that is signed as the oracle's finding would be.
bool is_same_bug(const Finding& of_c_file, const std::string& signature);

}  // namespace mmquake
