// SPDX-License-Identifier: GPL-2.0-or-later
//
// Against a kernel in miniature (sample/), built with the tests: its line numbers are known.
#include "host/console/symbolizer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <string>

namespace mmquake {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Sizes of the functions of an ELF file by name, ascending.
std::map<std::string, std::multiset<std::uint64_t>> sizes_of(const std::string& path) {
  std::map<std::string, std::multiset<std::uint64_t>> sizes;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(fd, ELF_C_READ, nullptr);
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_SYMTAB) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    GElf_Sym symbol;
    for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC) sizes[name].insert(symbol.st_size);
    }
  }
  elf_end(elf);
  ::close(fd);
  return sizes;
}

std::string frame(const std::string& function, std::uint64_t offset, std::uint64_t size) {
  return fmt::format("{}+{:#x}/{:#x}", function, offset, size);
}

class SymbolizerOnSample : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto opened = Symbolizer::open(GetParam());
    ASSERT_TRUE(opened) << opened.error().message;
    symbolizer_ = std::make_unique<Symbolizer>(std::move(*opened));
    sizes_ = sizes_of(GetParam());
  }
  // What is said about every offset of the function, without the frame itself.
  std::set<std::string> places(const std::string& function, std::uint64_t size,
                               const std::string& before) {
    std::set<std::string> out;
    for (std::uint64_t offset = 0; offset < size; ++offset) {
      const std::string raw = frame(function, offset, size);
      std::string text = symbolizer_->symbolize(before + raw);
      const std::size_t at = text.find(raw);
      EXPECT_NE(at, std::string::npos) << text;
      if (at != std::string::npos) out.insert(text.replace(at, raw.size(), "FRAME"));
    }
    return out;
  }
  std::uint64_t size_of(const std::string& function) { return *sizes_.at(function).begin(); }

  std::unique_ptr<Symbolizer> symbolizer_;
  std::map<std::string, std::multiset<std::uint64_t>> sizes_;
};

TEST_P(SymbolizerOnSample, NamesFileAndLineBelowTheSourceRoot) {
  EXPECT_THAT(places("handle_fault", size_of("handle_fault"), "RIP: 0010:"),
              Contains("RIP: 0010:FRAME (mm/fault.c:21)"));
}

TEST_P(SymbolizerOnSample, ShowsInlinesInnermostFirst) {
  EXPECT_THAT(places("handle_fault", size_of("handle_fault"), "RIP: 0010:"),
              Contains("          lock_page (inline/locks.h:4) [inline]\n"
                       "          wait_on_page (mm/fault.c:17) [inline]\n"
                       "RIP: 0010:FRAME (mm/fault.c:22)"));
}

TEST_P(SymbolizerOnSample, TakesTheCallAndNotTheReturnAddress) {
  const std::uint64_t size = size_of("handle_fault");
  for (std::uint64_t offset = 1; offset < size; ++offset) {
    const auto at = [&](const std::string& before, std::uint64_t where) {
      std::string text = symbolizer_->symbolize(before + frame("handle_fault", where, size));
      return text.substr(text.rfind(' '));
    };
    ASSERT_EQ(at(" ", offset), at("RIP: 0010:", offset - 1)) << "offset " << offset;
  }
  EXPECT_EQ(symbolizer_->symbolize(frame("handle_fault", size, size)).substr(0, 12),
            "handle_fault");
}

TEST_P(SymbolizerOnSample, SizeTellsStaticNamesakesApart) {
  const std::multiset<std::uint64_t>& sizes = sizes_.at("twin");
  ASSERT_EQ(sizes.size(), 2U);
  ASSERT_LT(*sizes.begin(), *sizes.rbegin());
  EXPECT_THAT(places("twin", *sizes.begin(), "RIP: 0010:"),
              Contains("RIP: 0010:FRAME (mm/fault.c:7)"));
  EXPECT_THAT(places("twin", *sizes.rbegin(), "RIP: 0010:"),
              Contains("RIP: 0010:FRAME (mm/other.c:5)"));
}

TEST_P(SymbolizerOnSample, DoesNotGuessBetweenNamesakesOfOneSize) {
  ASSERT_EQ(sizes_.at("same").size(), 2U);
  const std::string raw = frame("same", 0, size_of("same"));
  EXPECT_EQ(symbolizer_->symbolize("RIP: 0010:" + raw), "RIP: 0010:" + raw);
}

TEST_P(SymbolizerOnSample, LeavesTheRestAlone) {
  const std::uint64_t size = size_of("handle_fault");
  for (const std::string& raw :
       {std::string(""), std::string("\n\n"), std::string("no frame at all\n"),
        frame("unknown_function", 1, 2), frame("handle_fault", size + 1, size),
        frame("handle_fault", ~0ULL, size), frame("handle_fault", 1, size + 4096),
        frame("handle_fault", 1, ~0ULL), frame("handle_fault", ~0ULL, ~0ULL),
        frame("handle_fault", 1, size) + " [mmquake_widener]",
        std::string("handle_fault+0x11111111111111111111/0x2"), std::string("handle_fault+0x1"),
        std::string("\x1b[31m\xff+0x1/0x2"), std::string(100000, '+')}) {
    EXPECT_EQ(symbolizer_->symbolize(raw), raw);
  }
}

TEST_P(SymbolizerOnSample, KeepsLinesAndWhatSurroundsAFrame) {
  const std::uint64_t size = size_of("handle_fault");
  const std::string text = "[   12.345678]  ? " + frame("handle_fault", 1, size) + " tail\nnext\n";
  const std::string out = symbolizer_->symbolize(text);
  EXPECT_THAT(out, testing::StartsWith("[   12.345678]  ? handle_fault+0x1/"));
  EXPECT_THAT(out, testing::EndsWith(") tail\nnext\n"));
}

TEST_P(SymbolizerOnSample, AMegabyteOfFramesIsQuick) {
  std::string text;
  const std::uint64_t size = size_of("handle_fault");
  for (std::uint64_t i = 0; text.size() < (1U << 20); ++i) {
    text += frame(i % 2 == 0 ? "handle_fault" : fmt::format("f{}", i), i % size, size) + "\n";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_GT(symbolizer_->symbolize(text).size(), text.size());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 10.0);
}

INSTANTIATE_TEST_SUITE_P(Kernels, SymbolizerOnSample,
                         testing::Values(SAMPLE_VMLINUX, SAMPLE_VMLINUX_IN_TREE),
                         [](const testing::TestParamInfo<const char*>& kernel) {
                           return kernel.index == 0 ? "OutOfTreeDwarf5" : "InTreeDwarf4";
                         });

TEST(Symbolizer, SaysWhyItCannotOpen) {
  const auto missing = Symbolizer::open("/nonexistent/vmlinux");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("'/nonexistent/vmlinux': No such file"));

  const std::string path = testing::TempDir() + "mmquake-no-elf-" + std::to_string(getpid());
  std::ofstream(path) << "#!/bin/sh\n";
  const auto script = Symbolizer::open(path);
  ASSERT_FALSE(script);
  EXPECT_THAT(script.error().message, HasSubstr("no ELF file"));
  ::unlink(path.c_str());

  const auto directory = Symbolizer::open(testing::TempDir());
  EXPECT_FALSE(directory);
}

}  // namespace
}  // namespace mmquake
