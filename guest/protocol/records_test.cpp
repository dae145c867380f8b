// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/protocol/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace mmquake {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kBig = std::numeric_limits<std::uint64_t>::max();

std::vector<Record> samples() {
  Hello hello;
  hello.kernel = "6.1.1-mmquake";
  hello.cpus = 4;
  hello.nodes = 2;
  hello.memory_mib = 2048;
  hello.uptime_s = 1.25;
  hello.calibration_ms = 17.5;
  Heartbeat beat;
  beat.time_s = 3;
  beat.uptime_s = 5.5;
  beat.round = 41;
  beat.roles = {{"migrator", 7, "running"}, {"faulter", kBig, "parked"}};
  beat.counters = {{"migrated/anon-thp/move_pages", 12}};
  FindingRecord finding;
  finding.kind = "hang";
  finding.title = "hang in handle_userfault";
  finding.role = "faulter";
  finding.time_s = 3.1;
  finding.round = 41;
  finding.evidence = {{"stack", "[<0>] handle_userfault+0x1/0x2\n"}, {"wchan", "\"q\"\t\\"}};
  Summary summary;
  summary.outcome = Outcome::kSkipped;
  summary.reason = "no userfaultfd";
  summary.time_s = 60;
  summary.rounds = 1204;
  summary.counters = {{"a", 1}, {"b", kBig}};
  summary.widener = {{"remove_migration_pmd+0x10", 5, 4, 3}};
  GuestPlan plan;
  plan.workload = "uffd-thp-wait";
  plan.params = {{"variant", "wp"}};
  plan.seed = kBig;
  plan.seconds = 0.5;
  plan.max_rounds = 9;
  plan.max_findings = 2;
  plan.slowdown = 11.5;
  plan.turn = 3;
  plan.widen = {{"set_pmd_migration_entry", 10, 20, 0.5, "migrator", "spin"}};
  return {hello, beat, finding, summary, Note{"ein Wort: \xc3\xbc"}, plan};
}

std::string one_frame() {
  return encode(Note{"hello"});
}

TEST(Records, EveryRecordComesBackAsItWas) {
  RecordReader reader;
  for (const Record& record : samples()) {
    const std::vector<Record> got = reader.feed(encode(record));
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].index(), record.index());
    EXPECT_EQ(to_json(got[0]), to_json(record));
  }
  EXPECT_EQ(reader.stats().records, samples().size());
  EXPECT_EQ(reader.stats().bad_frames, 0U);
  EXPECT_EQ(reader.stats().garbage_bytes, 0U);
}

TEST(Records, ValuesSurvive) {
  RecordReader reader;
  const std::vector<Record> all = samples();
  const auto plan = std::get<GuestPlan>(reader.feed(encode(all[5])).at(0));
  EXPECT_EQ(plan.seed, kBig);
  EXPECT_EQ(plan.params.at("variant"), "wp");
  EXPECT_EQ(plan.widen.at(0).comm, "migrator");
  EXPECT_DOUBLE_EQ(plan.widen.at(0).probability, 0.5);
  const auto summary = std::get<Summary>(reader.feed(encode(all[3])).at(0));
  EXPECT_EQ(summary.outcome, Outcome::kSkipped);
  EXPECT_EQ(summary.widener.at(0).effective, 4U);
  const auto finding = std::get<FindingRecord>(reader.feed(encode(all[2])).at(0));
  EXPECT_EQ(finding.evidence.at("wchan"), "\"q\"\t\\");
}

TEST(Records, ByteByByteIsTheSame) {
  RecordReader reader;
  std::size_t seen = 0;
  for (const Record& record : samples()) {
    for (const char c : encode(record)) {
      seen += reader.feed(std::string_view(&c, 1)).size();
    }
  }
  EXPECT_EQ(seen, samples().size());
}

TEST(Records, GarbageBetweenFramesIsCountedAndSkipped) {
  RecordReader reader;
  const std::string bytes = "[ 1.0] BUG: x\r\n" + one_frame() + std::string(100, '\0') + "\n";
  EXPECT_EQ(reader.feed(bytes).size(), 1U);
  EXPECT_EQ(reader.stats().garbage_bytes, 15U + 101U);
  EXPECT_EQ(reader.stats().bad_frames, 0U);
}

