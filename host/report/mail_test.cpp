// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/mail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kEvidence =
    "mmquake trial of w\n\nkernel        6.1.192 (specimen, artifact 24ae)\nswitches on   a-bug\n"
    "machine       numa2 (4 CPUs, 2 nodes, 2048 MiB), TCG\n\n"
    "finding: hang in f (hang, oracle)\n  stack:\n    [<0>] f+0x1/0x2 (mm/f.c:12)\n"
    "\nwidener\n  f 3 hits\n\ncounters\n  rounds 7\n";

StoredTrial trial_of(std::uint64_t number, const std::string& kernel, Outcome verdict) {
  StoredTrial out = stored_trial(number, kernel, verdict);
  out.item = "w on " + kernel;
  out.findings.clear();
  if (verdict == Outcome::kFound) {
    out.findings.push_back({"hang in f", "hang", "oracle", "hang: hang in f", 1.5, 3});
  }
  return out;
}

std::vector<StoredTrial> trials() {
  return {trial_of(1, "k", Outcome::kFound),     trial_of(2, "k", Outcome::kPassed),
          trial_of(3, "k", Outcome::kPassed),    trial_of(4, "k", Outcome::kFound),
          trial_of(5, "k", Outcome::kBroken),    trial_of(6, "k", Outcome::kSkipped),
          trial_of(7, "other", Outcome::kPassed)};
}

TEST(Mail, TheRateIsOfTrialsThatCouldHaveShownIt) {
  const auto bugs = distinct_bugs(trials(), {});
  ASSERT_EQ(bugs.size(), 1U);
  const BugRate rate = rate_of(bugs[0], trials());
  EXPECT_EQ(rate.found, 2U);
  EXPECT_EQ(rate.trials, 4U);
}

TEST(Mail, SaysWhatAReaderOfTheListAsksFor) {
  auto all = trials();
  for (StoredTrial& trial : all) trial.repeat = "mmquake run w --seed 7";
  const auto bugs = distinct_bugs(all, {});
  const std::string mail = mail_text(bugs[0], all, kEvidence);
  EXPECT_THAT(mail, StartsWith("Subject: [BUG] mm: hang in f on "));
  EXPECT_THAT(mail, HasSubstr("switches on  a-bug\n"));
  EXPECT_THAT(mail, HasSubstr("numa2 (4 CPUs, 2 nodes, 2048 MiB), TCG\n"));
  EXPECT_THAT(mail, HasSubstr("50.0 % of the trials (2 of 4; 6.8 to 93.2 %"));
  EXPECT_THAT(mail, HasSubstr("\n    mmquake run w --seed 7\n"));
  EXPECT_THAT(mail, HasSubstr("f+0x1/0x2 (mm/f.c:12)"));
  EXPECT_THAT(mail, Not(HasSubstr("counters")));
  EXPECT_THAT(mail, Not(HasSubstr("3 hits")));
}

TEST(Mail, LinesAreShortBeforeTheLog) {
  auto all = trials();
  for (StoredTrial& trial : all) {
    trial.item =
        "compose with a-bug backing=shmem-thp mover=move_pages disturber=split-dontneed "
        "watcher=uffd-missing on " +
        trial.kernel;
  }
  const std::string mail = mail_text(distinct_bugs(all, {})[0], all, kEvidence);
  std::istringstream in(mail);
  for (std::string line; std::getline(in, line) && !line.starts_with("To see it again");) {
    EXPECT_LE(line.size(), 75U) << line;
  }
}

TEST(Mail, AGuestsTextIsText) {
  auto all = trials();
  all[0].findings[0].title = "hang in \x1b[31mf\nBcc: everybody";
  all[3].findings.clear();
  all[3].verdict = Outcome::kPassed;
  const std::string mail = mail_text(distinct_bugs(all, {})[0], all, "");
  EXPECT_THAT(mail, Not(HasSubstr("\x1b")));
  EXPECT_THAT(mail, Not(HasSubstr("\nBcc")));
  EXPECT_THAT(mail, HasSubstr("files of the trial are gone"));
}

}  // namespace
}  // namespace mmquake
