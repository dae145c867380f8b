// SPDX-License-Identifier: GPL-2.0-or-later
//
// Against a kernel in miniature (sample/), built with the tests: who calls whom is known.
#include "host/console/symbol_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/console/debug_info.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Callees : public testing::TestWithParam<const char*> {
 protected:
  std::vector<std::string> of(std::string_view function) {
    auto info = DebugInfo::open(GetParam());
    if (!info) return {"error: " + info.error().message};
    return (*info)->symbols().callees(function);
  }
};

INSTANTIATE_TEST_SUITE_P(Builds, Callees, testing::Values(SAMPLE_VMLINUX, SAMPLE_VMLINUX_IN_TREE));

TEST_P(Callees, AreTheFunctionsThatAreCalled) {
  EXPECT_THAT(of("main"), ElementsAre("handle_fault", "other_fault"));
}

// It calls twin() and same(), and a name would mean either of two.
TEST_P(Callees, NamesakesAreLeftOut) {
  EXPECT_THAT(of("handle_fault"), IsEmpty());
  EXPECT_THAT(of("twin"), IsEmpty());
}

TEST_P(Callees, AnUnknownFunctionHasNone) {
  EXPECT_THAT(of("no_such_function"), IsEmpty());
}

}  // namespace
}  // namespace mmquake
