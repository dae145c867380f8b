// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/protocol/composition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Optional;

Composition of(std::string_view backing, std::string_view mover,
               std::string_view disturber = kNoWord, std::string_view disturber2 = kNoWord,
               std::string_view watcher = kNoWord) {
  Composition out;
  out.set(Slot::kBacking, backing);
  out.set(Slot::kMover, mover);
  out.set(Slot::kDisturber, disturber);
  out.set(Slot::kDisturber2, disturber2);
  out.set(Slot::kWatcher, watcher);
  return out;
}

TEST(Composition, GoesThroughParamsAndBack) {
  const Composition one = of("anon-thp", "mbind", "fork-cow", kNoWord, "io_uring");
  EXPECT_EQ(Composition::from_params(one.params()), one);
  EXPECT_EQ(one.text(), "anon-thp mbind fork-cow io_uring");
  EXPECT_EQ(one.params().count("disturber2"), 0U);
}

TEST(Composition, NeedsMemoryAndSomethingThatHappensToIt) {
  EXPECT_TRUE(objection(of(kNoWord, "mbind")));
  EXPECT_TRUE(objection(of("anon-4k", kNoWord)));
  EXPECT_FALSE(objection(of("anon-4k", "mbind")));
  EXPECT_FALSE(objection(of("anon-4k", kNoWord, "dontneed")));
  EXPECT_THAT(objection(of("anon-5k", "mbind")), Optional(HasSubstr("'anon-5k' does not exist")));
}

TEST(Composition, WhatDoesNotGoTogetherIsNamed) {
  EXPECT_THAT(objection(of("anon-4k", kNoWord, "punch-hole")),
              Optional(HasSubstr("punch-hole does not go with anon-4k")));
  EXPECT_THAT(objection(of("hugetlb-2m", "soft-offline")), Optional(HasSubstr("dissolves")));
  EXPECT_THAT(objection(of("hugetlb-1g", "mbind", "truncate")), Optional(HasSubstr("no other")));
  EXPECT_TRUE(objection(of("hugetlb-1g", "hot-remove")));
  EXPECT_TRUE(objection(of("hugetlb-1g", "mbind", kNoWord, kNoWord, "uffd-missing")));
  EXPECT_FALSE(objection(of("hugetlb-1g", "move_pages", "punch-hole", "ptrace", "io_uring")));
  EXPECT_TRUE(objection(of("anon-4k", "mbind", "free", "fork-cow")));
  EXPECT_TRUE(objection(of("anon-4k", "mbind", "dontneed", kNoWord, "uffd-wp")));
  EXPECT_FALSE(objection(of("anon-4k", "mbind", "mlock", kNoWord, "uffd-wp")));
  EXPECT_THAT(objection(of("anon-4k", "mbind", kNoWord, kNoWord, "uffd-minor")),
              Optional(HasSubstr("no file")));
  EXPECT_TRUE(objection(of("shmem-4k", "mbind", "truncate", kNoWord, "uffd-minor")));
  EXPECT_FALSE(objection(of("hugetlb-2m", "mbind", "punch-hole", "ptrace", "uffd-minor")));
  EXPECT_FALSE(objection(of("anon-thp", "mbind", "mlock", "ptrace", "uffd-wp")));
}

TEST(Composition, TwoDisturbersHaveOneOrder) {
  EXPECT_FALSE(objection(of("anon-4k", kNoWord, "dontneed", "mlock")));
  EXPECT_TRUE(objection(of("anon-4k", kNoWord, "mlock", "dontneed")));
  EXPECT_TRUE(objection(of("anon-4k", kNoWord, "mlock", "mlock")));
  EXPECT_TRUE(objection(of("anon-4k", "mbind", kNoWord, "mlock")));
}

TEST(Composition, EffectsAreThoseOnTheBacking) {
  EXPECT_EQ(of("anon-4k", kNoWord, "dontneed").effects() & kEmptiesAnon, kEmptiesAnon);
  EXPECT_EQ(of("shmem-4k", kNoWord, "dontneed").effects() & kEmptiesAnon, 0U);
}

TEST(Composition, AllAreAllowedAndDifferent) {
  const std::vector<Composition> all = all_compositions();
  EXPECT_GT(all.size(), 10000U);
  std::set<std::string> texts;
  for (const Composition& one : all) {
    ASSERT_FALSE(objection(one)) << one.text();
    ASSERT_TRUE(texts.insert(one.text()).second) << one.text();
  }
}

// What stands in a list and can never be drawn is a mistake in the rules.
TEST(Composition, EveryIngredientGoesWithSomething) {
  const std::vector<Composition> all = all_compositions();
  for (const Slot slot : kAllSlots) {
    for (const Ingredient& one : ingredients(slot)) {
      const auto uses = [&](const Composition& c) { return c[slot] == one.name; };
      // The last of the disturbers is nobody's first, and the other way round.
      const bool at_edge = (slot == Slot::kDisturber || slot == Slot::kDisturber2) &&
                           (one.name == kNoWord || &one == &ingredients(slot).front());
      EXPECT_TRUE(at_edge || std::any_of(all.begin(), all.end(), uses))
          << to_string(slot) << " " << one.name;
    }
  }
}

TEST(Composition, TwoWordsGoTogetherIfAnyCompositionHasThem) {
  std::set<std::pair<std::string, std::string>> seen;
  for (const Composition& one : all_compositions()) {
    for (const auto& [slot, other] :
         {std::pair(Slot::kBacking, Slot::kMover), std::pair(Slot::kBacking, Slot::kDisturber),
          std::pair(Slot::kMover, Slot::kDisturber)}) {
      seen.emplace(one[slot], one[other]);
      if (other == Slot::kDisturber && one.has(Slot::kDisturber2)) {
        seen.emplace(one[slot], one[Slot::kDisturber2]);
      }
    }
  }
  for (const auto& [slot, other] :
       {std::pair(Slot::kBacking, Slot::kMover), std::pair(Slot::kBacking, Slot::kDisturber),
        std::pair(Slot::kMover, Slot::kDisturber)}) {
    for (const Ingredient& a : ingredients(slot)) {
      for (const Ingredient& b : ingredients(other)) {
        EXPECT_EQ(go_together(slot, a.name, other, b.name),
                  seen.contains({std::string(a.name), std::string(b.name)}))
            << a.name << " and " << b.name;
      }
    }
  }
  EXPECT_TRUE(go_together(Slot::kBacking, "anon-4k", Slot::kMover, kNoWord));
}

TEST(Composition, SmallerOnesHaveOnePartLess) {
  const Composition one = of("anon-thp", "mbind", "dontneed", "mlock", "io_uring");
  const std::vector<Composition> less = smaller(one);
  ASSERT_EQ(less.size(), 4U);
  for (const Composition& c : less) {
    EXPECT_EQ(c.params().size(), 4U);
    EXPECT_EQ(c[Slot::kBacking], "anon-thp");
    EXPECT_FALSE(objection(c)) << c.text();
  }
  EXPECT_TRUE(smaller(of("anon-4k", "mbind")).empty());
}

}  // namespace
}  // namespace mmquake
