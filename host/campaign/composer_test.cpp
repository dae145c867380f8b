// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/composer.h"

#include <gtest/gtest.h>

#include <map>

namespace mmquake {
namespace {

const std::set<MachineTrait> kPlain;

std::map<std::string, int> count_words(const Composer& composer, Slot slot, int draws) {
  std::map<std::string, int> out;
  for (int i = 1; i <= draws; ++i) {
    auto drawn = composer.draw(static_cast<std::uint64_t>(i), kPlain);
    EXPECT_TRUE(drawn) << drawn.error().message;
    if (drawn) ++out[(*drawn)[slot]];
  }
  return out;
}

TEST(Composer, ADrawIsAllowedAndTheSeedDecidesIt) {
  const Composer composer;
  std::set<std::string> texts;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto drawn = composer.draw(seed, kPlain);
    ASSERT_TRUE(drawn);
    EXPECT_FALSE(objection(*drawn)) << drawn->text();
    EXPECT_EQ(drawn->text(), composer.draw(seed, kPlain)->text());
    texts.insert(drawn->text());
  }
  EXPECT_GT(texts.size(), 250U);
}

TEST(Composer, WhatTheMachineLacksIsNotDrawn) {
  const Composer composer;
  int removals = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    EXPECT_TRUE(composer.draw(seed, kPlain)->machine().empty());
    removals += composer.draw(seed, {MachineTrait::kMovable})->machine().empty() ? 0 : 1;
  }
  EXPECT_GT(removals, 5);
}

TEST(Composer, EveryWordIsDrawnSomeTime) {
  const Composer composer;
  for (const Slot slot : {Slot::kBacking, Slot::kMover, Slot::kWatcher}) {
    const auto words = count_words(composer, slot, 2000);
    for (const Ingredient& one : ingredients(slot)) {
      if (one.machine != MachineTrait::kNothing) continue;
      EXPECT_TRUE(words.contains(std::string(one.name))) << one.name;
    }
  }
}

TEST(Composer, AMachineTellsWhatItHas) {
  MachineSpec machine;
  machine.nodes = {{2, 512}, {0, 512}};
  machine.boot_args = {"cma=64M@4G", "movablecore=1G", "memmap=640M%2G-1+0xefffffff"};
  EXPECT_EQ(machine_traits(machine),
            (std::set<MachineTrait>{MachineTrait::kMovable, MachineTrait::kCma,
                                    MachineTrait::kMemoryOnlyNode, MachineTrait::kSlowMemory}));
  machine.nodes.pop_back();
  machine.boot_args = {"memmap=64M$1G"};
  EXPECT_TRUE(machine_traits(machine).empty());
}

// 2 GiB lie below 4 GiB and count for nothing; of the rest, both ends of a node's part are the
// kernel's.
TEST(Composer, AMachineHasRoomForGiganticPagesIfEveryNodeHas) {
  const auto has = [](std::vector<NodeSpec> nodes) {
    MachineSpec machine;
    machine.nodes = std::move(nodes);
    return machine_traits(machine).contains(MachineTrait::kGiganticPages);
  };
  EXPECT_TRUE(has({{2, 4288}, {2, 2048}}));
  EXPECT_FALSE(has({{2, 4160}, {2, 2048}})) << "node 0 ends 64 MiB behind its GiB";
  EXPECT_FALSE(has({{2, 4288}, {2, 1920}})) << "so does node 1";
  EXPECT_FALSE(has({{1, 1536}, {1, 3584}})) << "node 0 lies below 4 GiB";
  EXPECT_FALSE(has({{2, 1024}, {2, 1024}}));
  EXPECT_FALSE(has({}));
}

TEST(Composer, OnlyTheBackingsThatAreWantedAreDrawn) {
  const Composer composer;
  const WordChoice wanted{{Slot::kBacking, {"hugetlb-1g", "shmem-4k"}}};
  std::map<std::string, int> seen;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ++seen[(*composer.draw(seed, {MachineTrait::kGiganticPages}, "", wanted))[Slot::kBacking]];
  }
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_GT(seen["hugetlb-1g"], 50);
  EXPECT_GT(seen["shmem-4k"], 50);
  EXPECT_FALSE(composer.draw(1, kPlain, "", {{Slot::kBacking, {"hugetlb-1g"}}}))
      << "the machine has no room for it";
}

