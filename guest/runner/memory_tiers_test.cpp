// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/memory_tiers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A folder in the place of /sys.
class MemoryTiers : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "memory-tiers-test-" + std::to_string(getpid());
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void put(const std::string& file, std::string_view text) const {
    const std::filesystem::path path = root_ + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void add_device(const std::string& name, const std::string& driver) const {
    const std::filesystem::path device = root_ + "/bus/dax/devices/" + name;
    std::filesystem::create_directories(device);
    if (!driver.empty()) {
      std::filesystem::create_symlink("../../../bus/dax/drivers/" + driver, device / "driver");
    }
  }
  std::string got(const std::string& file) const {
    return read_text(root_ + "/" + file).value_or("unreadable");
  }

  std::string root_;
};

TEST_F(MemoryTiers, ADeviceGoesFromItsDriverToKmem) {
  add_device("dax0.0", "device_dax");
  add_device("dax1.0", "kmem");
  add_device("dax2.0", "");
  put("bus/dax/drivers/device_dax/unbind", "");
  put("bus/dax/drivers/kmem/new_id", "");
  const Result<int> given = give_dax_memory_to_kernel(root_);
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(*given, 2);
  EXPECT_EQ(got("bus/dax/drivers/device_dax/unbind"), "dax0.0");
  EXPECT_THAT(got("bus/dax/drivers/kmem/new_id"), AnyOf("dax0.0", "dax2.0"));
}

TEST_F(MemoryTiers, WithoutTheDriverOrADeviceNothingIsTouched) {
  EXPECT_EQ(give_dax_memory_to_kernel(root_).value(), 0);
  add_device("dax0.0", "device_dax");
  put("bus/dax/drivers/device_dax/unbind", "");
  EXPECT_EQ(give_dax_memory_to_kernel(root_).value(), 0);
  EXPECT_EQ(got("bus/dax/drivers/device_dax/unbind"), "");
}

TEST_F(MemoryTiers, ADriverThatRefusesIsNamedWithItsDevice) {
  add_device("dax0.0", "device_dax");
  put("bus/dax/drivers/device_dax/unbind", "");
  std::filesystem::create_directories(root_ + "/bus/dax/drivers/kmem");
  const Result<int> given = give_dax_memory_to_kernel(root_);
  ASSERT_FALSE(given);
  EXPECT_THAT(given.error().message, HasSubstr("dax0.0"));
  EXPECT_THAT(given.error().message, HasSubstr("kmem/new_id"));
}

TEST_F(MemoryTiers, SlowIsWhatIsBelowTheFastestTierThatHasNodes) {
  EXPECT_THAT(slow_nodes(root_), IsEmpty());
  const std::string folder = "devices/virtual/memory_tiering/memory_tier";
  put(folder + "4/nodelist", "0-1\n");
  EXPECT_THAT(slow_nodes(root_), IsEmpty());
  // By number, not by name.
  put(folder + "22/nodelist", "2\n");
  put(folder + "130/nodelist", "3-4\n");
  EXPECT_THAT(slow_nodes(root_), ElementsAre(2, 3, 4));
  put(folder + "3/nodelist", "\n");
  EXPECT_THAT(slow_nodes(root_), ElementsAre(2, 3, 4));
}

TEST_F(MemoryTiers, AllDemotionsCountWhoeverReclaimed) {
  EXPECT_EQ(
      demotions_in({{"pgdemote_kswapd", 3}, {"pgdemote_direct", 40}, {"pgmigrate_success", 9}}),
      43U);
  EXPECT_EQ(demotions_in({{"pgdemote_khugepaged", 5}, {"pgdemote_proactive", 600}}), 605U);
}

TEST_F(MemoryTiers, DemotionIsOnForAsLongAsTheSwitchLives) {
  put("kernel/mm/numa/demotion_enabled", "");
  {
    DemotionSwitch on;
    ASSERT_TRUE(on.turn_on(root_));
    EXPECT_EQ(got("kernel/mm/numa/demotion_enabled"), "1");
  }
  EXPECT_EQ(got("kernel/mm/numa/demotion_enabled"), "0");
  std::filesystem::remove_all(root_ + "/kernel");
  DemotionSwitch none;
  const Result<> lacks = none.turn_on(root_);
  ASSERT_FALSE(lacks);
  EXPECT_EQ(lacks.error().kind, ErrorKind::kSkipped);
}

}  // namespace
}  // namespace mmquake
