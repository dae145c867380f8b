// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/config_file.h"

#include <gmock/gmock.h>

#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class ConfigFileTest : public testing::Test {
 protected:
  // The root table of a file with this text.
  ConfigTable table(const std::string& text) {
    path_ = tree_.write("a.toml", text);
    auto read = ConfigFile::read(path_);
    EXPECT_TRUE(read) << read.error().message;
    file_ = std::move(*read);
    return file_->root();
  }
  std::string complaints() const {
    const Result<> result = file_->result();
    if (result) return "";
    EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
    return result.error().message;
  }
  std::string at(const std::string& position) const { return path_.string() + ":" + position; }

  TestTree tree_;
  std::filesystem::path path_;
  std::unique_ptr<ConfigFile> file_;
};

TEST_F(ConfigFileTest, BrokenTomlSaysWhereAndWhatWasExpected) {
  const struct {
    const char* text;
    const char* position;
    const char* expected;
  } cases[] = {
      {"a = 1\nb = \n", "2:5", "expected value"},
      {"a = \"x\n", "1:7", "string"},
      {"[a\n", "1:3", "expected ']'"},
      {"a = 1\na = 2\n", "2:", "redefine"},
      {"a = 1 2\n", "1:7", "expected"},
  };
  for (const auto& one : cases) {
    const auto path = tree_.write("broken.toml", one.text);
    const auto read = ConfigFile::read(path);
    ASSERT_FALSE(read) << one.text;
    EXPECT_EQ(read.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(read.error().message,
                AllOf(StartsWith(path.string() + ":" + one.position), HasSubstr(one.expected)));
  }
}

TEST_F(ConfigFileTest, BytesThatAreNoTextAreNoToml) {
  for (const std::string& text : {std::string("a = \"\xff\xfe\"\n"), std::string("a\0b", 3),
                                  std::string("\x7f"
                                              "ELF\x02\x01\x01")}) {
    const auto read = ConfigFile::read(tree_.write("binary.toml", text));
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, HasSubstr(":1:"));
  }
}

TEST_F(ConfigFileTest, SaysWhichFileCannotBeRead) {
  const auto absent = ConfigFile::read(tree_.root() / "no\x1b.toml");
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, AllOf(HasSubstr("no\\x1b.toml"), HasSubstr("No such file")));
  EXPECT_FALSE(ConfigFile::read(tree_.root()));
  const auto huge = ConfigFile::read(tree_.write("huge.toml", std::string((1 << 20) + 1, '#')));
  ASSERT_FALSE(huge);
  EXPECT_THAT(huge.error().message, HasSubstr("1048576"));
}

TEST_F(ConfigFileTest, DeepNestingIsAnErrorAndNoCrash) {
  EXPECT_FALSE(ConfigFile::read(tree_.write("deep.toml", "a = " + std::string(100000, '['))));
}

TEST_F(ConfigFileTest, ReadsEachType) {
  ConfigTable root = table(
      "text = \"x\"\ntexts = [\"a\", \"a\"]\ninteger = 3\nnumber = 0.5\nwhole = 2\n"
      "[sub]\nkey = 1\n[[list]]\nkey = 1\n[[list]]\nkey = 2\n");
  root.allow({"text", "texts", "integer", "number", "whole", "sub", "list"});
  EXPECT_EQ(root.text("text"), "x");
  EXPECT_EQ(root.text_or("absent", "y"), "y");
  EXPECT_THAT(root.texts("texts"), ElementsAre("a", "a"));
  EXPECT_THAT(root.texts("absent"), IsEmpty());
  EXPECT_EQ(root.integer("integer", 1, 3), 3);
  EXPECT_EQ(root.number("number", 0.5, 1), 0.5);
  EXPECT_EQ(root.number("whole", 0, 2), 2);
  EXPECT_EQ(root.table("sub")->integer("key", 0, 9), 1);
  EXPECT_EQ(root.tables("list").size(), 2U);
  EXPECT_THAT(root.tables("absent"), IsEmpty());
  EXPECT_EQ(complaints(), "");
}

TEST_F(ConfigFileTest, AnUnknownKeyGetsTheNearestOnes) {
  ConfigTable root = table("summary = \"s\"\n[node]\nmemroy = 1\n");
  root.table("node")->allow({"cpus", "memory"});
  EXPECT_EQ(complaints(), at("3:1: unknown key 'node.memroy'; did you mean 'memory'?"));
}

TEST_F(ConfigFileTest, AKeyThatIsNearNothingGetsAll) {
  table("zzz = 1\n").allow({"cpus", "memory"});
  EXPECT_EQ(complaints(), at("1:1: unknown key 'zzz'; there are: cpus, memory"));
}

