// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/make_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ObjectIn, OnlyLinesThatMakeAnObject) {
  EXPECT_EQ(object_in("  CC      mm/rmap.o"), "mm/rmap.o");
  EXPECT_EQ(object_in("  CC [M]  drivers/x.o"), "drivers/x.o");
  EXPECT_EQ(object_in("  HOSTCC  scripts/sorttable"), "scripts/sorttable");
  for (const char* line :
       {"  AR      mm/built-in.a", "  CALL    scripts/checksyscalls.sh", "", "  CC",
        "make[1]: Entering directory '/x'", "mm/rmap.c:1: error: CC x", "CC      mm/rmap.o"}) {
    EXPECT_EQ(object_in(line), "") << line;
  }
}

TEST(MakeProgress, AFirstBuildCountsAndNeverSaysItIsDone) {
  MakeProgress progress({});
  EXPECT_LT(progress.fraction(), 0);
  double before = 0;
  for (int i = 0; i < 5000; ++i) {
    progress.line("  CC      mm/" + std::to_string(i) + ".o");
    ASSERT_GE(progress.fraction(), before);
    before = progress.fraction();
  }
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.99);
  EXPECT_THAT(progress.detail(60), HasSubstr("mm/4999.o, 5000 objects"));
}

TEST(MakeProgress, AnObjectsPlaceInTheLastBuildCounts) {
  MakeProgress progress({"a.o", "b.o", "c.o", "d.o"});
  progress.line("  CC      b.o");
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.5);
  progress.line("  CC      c.o");
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.75);
  progress.line("  CC      a.o");  // another job was slower
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.75);
  progress.line("  CC      new.o");
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.75);
  EXPECT_THAT(progress.detail(30), HasSubstr("about 10 s left"));
  EXPECT_THAT(progress.detail(600), HasSubstr("about 3 min left"));
  EXPECT_THAT(progress.detail(1), Not(HasSubstr("left")));
}

TEST(MakeProgress, NoTimeIsForetoldWhenMostObjectsAreKept) {
  MakeProgress progress({"a.o", "b.o", "c.o", "d.o", "e.o"});
  progress.line("  CC      c.o");
  EXPECT_DOUBLE_EQ(progress.fraction(), 0.6);
  EXPECT_THAT(progress.detail(30), Not(HasSubstr("left")));
}

TEST(MakeProgress, APartialBuildDoesNotReplaceWhatIsKnown) {
  MakeProgress part({"a.o", "b.o", "c.o", "d.o"});
  part.line("  CC      c.o");
  EXPECT_THAT(part.objects(), ElementsAre("a.o", "b.o", "c.o", "d.o"));
  MakeProgress whole({"a.o", "b.o"});
  whole.line("  CC      x.o");
  whole.line("  LD      vmlinux");
  EXPECT_THAT(whole.objects(), ElementsAre("x.o", "vmlinux"));
}

std::string reason_of(std::initializer_list<const char*> lines) {
  FailureReason reason;
  for (const char* line : lines) reason.line(line);
  return reason.text();
}

TEST(FailureReason, TheFirstCompilerErrorBeatsWhatFollowsFromIt) {
  EXPECT_EQ(reason_of({"  CC      mm/rmap.o", "mm/rmap.c:3:1: warning: x",
                       "make[2]: *** [Makefile:1: other.o] Error 1", "mm/rmap.c:7:2: error: 'x'",
                       "mm/rmap.c:9:2: error: 'y'", "make: *** [Makefile:2] Error 2"}),
            "mm/rmap.c:7:2: error: 'x'");
  EXPECT_EQ(reason_of({"ld: mm/rmap.o: in function `f': undefined reference to `g'",
                       "make: *** [vmlinux] Error 1"}),
            "ld: mm/rmap.o: in function `f': undefined reference to `g'");
  EXPECT_EQ(reason_of({"/bin/sh: 1: bc: not found", "make: *** [x] Error 127"}),
            "/bin/sh: 1: bc: not found");
  EXPECT_EQ(reason_of({"all is well"}), "");
}

TEST(FailureReason, KnowsAFullDisk) {
  FailureReason reason;
  reason.line("/usr/bin/ld: final link failed: No space left on device");
  EXPECT_TRUE(reason.no_space());
}

bool is_hosts(std::string_view line) {
  FailureReason reason;
  reason.line(line);
  return reason.is_hosts();
}

TEST(FailureReason, TellsTheHostsFaultsFromTheSources) {
  EXPECT_TRUE(is_hosts("gcc: fatal error: Killed signal terminated program cc1"));
  EXPECT_TRUE(is_hosts("make[2]: *** [Makefile:12: mm] Terminated"));
  EXPECT_TRUE(is_hosts("/bin/sh: 1: bison: not found"));
  EXPECT_TRUE(is_hosts("ld: final link failed: No space left on device"));
  EXPECT_TRUE(is_hosts("cc1: out of memory allocating 65536 bytes: Cannot allocate memory"));
  EXPECT_FALSE(is_hosts("mm/rmap.c:1:22: error: 'nowhere' undeclared"));
  EXPECT_FALSE(is_hosts("make[2]: *** No rule to make target 'mm/gone.o', needed by 'mm'.  Stop."));
  EXPECT_FALSE(is_hosts("mm/rmap.c:3:10: fatal error: gone.h: No such file or directory"));
}

}  // namespace
}  // namespace mmquake::kernel
