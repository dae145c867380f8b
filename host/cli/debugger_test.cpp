// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/debugger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using ::testing::ElementsAre;

TEST(GdbWords, KnowTheKernelAndWhereItWaits) {
  const KernelDebugFiles files{"/d/source", "/d/vmlinux", {}};
  EXPECT_THAT(gdb_words(files, "/r/gdb.socket", {}),
              ElementsAre("gdb", "-q", "-ex", "directory /d/source", "-ex",
                          "target remote /r/gdb.socket", "/d/vmlinux"));
}

TEST(GdbWords, ScriptsMayBeReadAndCommandsEndGdb) {
  const KernelDebugFiles files{"/d/source", "/d/vmlinux", "/d/vmlinux-gdb.py"};
  EXPECT_THAT(gdb_words(files, "/r/gdb.socket", {"hbreak f", "continue"}),
              ElementsAre("gdb", "-q", "-iex", "add-auto-load-safe-path /d", "-ex",
                          "directory /d/source", "-ex", "target remote /r/gdb.socket", "-batch",
                          "-ex", "hbreak f", "-ex", "continue", "/d/vmlinux"));
}

}  // namespace
}  // namespace mmquake
