// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/log_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::set<std::string> shapes_of(std::string_view bytes) {
  LogShapes out;
  out.feed(bytes);
  return out.shapes();
}

TEST(LogShapes, NumbersAreNoPartOfAShape) {
  EXPECT_THAT(shapes_of("[    5.000001] Soft offlining pfn 0x47e00 at process address 0x7f00a000\n"
                        "[    6.000001][  T12] Soft offlining pfn 0x1 at process address 0x2\n"),
              ElementsAre("Soft offlining pfn # at process address #"));
  EXPECT_THAT(shapes_of("[    1.000000] node2 order=9, ffff888003c04000, added 128kB, deadbeef\n"),
              ElementsAre("node# order=#, #, added #kB, deadbeef"));
}

TEST(LogShapes, OnlyWholeKernelLinesCount) {
  EXPECT_THAT(shapes_of("a program's line\n[    5.000001] half of o"), IsEmpty());
  EXPECT_THAT(shapes_of("[    5.000001] \n"), IsEmpty());
}

TEST(LogShapes, ThePiecesDoNotMatter) {
  const std::string text = "[    5.000000] one\r\n[    6.000000] two\n";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    LogShapes shapes;
    shapes.feed(text.substr(0, cut));
    shapes.feed(text.substr(cut));
    EXPECT_THAT(shapes.shapes(), ElementsAre("one", "two")) << cut;
  }
}

TEST(LogShapes, AHostileGuestMakesNeitherManyNorLongNorStrangeOnes) {
  std::string text;
  for (char a = 'a'; a <= 'z'; ++a) {
    for (char b = 'a'; b <= 'z'; ++b) text += std::string("[    1.000000] ") + a + b + "\n";
  }
  EXPECT_THAT(shapes_of(text), SizeIs(LogShapes::kMost));
  EXPECT_THAT(shapes_of("[    1.000000] " + std::string(100000, 'z') + "\n"),
              ElementsAre(std::string(LogShapes::kLength, 'z')));
  EXPECT_THAT(shapes_of("[    1.000000] \x1b[31m\xff\n"), ElementsAre("?[#m?"));
}

}  // namespace
}  // namespace mmquake
