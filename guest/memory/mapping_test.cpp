// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/mapping.h"

#include <gtest/gtest.h>

#include <utility>

#include "guest/memory/page_map.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

TEST(Backing, NamesGoBothWays) {
  for (Backing backing : kAllBackings) EXPECT_EQ(backing_from(to_string(backing)), backing);
  EXPECT_FALSE(backing_from("anon-1g"));
  EXPECT_EQ(unit_bytes(Backing::kShmem4k), kSmallPage);
  EXPECT_EQ(unit_bytes(Backing::kHugetlb2m), kHugePage);
}

class SmallMapping : public testing::TestWithParam<Backing> {};

TEST_P(SmallMapping, IsAlignedWritableAndStartsAtZero) {
  auto mapping = Mapping::create(GetParam(), 3 * kSmallPage + 1);
  ASSERT_TRUE(mapping) << mapping.error().message;
  EXPECT_EQ(mapping->size(), 4 * kSmallPage);
  EXPECT_EQ(mapping->address() % kHugePage, 0U);
  EXPECT_EQ(mapping->data()[kSmallPage], std::byte{0});
  mapping->data()[4 * kSmallPage - 1] = std::byte{7};
  EXPECT_EQ(mapping->data()[4 * kSmallPage - 1], std::byte{7});
  ASSERT_TRUE(mapping->discard(3 * kSmallPage, kSmallPage));
  EXPECT_EQ(mapping->data()[4 * kSmallPage - 1], std::byte{0});
  EXPECT_FALSE(mapping->discard(4 * kSmallPage, 1));
  EXPECT_FALSE(mapping->discard(0, 5 * kSmallPage));
}

INSTANTIATE_TEST_SUITE_P(All, SmallMapping, testing::Values(Backing::kAnon4k, Backing::kShmem4k));

TEST(Mapping, RefusesNoBytes) {
  auto mapping = Mapping::create(Backing::kAnon4k, 0);
  ASSERT_FALSE(mapping);
  EXPECT_NE(mapping.error().message.find("anon-4k"), std::string::npos);
}

TEST(Mapping, MovesItsOwnership) {
  auto first = Mapping::create(Backing::kShmem4k, kSmallPage);
  ASSERT_TRUE(first) << first.error().message;
  std::byte* data = first->data();
  Mapping second = std::move(*first);
  EXPECT_EQ(first->data(), nullptr);  // NOLINT(bugprone-use-after-move): that is the test
  EXPECT_EQ(second.data(), data);
  second.data()[0] = std::byte{1};
  Mapping third;
  third = std::move(second);
  EXPECT_EQ(third.data()[0], std::byte{1});
}

