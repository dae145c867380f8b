// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/section_map.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kPagesASection = 32768;
constexpr std::uint64_t kFlags = 0xf;  // present, with a map, online, early

constexpr const char* kNote =
    "OSRELEASE=6.1.192\nPAGESIZE=4096\nSYMBOL(mem_section)=ffff888000001000\n"
    "LENGTH(mem_section)=2\nSIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0\n"
    "NUMBER(SECTION_SIZE_BITS)=27\nNUMBER(MAX_PHYSMEM_BITS)=46\nSIZE(page)=64\n";

TEST(SectionFacts, AreReadFromVmcoreinfo) {
  const auto facts = section_facts(kNote);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(*facts, (SectionFacts{0xffff888000001000, 2, 16, 0, kPagesASection}));
}

TEST(SectionFacts, SayWhatIsMissing) {
  const auto flat = section_facts("OSRELEASE=6.1.192\nSYMBOL(mem_map)=ffffffff81000000\n");
  ASSERT_FALSE(flat);
  EXPECT_EQ(flat.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(flat.error().message, HasSubstr("SYMBOL(mem_section)"));
  std::string odd = kNote;
  odd.replace(odd.find("SIZE_BITS)=27"), 13, "SIZE_BITS)=99");
  const auto nonsense = section_facts(odd);
  ASSERT_FALSE(nonsense);
  EXPECT_EQ(nonsense.error().kind, ErrorKind::kBroken);
}

TEST(SectionMap, ABreakIsWhereNeighboursHaveDifferentBases) {
  // Sections 8 and 9 are one array, 10 is elsewhere, 11 is a hole, 12 is elsewhere again.
  const SectionMap map = SectionMap::of(kPagesASection, {{8, 0x1000000 | kFlags},
                                                         {9, 0x1000000 | kFlags},
                                                         {10, 0x2000000 | kFlags},
                                                         {11, 0x3000000 | 1},
                                                         {12, 0x4000000 | kFlags},
                                                         {13, 0x4000000 | 0x7}});
  EXPECT_EQ(map.sections(), 5U);
  EXPECT_EQ(map.breaks(), 1U);
  const std::uint64_t border = 10 * kPagesASection;
  EXPECT_THAT(map.breaks_in(8 * kPagesASection, 8 * kPagesASection), ElementsAre(border));
  EXPECT_THAT(map.breaks_in(border - 1, 2), ElementsAre(border));
  EXPECT_TRUE(map.breaks_in(border, 100).empty()) << "page 0 is reached without a step";
  EXPECT_TRUE(map.breaks_in(border - 100, 100).empty());
}

// A core file as the kernel makes it, in small: a note and two pieces of memory.
class KcoreTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRoots = 0xffff888000001000;
  static constexpr std::uint64_t kArray = 0xffff888000200000;

  void SetUp() override {
    path_ = testing::TempDir() + "mmquake-kcore-" + std::to_string(getpid());
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static std::string note(const std::string& name, const std::string& text) {
    Elf64_Nhdr header{};
    header.n_namesz = static_cast<Elf64_Word>(name.size() + 1);
    header.n_descsz = static_cast<Elf64_Word>(text.size());
    std::string out(sizeof(header), '\0');
    std::memcpy(out.data(), &header, sizeof(header));
    for (const std::string& part : {name + '\0', text}) {
      out += part;
      while (out.size() % 4 != 0) out += '\0';
    }
    return out;
  }

  void write(const std::string& notes, const std::vector<std::uint64_t>& maps) {
    std::string roots(16, '\0');  // the second root is empty
    std::memcpy(roots.data(), &kArray, sizeof(kArray));
    std::string array(4096, '\0');
    for (std::size_t i = 0; i < maps.size(); ++i) {
      std::memcpy(array.data() + i * 16, &maps[i], sizeof(maps[i]));
    }
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 3;
    std::string file(sizeof(header), '\0');
    std::memcpy(file.data(), &header, sizeof(header));
    std::uint64_t offset = sizeof(header) + 3 * sizeof(Elf64_Phdr);
    const auto add = [&](Elf64_Word type, std::uint64_t address, const std::string& bytes) {
      Elf64_Phdr segment{};
      segment.p_type = type;
      segment.p_offset = offset;
      segment.p_vaddr = address;
      segment.p_filesz = bytes.size();
      segment.p_memsz = bytes.size();
      file.append(reinterpret_cast<const char*>(&segment), sizeof(segment));
      offset += bytes.size();
    };
    add(PT_NOTE, 0, notes);
    add(PT_LOAD, kRoots, roots);
    add(PT_LOAD, kArray, array);
    std::ofstream(path_, std::ios::binary) << file << notes << roots << array;
  }

  std::string path_;
};

TEST_F(KcoreTest, TheTableIsReadThroughNoteAndSegments) {
  write(note("CORE", "something else") + note("VMCOREINFO", kNote),
        {0, 0x1000000 | kFlags, 0x1000000 | kFlags, 0x5000000 | kFlags});
  const auto map = SectionMap::read(path_);
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_EQ(map->pages_a_section(), kPagesASection);
  EXPECT_EQ(map->sections(), 3U);
  EXPECT_THAT(map->breaks_in(0, 8 * kPagesASection), ElementsAre(3 * kPagesASection));
}

TEST_F(KcoreTest, WhatCannotBeReadIsAnError) {
  write(note("CORE", "something else"), {});
  const auto without_note = SectionMap::read(path_);
  ASSERT_FALSE(without_note);
  EXPECT_EQ(without_note.error().kind, ErrorKind::kSkipped);
  // The kernel reads as zeros what it will not show: no section at all is not "no break".
  write(note("VMCOREINFO", kNote), {});
  const auto zeros = SectionMap::read(path_);
  ASSERT_FALSE(zeros);
  EXPECT_THAT(zeros.error().message, HasSubstr("no section"));
  std::string elsewhere = kNote;
  elsewhere.replace(elsewhere.find("ffff888000001000"), 16, "ffff888000009000");
  write(note("VMCOREINFO", elsewhere), {});
  EXPECT_THAT(SectionMap::read(path_).error().message, HasSubstr("0xffff888000009000"));
  std::ofstream(path_) << "no core file, but long enough to hold the header of one ............";
  EXPECT_THAT(SectionMap::read(path_).error().message, HasSubstr("no 64-bit core file"));
  const auto gone = SectionMap::read(path_ + "-gone");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(gone.error().message, HasSubstr("CONFIG_PROC_KCORE"));
}

TEST_F(KcoreTest, KallsymsTellsOfVmemmap) {
  std::ofstream(path_) << "0000000000000000 T vmemmap_populate_print_last\n"
                          "0000000000000000 T vmemmap_populate\n0000000000000000 T x\n";
  EXPECT_TRUE(has_vmemmap(path_).value());
  std::ofstream(path_) << "0000000000000000 W vmemmap_populate_print_last\n";
  EXPECT_FALSE(has_vmemmap(path_).value());
  std::ofstream(path_) << "";
  EXPECT_FALSE(has_vmemmap(path_));
}

}  // namespace
}  // namespace mmquake
