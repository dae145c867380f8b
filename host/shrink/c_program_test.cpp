// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/shrink/c_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "host/console/signature.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Not;

Composition composed(const std::vector<std::pair<Slot, std::string>>& words) {
  Composition out;
  for (const auto& [slot, word] : words) out.set(slot, word);
  return out;
}

CProgramOrigin origin() {
  CProgramOrigin out;
  out.title = "stale data in anon-4k";
  out.kernel = "6.1.192";
  out.machine = "2 nodes of 1 and 1 CPUs";
  out.command = "mmquake run compose --kernel specimen";
  return out;
}

// Of all that the fragments can say, some that have each word, with few and with many others.
std::vector<Composition> samples() {
  std::set<std::string> seen;
  std::vector<Composition> out;
  for (const Composition& one : all_compositions()) {
    if (!missing_in_c(one).empty()) continue;
    bool fresh = false;
    for (const Slot slot : kAllSlots) {
      if (!one.has(slot)) continue;
      const bool last = one.has(Slot::kWatcher) && one.has(Slot::kDisturber2);
      fresh = seen.insert(one[slot] + (last ? "+" : "")).second || fresh;
    }
    if (fresh) out.push_back(one);
  }
  return out;
}

TEST(CProgram, CompilesWithoutAWarning) {
  const std::filesystem::path file = std::filesystem::path(MMQUAKE_BINARY_DIR) / "c_program_test.c";
  const std::vector<Composition> all = samples();
  ASSERT_GT(all.size(), 30U);
  for (const Composition& one : all) {
    const auto text = c_program(one, origin());
    ASSERT_TRUE(text) << one.text() << ": " << text.error().message;
    EXPECT_THAT(*text, Not(HasSubstr("/*{"))) << one.text();
    std::ofstream(file) << *text;
    Command command;
    command.argv = {"cc",      "-std=gnu11",    "-Wall",      "-Wextra",
                    "-Werror", "-fsyntax-only", file.string()};
    const auto done = run_command(command);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(done->exit_code, 0) << one.text() << "\n" << done->output_tail << *text;
  }
}

TEST(CProgram, HasNoPartThatIsNotNeeded) {
  const auto text =
      c_program(composed({{Slot::kBacking, "anon-4k"}, {Slot::kMover, "mbind"}}), origin());
  ASSERT_TRUE(text);
  for (const char* word :
       {"fork", "emptied", "copied", "dropped", "io_uring", "memfd", "madvise(p"}) {
    EXPECT_THAT(*text, Not(HasSubstr(word)));
  }
}

TEST(CProgram, WhatItCannotSayIsNamed) {
  const Composition one =
      composed({{Slot::kBacking, "swap"}, {Slot::kMover, "cpuset"}, {Slot::kDisturber, "mlock"}});
  EXPECT_THAT(missing_in_c(one), testing::ElementsAre("swap", "cpuset"));
  const auto text = c_program(one, origin());
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(text.error().message, HasSubstr("swap, cpuset"));
}

TEST(CProgram, ATitleStaysInItsComment) {
  CProgramOrigin hostile = origin();
  hostile.title = "bad \\\n#include </etc/passwd>\n\x1b[31m";
  const auto text =
      c_program(composed({{Slot::kBacking, "anon-4k"}, {Slot::kMover, "mbind"}}), hostile);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("// bad ??#include </etc/passwd>??[31m\n"));
}

Finding ended_with_1(const std::string& output) {
  Finding out;
  out.kind = "failure";
  out.title = "the program exited with 1";
  out.evidence["output"] = output;
  out.signature = signature_of(out.kind, out.title, "");
  return out;
}

TEST(SameBug, IsWhatTheProgramSaid) {
  const std::string stale = signature_of("corruption", "stale data in anon-4k", "");
  EXPECT_TRUE(is_same_bug(ended_with_1("FOUND corruption: stale data in anon-4k\nat 3\n"), stale));
  EXPECT_TRUE(
      is_same_bug(ended_with_1("some words\nFOUND corruption: stale data in anon-4k\n"), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1("FOUND corruption: zero data in anon-4k\n"), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1("FOUND leak: stale data in anon-4k\n"), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1("corruption: stale data in anon-4k\n"), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1("not FOUND corruption: stale data in anon-4k\n"), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1("FOUND "), stale));
  EXPECT_FALSE(is_same_bug(ended_with_1(""), stale));
}

TEST(SameBug, IsTheSignatureOfWhatTheKernelSays) {
  Finding report;
  report.kind = "kernel-bug";
  report.title = "kernel BUG in f";
  report.signature = signature_of(report.kind, report.title, "");
  EXPECT_TRUE(is_same_bug(report, report.signature));
  EXPECT_FALSE(is_same_bug(report, signature_of("kernel-bug", "kernel BUG in g", "")));
}

}  // namespace
}  // namespace mmquake
