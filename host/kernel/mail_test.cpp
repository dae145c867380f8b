// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/mail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string diff(const std::string& from, const std::string& to) {
  return "diff --git a/mm/rmap.c b/mm/rmap.c\n--- a/mm/rmap.c\n+++ b/mm/rmap.c\n@@ -1,3 +1,3 @@\n"
         " first\n-" +
         from + "\n+" + to + "\n last\n";
}

std::string mail(const std::string& subject, const std::string& body) {
  return "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"
         "From: Somebody <somebody@example.org>\nDate: Thu, 26 Nov 2026 10:00:00 +0000\n"
         "Subject: " +
         subject + "\n\nWhy it is so.\n" + body + "-- \n2.39.5\n\n";
}

class MailTest : public testing::Test {
 protected:
  Result<std::vector<fs::path>> patches(const std::string& text) {
    SilentReporter reporter;
    return patches_in(tree_.write("mail", text), tree_.root() / "out", reporter);
  }

  TestTree tree_;
};

TEST_F(MailTest, ADiffStaysAsItIs) {
  const std::string text = "SPDX-License-Identifier: GPL-2.0-or-later\n\n" + diff("a", "b");
  const auto out = patches(text);
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_THAT(*out, SizeIs(1));
  EXPECT_EQ(text_of(out->front()), text);
}

TEST_F(MailTest, ASeriesIsPutInOrderWithoutItsCoverLetter) {
  const auto out = patches(mail("[PATCH v2 2/2] mm: second", "---\n" + diff("b", "c")) +
                           mail("[PATCH v2 0/2] mm: cover", "") +
                           mail("[PATCH v2 1/2] mm: first", "---\n" + diff("a", "b")));
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_THAT(*out, SizeIs(2));
  EXPECT_THAT(text_of(out->at(0)), HasSubstr("+b\n"));
  EXPECT_THAT(text_of(out->at(1)), HasSubstr("+c\n"));
}

TEST_F(MailTest, WhatAMailEncodesIsDecoded) {
  std::string encoded = mail("[PATCH] mm: x", "---\n" + diff("a =3D b", "a =3D=3D b"));
  encoded.insert(encoded.find("Subject:"),
                 "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                 "Content-Transfer-Encoding: quoted-printable\n");
  // Without its "From " line: as a mail reader saves it.
  encoded.erase(0, encoded.find('\n') + 1);
  const auto out = patches(encoded);
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_THAT(*out, SizeIs(1));
  EXPECT_THAT(text_of(out->front()), HasSubstr("+a == b\n"));
}

TEST_F(MailTest, WhatHoldsNoPatchIsAUsageError) {
  for (const std::string& text : {mail("hello", ""), std::string("no patch\n"), std::string()}) {
    const auto out = patches(text);
    ASSERT_FALSE(out) << text;
    EXPECT_EQ(out.error().kind, ErrorKind::kUsage) << out.error().message;
    fs::remove_all(tree_.root() / "out");
  }
}

}  // namespace
}  // namespace mmquake::kernel
