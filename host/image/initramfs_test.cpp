// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Initramfs : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "initramfs-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    put("guest", std::string(100000, 'g'));
    put("module.ko", "ko");
  }
  void TearDown() override { fs::remove_all(dir_); }

  void put(const std::string& name, const std::string& bytes) const {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
  }
  static std::string bytes_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  InitramfsContents contents() const { return {dir_ / "guest", dir_ / "module.ko"}; }

  fs::path dir_;
};

TEST_F(Initramfs, HoldsTheGuestAndTheWidenerAndNothingElse) {
  ASSERT_TRUE(write_initramfs(contents(), dir_ / "out"));
  archive* reader = archive_read_new();
  archive_read_support_filter_gzip(reader);
  archive_read_support_format_cpio(reader);
  ASSERT_EQ(archive_read_open_filename(reader, (dir_ / "out").c_str(), 16384), ARCHIVE_OK);
  std::vector<std::string> names;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    names.emplace_back(archive_entry_pathname(entry));
    EXPECT_EQ(archive_entry_uid(entry), 0);
    EXPECT_EQ(archive_entry_mtime(entry), 0);
    if (names.back() == "init") {
      EXPECT_EQ(archive_entry_perm(entry), 0755U);
      EXPECT_EQ(archive_entry_size(entry), 100000);
    }
  }
  archive_read_free(reader);
  EXPECT_THAT(names, ElementsAre("init", "mmquake_widener.ko"));
}

TEST_F(Initramfs, SameInputsGiveTheSameBytes) {
  ASSERT_TRUE(write_initramfs(contents(), dir_ / "one"));
  // Other times, permissions and names of the inputs change nothing.
  fs::copy(dir_ / "guest", dir_ / "renamed");
  fs::last_write_time(dir_ / "renamed", fs::file_time_type::clock::now() - std::chrono::hours(99));
  fs::permissions(dir_ / "renamed", fs::perms::owner_read);
  ASSERT_TRUE(write_initramfs({dir_ / "renamed", dir_ / "module.ko"}, dir_ / "two"));
  EXPECT_EQ(bytes_of(dir_ / "one"), bytes_of(dir_ / "two"));
  EXPECT_EQ(*initramfs_key(contents()), *initramfs_key({dir_ / "renamed", dir_ / "module.ko"}));
}

TEST_F(Initramfs, AnotherInputGivesAnotherKeyAndOtherBytes) {
  ASSERT_TRUE(write_initramfs(contents(), dir_ / "one"));
  const std::string before = *initramfs_key(contents());
  EXPECT_NE(before, *initramfs_key({dir_ / "guest", {}}));
  put("module.ko", "other");
  EXPECT_NE(before, *initramfs_key(contents()));
  ASSERT_TRUE(write_initramfs(contents(), dir_ / "two"));
  EXPECT_NE(bytes_of(dir_ / "one"), bytes_of(dir_ / "two"));
}

TEST_F(Initramfs, AMissingInputIsNamedAndNothingIsLeft) {
  const auto written = write_initramfs({dir_ / "nothing", {}}, dir_ / "out");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("nothing"));
  EXPECT_FALSE(fs::exists(dir_ / "out"));
}

TEST_F(Initramfs, AFolderThatIsNotThereIsNamed) {
  const auto written = write_initramfs(contents(), dir_ / "no-folder" / "out");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("no-folder"));
}

TEST_F(Initramfs, TheCacheKeepsWhatIsInUse) {
  const fs::path cache = dir_ / "cache";
  const auto age = [](const fs::path& path, int days) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(24 * days));
  };
  const fs::path first = *cached_initramfs(contents(), cache);
  const fs::path unused = *cached_initramfs({dir_ / "guest", {}}, cache);
  age(first, 31);
  age(unused, 31);
  EXPECT_EQ(*cached_initramfs(contents(), cache), first);  // used again: young again
  put("guest", "another build");
  const fs::path now = *cached_initramfs(contents(), cache);
  EXPECT_NE(now, first);
  EXPECT_TRUE(fs::exists(now));
  EXPECT_TRUE(fs::exists(first));
  EXPECT_FALSE(fs::exists(unused));
}

}  // namespace
}  // namespace mmquake
