// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every file in testdata/ has its titles and kinds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "host/console/console.h"
#include "host/console/test_samples.h"

namespace mmquake {
namespace {

Titles titles_of(const ConsoleParser& parser) {
  Titles titles;
  for (const KernelReport& report : parser.reports()) {
    titles.emplace_back(report.title, report.kind);
  }
  return titles;
}

std::string all_of(const ConsoleParser& parser) {
  std::string out;
  for (const KernelReport& report : parser.reports()) {
    out += report.title + "|" + report.kind + "|" + std::to_string(report.offset) + "|" +
           report.log + "\n";
  }
  return out + (parser.panicked() ? "panicked" : "") + parser.tail();
}

class ConsoleSamples : public testing::TestWithParam<std::string> {};

TEST_P(ConsoleSamples, HasItsTitlesAndKinds) {
  const Sample sample = read_sample(GetParam());
  EXPECT_THAT(titles_of(parse(sample.log)), testing::ContainerEq(sample.expected));
}

TEST_P(ConsoleSamples, IsTheSameInAnyPiecesAndItsLogsAreRaw) {
  const Sample sample = read_sample(GetParam());
  const std::string whole = all_of(parse(sample.log));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{300}}) {
    ConsoleParser parser;
    for (std::size_t at = 0; at < sample.log.size(); at += piece) {
      parser.feed(std::string_view(sample.log).substr(at, piece));
    }
    parser.finish();
    EXPECT_EQ(all_of(parser), whole) << "in pieces of " << piece;
  }
  // The log is a part of the console.
  const ConsoleParser parser = parse(sample.log);
  for (const KernelReport& report : parser.reports()) {
    const std::string first = report.log.substr(0, report.log.find('\n'));
    EXPECT_TRUE(std::string_view(sample.log).substr(report.offset).starts_with(first))
        << "offset " << report.offset << " of " << report.title;
  }
}

TEST_P(ConsoleSamples, TitlesDoNotDependOnAddressesAndNumbers) {
  const Sample sample = read_sample(GetParam());
  std::string other = sample.log;
  // Another machine: other addresses (ffff8880... and ffffea00...), pids and CPUs.
  for (std::size_t at = 0; (at = other.find("ffff8880", at)) != std::string::npos; ++at) {
    other.replace(at + 8, 3, "1a7");
  }
  for (std::size_t at = 0; (at = other.find("PID: ", at)) != std::string::npos; ++at) {
    other.insert(at + 5, "9");
  }
  for (std::size_t at = 0; (at = other.find("CPU: ", at)) != std::string::npos; ++at) {
    other.insert(at + 5, "1");
  }
  EXPECT_THAT(titles_of(parse(other)), testing::ContainerEq(sample.expected));
}

INSTANTIATE_TEST_SUITE_P(Testdata, ConsoleSamples, testing::ValuesIn(sample_names()),
                         [](const testing::TestParamInfo<std::string>& sample) {
                           std::string name = sample.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(ConsoleSampleFiles, AreThere) {
  EXPECT_GE(sample_names().size(), 30U) << "in " << testdata();
}

// One sample after the other in one console: none leaks into its neighbour.
TEST(ConsoleSampleFiles, DoNotMix) {
  for (const std::string& name : sample_names()) {
    const Sample sample = read_sample(name);
    const Sample next = read_sample("warning");
    Titles expected = sample.expected;
    expected.insert(expected.end(), next.expected.begin(), next.expected.end());
    EXPECT_THAT(titles_of(parse(sample.log + "\n" + next.log)), testing::ContainerEq(expected))
        << name;
  }
}

}  // namespace
}  // namespace mmquake
