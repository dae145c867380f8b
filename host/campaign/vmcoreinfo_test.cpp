// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/vmcoreinfo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>

#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <typename T>
void set(std::string& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

template <typename T>
T at(const std::string& bytes, std::size_t where) {
  T value{};
  EXPECT_LE(where + sizeof(value), bytes.size());
  if (where + sizeof(value) <= bytes.size()) {
    std::memcpy(&value, bytes.data() + where, sizeof(value));
  }
  return value;
}

// A header, a sub header with one note of 4 bytes behind it, and a page.
std::string kdump() {
  std::string bytes(std::size_t{3} * 4096, '\0');
  bytes.replace(0, 8, "KDUMP   ");
  set<std::int32_t>(bytes, 8, 6);
  set<std::uint32_t>(bytes, 428, 4096);
  set<std::uint64_t>(bytes, 4096 + 48, 4200);
  set<std::uint64_t>(bytes, 4096 + 56, 4);
  bytes.replace(4200, 4, "NOTE");
  bytes.replace(std::size_t{2} * 4096, 4, "page");
  return bytes;
}

class Vmcoreinfo : public testing::Test {
 protected:
  Vmcoreinfo()
      : folder_(fs::temp_directory_path() / ("vmcoreinfo_test." + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    Command command;
    command.argv = {"sh", "-c",
                    "echo '.globl init_top_pgt, _stext; _stext = 0x1000; init_top_pgt = 0x2000' | "
                    "gcc -c -x assembler -o '" +
                        (folder_ / "vmlinux").string() + "' -"};
    const auto done = run_command(command);
    EXPECT_TRUE(done && done->exit_code == 0);
    kernel_ = {"6.1.192", folder_ / "vmlinux", false};
  }
  Vmcoreinfo(const Vmcoreinfo&) = delete;
  Vmcoreinfo& operator=(const Vmcoreinfo&) = delete;
  ~Vmcoreinfo() override { fs::remove_all(folder_); }

  Result<> add_to(const std::string& bytes) {
    std::ofstream(folder_ / "vmcore", std::ios::binary) << bytes;
    return add_vmcoreinfo(folder_ / "vmcore", kernel_);
  }
  std::string written() const {
    std::ifstream file(folder_ / "vmcore", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  fs::path folder_;
  DumpedKernel kernel_;
};

TEST_F(Vmcoreinfo, IsANoteBehindThoseThatAreThere) {
  kernel_.five_levels = true;
  const auto added = add_to(kdump());
  ASSERT_TRUE(added) << added.error().message;
  const std::string bytes = written();
  EXPECT_EQ(bytes.substr(std::size_t{2} * 4096, 4), "page");
  EXPECT_STREQ(bytes.c_str() + 12, "Linux");
  EXPECT_STREQ(bytes.c_str() + 142, "6.1.192");
  const auto where = at<std::uint64_t>(bytes, 4096 + 48);
  const auto size = at<std::uint64_t>(bytes, 4096 + 56);
  EXPECT_EQ(where, kdump().size());
  EXPECT_EQ(where + size, bytes.size());
  const std::string notes = bytes.substr(where);
  EXPECT_EQ(notes.substr(0, 4), "NOTE");
  EXPECT_EQ(at<std::uint32_t>(notes, 4), 11U);
  const auto length = at<std::uint32_t>(notes, 8);
  EXPECT_STREQ(notes.c_str() + 16, "VMCOREINFO");
  const std::string info = notes.substr(28, length);
  for (const char* line : {"OSRELEASE=6.1.192\n", "SYMBOL(init_top_pgt)=2000\n",
                           "SYMBOL(_stext)=1000\n", "NUMBER(pgtable_l5_enabled)=1\n"}) {
    EXPECT_THAT(info, HasSubstr(line));
  }
  EXPECT_EQ(info.back(), '\n');
}

TEST_F(Vmcoreinfo, WhatIsNoKdumpFileStaysAsItIs) {
  std::string old = kdump();
  set<std::int32_t>(old, 8, 3);
  std::string huge = kdump();
  set<std::uint64_t>(huge, 4096 + 56, std::uint64_t{1} << 40);
  for (const std::string& bytes : {std::string(), std::string("KDUMP   "), old, huge}) {
    EXPECT_FALSE(add_to(bytes));
    EXPECT_EQ(written(), bytes);
  }
}

TEST_F(Vmcoreinfo, AKernelWithoutTheSymbolsIsAnError) {
  kernel_.vmlinux = folder_ / "none";
  EXPECT_FALSE(add_to(kdump()));
}

}  // namespace
}  // namespace mmquake
