// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/flattened_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string number(std::uint64_t value) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

std::string piece(std::uint64_t place, const std::string& bytes) {
  return number(place) + number(bytes.size()) + bytes;
}

std::string head() {
  std::string out = "makedumpfile";
  out.resize(4096, '\0');
  return out;
}

std::string tail() {
  return std::string(16, '\xff');
}

class FlattenedDump : public testing::Test {
 protected:
  FlattenedDump()
      : folder_(fs::temp_directory_path() / ("flattened_dump_test." + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  FlattenedDump(const FlattenedDump&) = delete;
  FlattenedDump& operator=(const FlattenedDump&) = delete;
  ~FlattenedDump() override { fs::remove_all(folder_); }

  Result<std::uint64_t> put_in_order(const std::string& bytes) {
    std::ofstream(folder_ / "flat", std::ios::binary) << bytes;
    return unflatten(folder_ / "flat", folder_ / "vmcore");
  }
  std::string written() const {
    std::ifstream file(folder_ / "vmcore", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  fs::path folder_;
};

TEST_F(FlattenedDump, EachPieceGoesToItsPlace) {
  const auto size =
      put_in_order(head() + piece(6, "last") + piece(0, "KDUMP") + piece(1, "dump") + tail());
  ASSERT_TRUE(size) << size.error().message;
  EXPECT_EQ(*size, 13U);
  EXPECT_EQ(written(), std::string("Kdump\0last", 10));
}

TEST_F(FlattenedDump, AFileInOrderIsTakenAsItIs) {
  ASSERT_TRUE(put_in_order("KDUMP   and the rest"));
  EXPECT_EQ(written(), "KDUMP   and the rest");
}

TEST_F(FlattenedDump, WhatIsNoDumpOrHalfOneIsAnError) {
  for (const std::string& bytes :
       {std::string(), std::string("ELF"), head(), head() + piece(0, "KDUMP"),
        head() + number(0) + number(100) + "short" + tail(),
        head() + number(1ULL << 60) + number(1) + "x" + tail()}) {
    EXPECT_FALSE(put_in_order(bytes)) << bytes.size();
  }
  const auto none = unflatten(folder_ / "nothing", folder_ / "vmcore");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("nothing"));
}

}  // namespace
}  // namespace mmquake
