// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/status_line.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// No line comes unasked while a test runs.
constexpr milliseconds kNever{3600000};

// Where a status line writes to, and the other end.
class Output {
 public:
  static Output pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    return {ends[0], ends[1]};
  }
  static Output terminal(unsigned short columns) {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_EQ(grantpt(master), 0);
    EXPECT_EQ(unlockpt(master), 0);
    const winsize size = {24, columns, 0, 0};
    EXPECT_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
    return {master, open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  }
  ~Output() { close(reader_); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::FILE* file() const { return file_.get(); }
  // Everything up to the first `end`, or what came within `patience`.
  std::string read_until(const std::string& end, milliseconds patience = milliseconds(5000)) {
    const auto deadline = steady_clock::now() + patience;
    while (text_.find(end) == std::string::npos) {
      const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
      pollfd ready = {reader_, POLLIN, 0};
      if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) break;
      char bytes[512];
      const ssize_t got = ::read(reader_, bytes, sizeof(bytes));
      if (got <= 0) break;
      text_.append(bytes, static_cast<std::size_t>(got));
    }
    const std::size_t at = text_.find(end);
    std::string out = text_.substr(0, at == std::string::npos ? at : at + end.size());
    text_.erase(0, out.size());
    return out;
  }
  // What came, and nothing more for 50 ms.
  std::string rest() { return read_until("\a", milliseconds(50)); }

 private:
  Output(int reader, int writer) : reader_(reader), file_(fdopen(writer, "w"), std::fclose) {}
  int reader_;
  File file_;
  std::string text_;
};

class StatusLineTest : public testing::Test {
 protected:
  StatusLineTest() {
    for (const char* name : {"TERM", "NO_COLOR"}) {
      const char* value = std::getenv(name);
      (name[0] == 'T' ? term_ : no_colour_) =
          value == nullptr ? std::nullopt : std::optional<std::string>(value);
    }
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
  }
  ~StatusLineTest() override {
    put_back("TERM", term_);
    put_back("NO_COLOR", no_colour_);
  }
  StatusLineTest(const StatusLineTest&) = delete;
  StatusLineTest& operator=(const StatusLineTest&) = delete;

 private:
  static void put_back(const char* name, const std::optional<std::string>& value) {
    if (value) {
      setenv(name, value->c_str(), 1);
    } else {
      unsetenv(name);
    }
  }
  std::optional<std::string> term_;
  std::optional<std::string> no_colour_;
};

TEST_F(StatusLineTest, InALogEveryLineIsWholeAndPlain) {
  Output log = Output::pipe();
  {
    StatusLine status(log.file(), kNever);
    status.show("first");
    status.show("second, at once: not worth a line in a log");
    status.clear();
  }
  EXPECT_EQ(log.rest(), "  first\n");
}

TEST_F(StatusLineTest, ALogIsNeverSilentForFiveSeconds) {
  EXPECT_LE(StatusLine::kQuiet, milliseconds(4000));
  Output log = Output::pipe();
  StatusLine status(log.file(), milliseconds(20));
  status.show("waiting for another process");
  // Nobody calls show() again, and yet it talks.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(log.read_until("\n"), HasSubstr("  waiting for another process"));
  }
}

TEST_F(StatusLineTest, NewsComeNoLaterThanTheNextLine) {
  Output log = Output::pipe();
  StatusLine status(log.file(), milliseconds(20));
  status.show("old");
  status.show("new");
  EXPECT_EQ(log.read_until("\n"), "  old\n");
  EXPECT_THAT(log.read_until("new\n"), EndsWith("  new\n"));
}

TEST_F(StatusLineTest, SaysHowLongThereWasNoNews) {
  Output log = Output::pipe();
  StatusLine status(log.file(), milliseconds(700));
  status.show("busy");
  EXPECT_THAT(log.read_until(" s)\n"), AllOf(StartsWith("  busy\n"), HasSubstr("  busy (")));
}

TEST_F(StatusLineTest, IsSilentWhenNothingGoesOn) {
  Output log = Output::pipe();
  StatusLine status(log.file(), milliseconds(10));
  EXPECT_EQ(log.rest(), "");
  status.show("work");
  log.read_until("\n");
  status.clear();
  log.rest();
  EXPECT_EQ(log.rest(), "");
}

TEST_F(StatusLineTest, OnATerminalTheLineIsRedrawnInPlace) {
  Output terminal = Output::terminal(80);
  StatusLine status(terminal.file(), kNever);
  status.show("first");
  status.show("second");
  status.clear();
  EXPECT_EQ(terminal.rest(), "\r\x1b[K  first\r\x1b[K  second\r\x1b[K");
}

TEST_F(StatusLineTest, ATerminalCountsTheSecondsToo) {
  Output terminal = Output::terminal(80);
  StatusLine status(terminal.file(), milliseconds(2000));
  status.show("busy");
  EXPECT_THAT(terminal.read_until(" s)"), HasSubstr("\r\x1b[K  busy ("));
}

TEST_F(StatusLineTest, ALongLineIsCutToTheTerminal) {
  Output terminal = Output::terminal(20);
  StatusLine status(terminal.file(), kNever);
  status.show("0123456789012345678901234567890");
  EXPECT_EQ(terminal.rest(), "\r\x1b[K  01234567890123456");
  status.show(std::string(16, '-') + "\xc3\xa9\xc3\xa9");
  EXPECT_EQ(terminal.rest(), "\r\x1b[K  " + std::string(16, '-') + "\xc3\xa9");
}

TEST_F(StatusLineTest, ALogLineIsNotCut) {
  Output log = Output::pipe();
  StatusLine status(log.file());
  status.show(std::string(300, 'x'));
  EXPECT_EQ(log.read_until("\n").size(), 303U);
}

TEST_F(StatusLineTest, WhatABuildPrintsCannotMoveTheCursor) {
  Output log = Output::pipe();
  StatusLine status(log.file());
  status.show("a\nb\tc\x1b[2J");
  EXPECT_EQ(log.read_until("\n"), "  a b c\\x1b[2J\n");
}

TEST_F(StatusLineTest, ADumbTerminalGetsALog) {
  setenv("TERM", "dumb", 1);
  Output terminal = Output::terminal(80);
  StatusLine status(terminal.file());
  status.show("first");
  EXPECT_THAT(terminal.read_until("\n"), Not(HasSubstr("\x1b")));
  EXPECT_FALSE(wants_colour(terminal.file()));
}

TEST_F(StatusLineTest, ColourIsForTerminalsThatWantIt) {
  Output terminal = Output::terminal(80);
  EXPECT_TRUE(wants_colour(terminal.file()));
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wants_colour(terminal.file()));
  setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(wants_colour(terminal.file())) << "an empty NO_COLOR does not count (no-color.org)";
  unsetenv("TERM");
  EXPECT_FALSE(wants_colour(terminal.file()));
  setenv("TERM", "xterm", 1);
  Output log = Output::pipe();
  EXPECT_FALSE(wants_colour(log.file()));
}

}  // namespace
}  // namespace mmquake
