// SPDX-License-Identifier: GPL-2.0-or-later
//
// For tests. Every file in testdata/: "title: ..." and "kind: ..." for each report, or "none", then
// "---", then the raw console.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "host/console/console.h"

namespace mmquake {

using Titles = std::vector<std::pair<std::string, std::string>>;  // title, kind

struct Sample {
  Titles expected;
  std::string log;
};

inline std::string testdata() {
  return std::string(MMQUAKE_SOURCE_DIR) + "/host/console/testdata";
}

inline std::vector<std::string> sample_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(testdata(), error)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline Sample read_sample(const std::string& name) {
  std::ifstream file(testdata() + "/" + name + ".txt", std::ios::binary);
  Sample sample;
  std::string line;
  while (std::getline(file, line) && line != "---") {
    if (line.starts_with("title: ")) {
      sample.expected.emplace_back(line.substr(7), "");
    } else if (line.starts_with("kind: ") && !sample.expected.empty()) {
      sample.expected.back().second = line.substr(6);
    } else {
      EXPECT_EQ(line, "none") << "in the head of " << name;
    }
  }
  EXPECT_EQ(line, "---") << "no '---' in " << name;
  sample.log.assign(std::istreambuf_iterator<char>(file), {});
  EXPECT_FALSE(sample.log.empty()) << name;
  return sample;
}

inline ConsoleParser parse(const std::string& log) {
  ConsoleParser parser;
  parser.feed(log);
  parser.finish();
  return parser;
}

}  // namespace mmquake
