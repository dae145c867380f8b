// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/answer_limit.h"

#include <gtest/gtest.h>

#include <future>

namespace mmquake {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(AnswerLimit, ACallInTimeIsLeftAlone) {
  bool ran = false;
  AnswerLimit limit(hours(1), [&] { ran = true; });
  EXPECT_FALSE(limit.end());
  EXPECT_FALSE(ran);
}

TEST(AnswerLimit, ALateOneIsMadeToReturn) {
  std::promise<void> gone;
  AnswerLimit limit(milliseconds(1), [&] { gone.set_value(); });
  gone.get_future().wait();  // the call
  EXPECT_TRUE(limit.end());
  EXPECT_TRUE(limit.end()) << "once more is the same";
}

}  // namespace
}  // namespace mmquake