TEST(Composer, EverySlotCanBeLimitedOrKeptEmpty) {
  const Composer composer;
  const WordChoice wanted{{Slot::kMover, {}},
                          {Slot::kDisturber, {"dontneed", "punch-hole"}},
                          {Slot::kWatcher, {"io_uring"}}};
  std::map<std::string, int> seen;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    const Composition drawn = *composer.draw(seed, kPlain, "", wanted);
    EXPECT_FALSE(drawn.has(Slot::kMover));
    ++seen[drawn[Slot::kDisturber] + "+" + drawn[Slot::kDisturber2]];
    ++seen[drawn[Slot::kWatcher]];
  }
  EXPECT_EQ(seen.size(), 5U) << "one, the other, both, and a watcher or none";
  EXPECT_GT(seen["dontneed+punch-hole"], 20);
  EXPECT_GT(seen["io_uring"], 100);
}

// mbind meets others often, all the rest never: it is drawn more often afterwards, and nothing
// dies.
TEST(Composer, WhatRaisesOverlapsIsDrawnMore) {
  Composer learns(true);
  Composer does_not(false);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    for (Composer* composer : {&learns, &does_not}) {
      const Composition drawn = *composer->draw(seed, kPlain);
      const std::uint64_t overlaps = drawn[Slot::kMover] == "mbind" ? 1000 : 0;
      composer->learn({drawn, 10, overlaps, {}});
    }
  }
  const auto with = count_words(learns, Slot::kMover, 2000);
  const auto without = count_words(does_not, Slot::kMover, 2000);
  EXPECT_GT(with.at("mbind"), without.at("mbind") * 5 / 4);
  for (const Ingredient& one : ingredients(Slot::kMover)) {
    EXPECT_TRUE(one.machine != MachineTrait::kNothing || with.contains(std::string(one.name)))
        << one.name;
  }
}

TEST(Composer, ANewTitleIsARewardOnceOnly) {
  Composer composer;
  Composition one;
  one.set(Slot::kBacking, "anon-thp");
  one.set(Slot::kMover, "mbind");
  Composition two = one;
  two.set(Slot::kMover, "cpuset");
  composer.learn({one, 10, 0, {"hang in f"}});
  composer.learn({two, 10, 0, {"hang in f"}});
  EXPECT_GT(composer.weight(Slot::kMover, "mbind"), composer.weight(Slot::kMover, "cpuset"));
}

TEST(Composer, ANewLineInTheKernelsLogIsARewardToo) {
  Composer composer;
  Composition one;
  one.set(Slot::kBacking, "anon-thp");
  one.set(Slot::kMover, "mbind");
  Composition two = one;
  two.set(Slot::kMover, "cpuset");
  Composition three = one;
  three.set(Slot::kMover, "cma");
  composer.learn({one, 10, 0, {}, true});
  composer.learn({two, 10, 0, {}});
  composer.learn({three, 10, 0, {"hang in f"}});
  EXPECT_GT(composer.weight(Slot::kMover, "mbind"), composer.weight(Slot::kMover, "cpuset"));
  EXPECT_GT(composer.weight(Slot::kMover, "cma"), composer.weight(Slot::kMover, "mbind"));
}

TEST(Composer, WhatAKernelLacksIsNotDrawnForItAgain) {
  Composer composer;
  Composition one;
  one.set(Slot::kBacking, "anon-thp");
  one.set(Slot::kMover, "mbind");
  one.set(Slot::kWatcher, "gup_test-hold");
  composer.learn_lack("clean", one, "set up workload 'compose': gup_test-hold: it can from 6.2 on");
  composer.learn_lack("clean", one, "set up workload 'compose': kvm: a word that it does not have");
  composer.learn_lack("clean", one, "mbind was refused each time");
  std::map<std::string, int> here;
  std::map<std::string, int> there;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    ++here[(*composer.draw(seed, kPlain, "clean"))[Slot::kWatcher]];
    ++there[(*composer.draw(seed, kPlain, "clean-6.12"))[Slot::kWatcher]];
  }
  EXPECT_FALSE(here.contains("gup_test-hold"));
  EXPECT_TRUE(here.contains("kvm"));
  EXPECT_TRUE(there.contains("gup_test-hold"));
}

TEST(Composer, WhatEndedAtOnceTeachesNothing) {
  Composer composer;
  Composition one;
  one.set(Slot::kBacking, "anon-thp");
  one.set(Slot::kMover, "mbind");
  composer.learn({one, 0, 5, {}});
  EXPECT_EQ(composer.weight(Slot::kMover, "mbind"), 1);
}

}  // namespace
}  // namespace mmquake