TEST(Mapping, AliasSeesTheSameBytes) {
  auto mapping = Mapping::create(Backing::kShmem4k, 2 * kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  auto alias = mapping->alias();
  ASSERT_TRUE(alias) << alias.error().message;
  EXPECT_NE(alias->data(), mapping->data());
  alias->data()[5000] = std::byte{42};
  EXPECT_EQ(mapping->data()[5000], std::byte{42});
}

TEST(Mapping, AnonymousMemoryHasNoAlias) {
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  EXPECT_FALSE(mapping->alias());
}

TEST(Mapping, AnonThpBecomesHuge) {
  auto mapping = Mapping::create(Backing::kAnonThp, kHugePage);
  if (!mapping) GTEST_SKIP() << mapping.error().message;
  for (std::size_t at = 0; at < kHugePage; at += kSmallPage) mapping->data()[at] = std::byte{1};
  auto huge = mapping->huge_bytes();
  ASSERT_TRUE(huge) << huge.error().message;
  if (*huge == 0) GTEST_SKIP() << "this host gave no huge page (fragmented or switched off)";
  EXPECT_EQ(*huge, kHugePage);
}

TEST(Mapping, SmallPagesAreNotHuge) {
  auto mapping = Mapping::create(Backing::kAnon4k, kHugePage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  for (std::size_t at = 0; at < kHugePage; at += kSmallPage) mapping->data()[at] = std::byte{1};
  auto huge = mapping->huge_bytes();
  ASSERT_TRUE(huge) << huge.error().message;
  EXPECT_EQ(*huge, 0U);
}

TEST(Mapping, HugetlbWithoutPoolIsSkippedByName) {
  auto text = read_text("/proc/meminfo");
  ASSERT_TRUE(text) << text.error().message;
  if (text->find("HugePages_Total:       0\n") == std::string::npos)
    GTEST_SKIP() << "this host has hugetlb pages, or no hugetlb";
  auto mapping = Mapping::create(Backing::kHugetlb2m, kHugePage);
  ASSERT_FALSE(mapping);
  EXPECT_EQ(mapping.error().kind, ErrorKind::kSkipped) << mapping.error().message;
  EXPECT_NE(mapping.error().message.find("hugetlb"), std::string::npos);
}

constexpr const char* kSmaps =
    "7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \n"
    "Size:               4096 kB\n"
    "AnonHugePages:      2048 kB\n"
    "ShmemPmdMapped:        0 kB\n"
    "VmFlags: rd wr mr mw me ac sd hg\n"
    "7f0000400000-7f0000800000 rw-s 00000000 00:01 12 /memfd:x (deleted)\n"
    "AnonHugePages:         0 kB\n"
    "ShmemPmdMapped:     4096 kB\n"
    "Private_Hugetlb:       0 kB\n";

TEST(Smaps, SumsTheAreasOfTheRange) {
  EXPECT_EQ(huge_bytes_in_smaps(kSmaps, 0x7f0000000000, 0x7f0000800000).value(), 6U << 20);
  EXPECT_EQ(huge_bytes_in_smaps(kSmaps, 0x7f0000000000, 0x7f0000400000).value(), 2U << 20);
  EXPECT_EQ(huge_bytes_in_smaps(kSmaps, 0x7f0000400000, 0x7f0000800000).value(), 4U << 20);
  EXPECT_EQ(huge_bytes_in_smaps("", 0, ~0ULL).value(), 0U);
}

TEST(Smaps, AFieldWithoutNumberIsAnError) {
  EXPECT_FALSE(huge_bytes_in_smaps("10-20 rw-p\nAnonHugePages: many kB\n", 0, 0x100));
}

TEST(Chosen, TakesTheWordInBrackets) {
  EXPECT_EQ(chosen("always [madvise] never\n").value(), "madvise");
  EXPECT_FALSE(chosen("always madvise never"));
  EXPECT_FALSE(chosen(""));
}

TEST(PageEntry, DecodesBits) {
  const PageEntry present{1ULL << 63 | 1ULL << 55 | 0x12345};
  EXPECT_TRUE(present.present());
  EXPECT_TRUE(present.soft_dirty());
  EXPECT_FALSE(present.swapped());
  EXPECT_EQ(present.pfn(), 0x12345U);
  EXPECT_NE(describe(present).find("pfn=0x12345"), std::string::npos);
  const PageEntry swapped{1ULL << 62 | 0x77};
  EXPECT_TRUE(swapped.swapped());
  EXPECT_EQ(swapped.pfn(), 0U);
  EXPECT_NE(describe(PageEntry{}).find("none"), std::string::npos);
  EXPECT_TRUE(PageEntry{1ULL << 57}.uffd_wp());
  EXPECT_TRUE(PageEntry{1ULL << 56}.exclusive());
  EXPECT_TRUE(PageEntry{1ULL << 61}.file_or_shared());
}

TEST(PageMap, TellsTouchedFromUntouched) {
  auto mapping = Mapping::create(Backing::kAnon4k, 4 * kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[kSmallPage] = std::byte{1};
  auto map = PageMap::open_self();
  ASSERT_TRUE(map) << map.error().message;
  auto entries = map->range(mapping->address(), mapping->size());
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 4U);
  EXPECT_FALSE((*entries)[0].present());
  EXPECT_TRUE((*entries)[1].present());
  EXPECT_FALSE((*entries)[2].present());
  auto one = map->at(mapping->address() + kSmallPage);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->raw, (*entries)[1].raw);
}

TEST(PageFlags, KnowsThePageOfAPfn) {
  auto flags = PageFlags::open();
  if (!flags) GTEST_SKIP() << flags.error().message;
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[0] = std::byte{1};
  auto map = PageMap::open_self();
  ASSERT_TRUE(map) << map.error().message;
  auto entry = map->at(mapping->address());
  ASSERT_TRUE(entry) << entry.error().message;
  if (entry->pfn() == 0) GTEST_SKIP() << "this host hides PFNs from us (no CAP_SYS_ADMIN)";
  auto bits = flags->of(entry->pfn());
  ASSERT_TRUE(bits) << bits.error().message;
  constexpr int kKpfAnon = 12;
  EXPECT_TRUE(has_flag(*bits, kKpfAnon));
  EXPECT_FALSE(has_flag(*bits, kKpfHuge));
}

TEST(TextFile, SplitsLinesAndWords) {
  std::string_view text = "a  b\n\nc";
  auto line = next_line(text);
  std::string_view rest = line.value();
  EXPECT_EQ(next_word(rest), "a");
  EXPECT_EQ(next_word(rest), "b");
  EXPECT_EQ(next_word(rest), "");
  EXPECT_EQ(next_line(text), "");
  EXPECT_EQ(next_line(text), "c");
  EXPECT_FALSE(next_line(text));
  EXPECT_EQ(to_number("12"), 12U);
  EXPECT_EQ(to_number("ff", 16), 255U);
  EXPECT_FALSE(to_number("12k"));
  EXPECT_FALSE(to_number(""));
  EXPECT_FALSE(to_number("99999999999999999999"));
}

TEST(TextFile, ErrorsNameThePath) {
  auto text = read_text("/no/such/file");
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().message.find("/no/such/file"), std::string::npos);
  auto written = write_text("/no/such/file", "1");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace mmquake