TEST(Records, TruncatedFrameCostsOnlyItself) {
  RecordReader reader;
  const std::string half = one_frame().substr(0, 20);
  EXPECT_EQ(reader.feed(half + one_frame()).size(), 1U);
  EXPECT_EQ(reader.feed(half + "\n" + one_frame()).size(), 1U);
  EXPECT_EQ(reader.stats().bad_frames, 2U);
}

TEST(Records, BadChecksumIsRefused) {
  RecordReader reader;
  std::string frame = one_frame();
  frame[frame.size() - 4] ^= 1;
  EXPECT_TRUE(reader.feed(frame).empty());
  EXPECT_EQ(reader.stats().bad_frames, 1U);
}

TEST(Records, EveryDamagedByteIsNoticed) {
  const std::string frame = one_frame();
  for (std::size_t i = 0; i + 1 < frame.size(); ++i) {
    std::string damaged = frame;
    damaged[i] = 'Z';
    RecordReader reader;
    EXPECT_TRUE(reader.feed(damaged + "\n").empty()) << "byte " << i;
  }
}

TEST(Records, EndlessLineStaysBoundedAndEndsAtTheNextFrame) {
  RecordReader reader;
  reader.feed("\x1eMMQ1 01234567 ");
  const std::string block(65536, 'x');
  for (int i = 0; i < 1024; ++i) {
    EXPECT_TRUE(reader.feed(block).empty());
  }
  EXPECT_EQ(reader.stats().bad_frames, 1U);
  EXPECT_GT(reader.stats().garbage_bytes, 60U << 20);
  EXPECT_EQ(reader.feed(one_frame()).size(), 1U);
}