TEST_F(ConfigFileTest, AWrongTypeSaysBoth) {
  ConfigTable root = table(
      "a = 1\nb = \"x\"\nc = true\nd = 1.5\ne = 2026-01-01\nf = [1]\ng = \"x\"\nh = {}\ni = [{}, "
      "1]\n");
  root.text("a");
  root.integer("b", 1, 9);
  root.number("c", 0, 1);
  root.integer("d", 1, 9);
  root.text("e");
  root.texts("f");
  root.table("g");
  root.texts("h");
  root.tables("i");
  EXPECT_EQ(complaints(), at("1:5: 'a' must be a string, not an integer\n") +
                              at("2:5: 'b' must be an integer from 1 to 9, not a string\n") +
                              at("3:5: 'c' must be a number from 0 to 1, not true or false\n") +
                              at("4:5: 'd' must be an integer from 1 to 9, not a number\n") +
                              at("5:5: 'e' must be a string, not a date or time\n") +
                              at("6:6: 'f' must hold strings that are one line and not empty\n") +
                              at("7:5: 'g' must be a table: [g]\n") +
                              at("8:5: 'h' must be an array of strings, not a table\n") +
                              at("9:5: 'i' must be an array of tables: [[i]]"));
}

TEST_F(ConfigFileTest, AMissingKeyIsNamedWithItsTable) {
  ConfigTable root = table("a = 1\n[sub]\n");
  root.table("sub")->text("name");
  root.text("summary");
  EXPECT_THAT(complaints(), AllOf(HasSubstr(at("2:1: 'sub.name' is missing")),
                                  HasSubstr(at("1:1: 'summary' is missing"))));
}

TEST_F(ConfigFileTest, EvenAnEmptyFileHasAPosition) {
  table("").text("summary");
  EXPECT_EQ(complaints(), at("1:1: 'summary' is missing"));
}

TEST_F(ConfigFileTest, NumbersOutOfRangeGetTheRange) {
  ConfigTable root =
      table("a = 0\nb = 10\nc = -0.5\nd = nan\ne = inf\nf = 9223372036854775807\ng = 0.5\n");
  EXPECT_EQ(root.integer("a", 1, 9), 1);
  root.integer("b", 1, 9);
  root.number("c", 0, 1);
  root.number("d", 0, 1);
  root.number("e", 0, 1);
  root.number("f", 0, 1);
  root.number("g", 0, 1);
  const std::string text = complaints();
  EXPECT_THAT(text, HasSubstr(at("1:5: 'a' is 0; it must be from 1 to 9")));
  EXPECT_THAT(text, HasSubstr(at("2:5: 'b' is 10; it must be from 1 to 9")));
  EXPECT_THAT(text, HasSubstr(at("3:5: 'c' is -0.5; it must be from 0 to 1")));
  EXPECT_THAT(text, HasSubstr("'d' is nan"));
  EXPECT_THAT(text, HasSubstr("'e' is inf"));
  EXPECT_THAT(text, HasSubstr("'f' is 9.2"));
  EXPECT_THAT(text, Not(HasSubstr("'g'")));
}

TEST_F(ConfigFileTest, OneComplaintAKeyTheFirst) {
  ConfigTable root = table("a = \"\"\n");
  root.text("a");
  root.complain("a", "is also something else");
  EXPECT_EQ(complaints(), at("1:5: 'a' must be a string that is not empty"));
}

TEST_F(ConfigFileTest, AFloodOfComplaintsIsCut) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "k" + std::to_string(i) + " = 1\n";
  table(text).allow({"x"});
  EXPECT_THAT(complaints(), testing::EndsWith("\n... and 30 more"));
}

TEST_F(ConfigFileTest, NamesDoNotRepeat) {
  ConfigTable root = table("a = [\"x\", \"y\", \"x\"]\n");
  EXPECT_THAT(root.names("a"), IsEmpty());
  EXPECT_EQ(complaints(), at("1:16: 'a' names 'x' twice"));
}

TEST_F(ConfigFileTest, ControlCharactersNeverGetOut) {
  ConfigTable root =
      table("\"\\u001b[2J\" = 1\na = \"x\\u0007\"\nb = [\"\\u001b\"]\nc = \"two\\nlines\"\n");
  root.allow({"a", "b", "c"});
  root.text("a");
  root.texts("b");
  root.text("c");
  root.complain("d", "is '\x1b' \xc2\x9b");
  const std::string text = complaints();
  EXPECT_THAT(text, HasSubstr("unknown key '\\x1b[2J'"));
  EXPECT_THAT(text, HasSubstr("'a' must be one line"));
  EXPECT_THAT(text, HasSubstr("'c' must be one line"));
  EXPECT_THAT(text, HasSubstr("'\\x1b' \\xc2\\x9b"));
  EXPECT_EQ(text.find_first_of("\x1b\x07"), std::string::npos);
}

}  // namespace
}  // namespace mmquake
