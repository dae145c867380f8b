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

// A file of raw bytes behind a compressor, as the kernel's build leaves modules.
void put_compressed(const fs::path& path, const std::string& bytes, int (*add_filter)(archive*)) {
  archive* writer = archive_write_new();
  archive_write_set_format_raw(writer);
  ASSERT_EQ(add_filter(writer), ARCHIVE_OK);
  ASSERT_EQ(archive_write_open_filename(writer, path.c_str()), ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  ASSERT_EQ(archive_write_header(writer, entry), ARCHIVE_OK);
  ASSERT_EQ(archive_write_data(writer, bytes.data(), bytes.size()),
            static_cast<la_ssize_t>(bytes.size()));
  archive_entry_free(entry);
  ASSERT_EQ(archive_write_free(writer), ARCHIVE_OK);
}

TEST_F(Initramfs, HoldsModulesDecompressedInTheirOrder) {
  const std::string module =
      "\x7f"
      "ELF" +
      std::string(200000, 'm');
  put("00-plain.ko", module);
  put_compressed(dir_ / "01-xz.ko.xz", module, archive_write_add_filter_xz);
  put_compressed(dir_ / "02-zstd.ko.zst", module, archive_write_add_filter_zstd);
  put_compressed(dir_ / "03-gzip.ko.gz", module, archive_write_add_filter_gzip);
  InitramfsContents with = contents();
  for (const char* name : {"00-plain.ko", "01-xz.ko.xz", "02-zstd.ko.zst", "03-gzip.ko.gz"}) {
    with.modules.push_back(dir_ / name);
  }
  ASSERT_TRUE(write_initramfs(with, dir_ / "out"));
  archive* reader = archive_read_new();
  archive_read_support_filter_gzip(reader);
  archive_read_support_format_cpio(reader);
  ASSERT_EQ(archive_read_open_filename(reader, (dir_ / "out").c_str(), 16384), ARCHIVE_OK);
  std::vector<std::string> names;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    const std::string name = archive_entry_pathname(entry);
    if (!name.starts_with("modules")) continue;
    names.push_back(name);
    if (name == "modules") {
      EXPECT_EQ(archive_entry_filetype(entry), static_cast<unsigned>(AE_IFDIR));
      continue;
    }
    std::string bytes(module.size() + 1, '\0');
    bytes.resize(static_cast<std::size_t>(archive_read_data(reader, bytes.data(), bytes.size())));
    EXPECT_EQ(bytes, module) << name;
  }
  archive_read_free(reader);
  EXPECT_THAT(names, ElementsAre("modules", "modules/00-plain.ko", "modules/01-xz.ko",
                                 "modules/02-zstd.ko", "modules/03-gzip.ko"));
  EXPECT_NE(*initramfs_key(with), *initramfs_key(contents()));
}

TEST_F(Initramfs, ABrokenModuleIsNamed) {
  put("00-cut.ko.xz", std::string("\xfd"
                                  "7zXZ\0\0\4",
                                  8));
  InitramfsContents with = contents();
  with.modules = {dir_ / "00-cut.ko.xz"};
  const auto written = write_initramfs(with, dir_ / "out");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("00-cut.ko.xz"));
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

TEST_F(Initramfs, AProgramOfTheUsersIsPartOfItAndOfItsKey) {
  put("program", "elf");
  put("busybox", "shell");
  InitramfsContents with = contents();
  with.payload = Payload{dir_ / "program", dir_ / "busybox"};
  EXPECT_NE(initramfs_key(with).value(), initramfs_key(contents()).value());
  ASSERT_TRUE(write_initramfs(with, dir_ / "out"));
  archive* reader = archive_read_new();
  archive_read_support_filter_gzip(reader);
  archive_read_support_format_cpio(reader);
  ASSERT_EQ(archive_read_open_filename(reader, (dir_ / "out").c_str(), 16384), ARCHIVE_OK);
  std::vector<std::string> names;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    names.emplace_back(archive_entry_pathname(entry));
    if (names.back() == "payload/run") {
      EXPECT_EQ(archive_entry_perm(entry), 0755U);
    } else if (names.back() == "bin/sh") {
      EXPECT_STREQ(archive_entry_symlink(entry), "busybox");
    }
  }
  archive_read_free(reader);
  EXPECT_THAT(names, ElementsAre("init", "mmquake_widener.ko", "payload", "payload/run", "bin",
                                 "bin/busybox", "bin/sh"));
}

}  // namespace
}  // namespace mmquake