TEST(Records, InvalidUtf8IsReplacedWhenWrittenAndRefusedWhenRead) {
  RecordReader reader;
  const std::vector<Record> got = reader.feed(encode(Note{"a\xff\xc3(b"}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_THAT(std::get<Note>(got[0]).text, HasSubstr("\xef\xbf\xbd"));
  EXPECT_FALSE(from_json("{\"type\":\"note\",\"text\":\"\xff\"}"));
}

TEST(Records, NotFiniteNumbersDoNotSpoilAFrame) {
  Hello hello;
  hello.uptime_s = std::nan("");
  hello.calibration_ms = std::numeric_limits<double>::infinity();
  RecordReader reader;
  EXPECT_EQ(reader.feed(encode(hello)).size(), 1U);
}

TEST(Records, HugeTextsAreClippedSoThatTheFrameFits) {
  FindingRecord finding;
  finding.title = std::string(1000, 't');
  for (int i = 0; i < 20; ++i) {
    finding.evidence["e" + std::to_string(i)] = std::string(200'000, '\x01');  // escapes to 6 bytes
  }
  const std::string frame = encode(finding);
  EXPECT_LE(frame.size(), kMaxFrameBytes);
  RecordReader reader;
  const std::vector<Record> got = reader.feed(frame);
  ASSERT_EQ(got.size(), 1U);
  const auto& back = std::get<FindingRecord>(got[0]);
  EXPECT_EQ(back.evidence.size(), 20U);
  EXPECT_EQ(back.title.size(), kMaxNameBytes);
  EXPECT_GT(back.evidence.at("e0").size(), 500U);
}

TEST(Records, DeepNestingIsRefusedBeforeItIsParsed) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string deep = R"({"type":"note","text":"x","y":)";
    for (int i = 0; i < 20'000; ++i) {
      deep += open;
    }
    const Result<Record> got = from_json(deep);
    ASSERT_FALSE(got);
    EXPECT_THAT(got.error().message, HasSubstr("too deep"));
  }
}

TEST(Records, BracketsInsideATextAreNoNesting) {
  const Note note{std::string(100, '[') + "\"\\" + std::string(100, '{')};
  const Result<Record> got = from_json(to_json(note));
  ASSERT_TRUE(got);
  EXPECT_EQ(std::get<Note>(*got).text, note.text);
}

struct Refused {
  const char* payload;
  const char* why;
};

class RecordsRefused : public testing::TestWithParam<Refused> {};

TEST_P(RecordsRefused, NamesWhatIsWrong) {
  const Result<Record> got = from_json(GetParam().payload);
  ASSERT_FALSE(got) << GetParam().payload;
  EXPECT_THAT(got.error().message, HasSubstr(GetParam().why));
}

#define HB(rest) R"({"type":"heartbeat","time_s":1,"uptime_s":2,"round":1,)" rest "}"
#define SUM(outcome)                                                                                     \
  R"({"type":"summary","reason":"","time_s":0,"rounds":0,"counters":{},"widener":[],"outcome":)" outcome \
  "}"

INSTANTIATE_TEST_SUITE_P(
    All, RecordsRefused,
    testing::Values(
        Refused{"", "no JSON object"}, Refused{"null", "no JSON object"},
        Refused{"[]", "no JSON object"}, Refused{"{\"type\":\"note\",\"text\":\"x\"", "no JSON"},
        Refused{"{}", "no type"}, Refused{R"({"type":3})", "no type"},
        Refused{R"({"type":"gift"})", "none of hello"},
        Refused{R"({"type":"note"})", "note.text is missing"},
        Refused{R"({"type":"note","text":7})", "note.text is no text"},
        Refused{R"({"type":"note","text":null})", "note.text is no text"},
        Refused{HB(R"("roles":{},"counters":{})"), "heartbeat.roles is no list"},
        Refused{HB(R"("roles":[],"counters":[])"), "heartbeat.counters is no object"},
        Refused{HB(R"("roles":[],"counters":{"a":-1})"), "no integer"},
        Refused{HB(R"("roles":[],"counters":{"a":1.5})"), "no integer"},
        Refused{HB(R"("roles":[],"counters":{"a":18446744073709551616})"), "no integer"},
        Refused{HB(R"("roles":[3],"counters":{})"), "heartbeat.roles is no object"},
        Refused{HB(R"("roles":[{"name":"a","steps":-1,"state":"x"}],"counters":{})"),
                "heartbeat.roles.steps is no integer"},
        Refused{R"({"type":"heartbeat","time_s":-1})", "time_s is no number"},
        Refused{R"({"type":"heartbeat","time_s":1e16})", "time_s is no number"},
        Refused{R"({"type":"heartbeat","time_s":1e999})", "no JSON object"},
        Refused{R"({"type":"heartbeat","time_s":true})", "time_s is no number"},
        Refused{SUM("\"fine\""), "summary.outcome is none of"},
        Refused{SUM("1"), "summary.outcome is no text"},
        Refused{R"({"type":"hello","protocol":99999999999})", "hello.protocol is no integer"}));

TEST(Records, OverlongTextsAndNamesAreRefused) {
  EXPECT_FALSE(
      from_json(R"({"type":"note","text":")" + std::string(kMaxTextBytes + 1, 'x') + "\"}"));
  EXPECT_FALSE(from_json(
      R"({"type":"heartbeat","time_s":1,"uptime_s":2,"round":1,"roles":[],"counters":{")" +
      std::string(kMaxNameBytes + 1, 'x') + "\":1}}"));
  std::string many =
      R"({"type":"heartbeat","time_s":1,"uptime_s":2,"round":1,"roles":[],"counters":{"a":1)";
  for (std::size_t i = 0; i < kMaxListEntries; ++i) {
    many += ",\"" + std::to_string(i) + "\":1";
  }
  const Result<Record> got = from_json(many + "}}");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("entries"));
}

TEST(Records, UnknownFieldsAreIgnored) {
  EXPECT_TRUE(from_json(R"({"type":"note","text":"x","later":[1,{"a":2}]})"));
}

TEST(Records, CalibrationTakesTime) {
  const double ms = calibrate();
  EXPECT_GT(ms, 0.01);
  EXPECT_LT(ms, 10'000);
}

}  // namespace
}  // namespace mmquake
