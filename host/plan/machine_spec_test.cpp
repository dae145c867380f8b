// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "host/plan/plan.h"
#include "host/plan/specs.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

constexpr const char* kNode = "[[node]]\ncpus = 2\nmemory = \"1G\"\n";

class MachineSpecTest : public testing::Test {
 protected:
  Result<MachineSpec> read(const std::string& text) {
    path_ = tree_.write("machines/m.toml", text);
    return Catalogue(tree_.root()).machine("m");
  }
  std::string complaint(const std::string& text) {
    const auto spec = read(text);
    EXPECT_FALSE(spec) << text;
    if (spec) return "";
    EXPECT_EQ(spec.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(spec.error().message, testing::StartsWith(path_.string() + ":"));
    return spec.error().message;
  }
  // Two nodes; `head` stands before them.
  static std::string two(const std::string& head) {
    return "summary = \"s\"\n" + head + kNode + kNode;
  }

  TestTree tree_;
  std::filesystem::path path_;
};

TEST_F(MachineSpecTest, ReadsNodesAndDistances) {
  const auto spec = read(two("distances = [[10, 20], [31, 10]]\nboot_args = [\"movable_node\"]\n") +
                         "[[node]]\ncpus = 0\nmemory = \"512M\"\n");
  ASSERT_FALSE(spec) << "three nodes, two rows";
  const auto good = read(two("distances = [[10, 20], [31, 10]]\nboot_args = [\"movable_node\"]\n"));
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->name, "m");
  EXPECT_EQ(good->nodes.size(), 2U);
  EXPECT_EQ(good->cpus(), 4);
  EXPECT_EQ(good->memory_mib(), 2048U);
  EXPECT_THAT(good->distances, ElementsAre(ElementsAre(10, 20), ElementsAre(31, 10)));
  EXPECT_THAT(good->boot_args, ElementsAre("movable_node"));
}

TEST_F(MachineSpecTest, IsWrittenAsItIsRead) {
  const auto spec = read(two("distances = [[10, 20, 30], [31, 10, 40], [50, 60, 10]]\n"
                             "boot_args = [\"movable_node\", \"cma=64M\"]\n"
                             "devices = [\"serial\"]\n") +
                         "[[node]]\ncpus = 0\nmemory = \"512M\"\n"
                         "[[dimm]]\nnode = 2\nmemory = \"256M\"\n");
  ASSERT_TRUE(spec) << spec.error().message;
  const auto again = read(machine_text(*spec));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(machine_text(*again), machine_text(*spec));
  EXPECT_EQ(again->distances, spec->distances);
  EXPECT_EQ(again->boot_args, spec->boot_args);
  EXPECT_EQ(again->nodes.size(), 3U);
  EXPECT_EQ(again->memory_mib(), spec->memory_mib());
  EXPECT_EQ(again->dimms[0].node, 2);
  EXPECT_FALSE(again->devices.virtio_serial);
}

TEST_F(MachineSpecTest, HasDefaultsForDistancesAndDevices) {
  const auto spec = read(two("") + "[[node]]\ncpus = 0\nmemory = \"512M\"\n");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_THAT(spec->distances, ElementsAre(ElementsAre(10, 20, 20), ElementsAre(20, 10, 20),
                                           ElementsAre(20, 20, 10)));
  EXPECT_TRUE(spec->devices.virtio_serial);
  EXPECT_TRUE(spec->devices.serial);
  EXPECT_TRUE(spec->devices.pvpanic);
}

TEST_F(MachineSpecTest, TakesTheDevicesThatItNames) {
  const auto spec = read(two("devices = [\"serial\", \"pvpanic\"]\n"));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_FALSE(spec->devices.virtio_serial);
  EXPECT_TRUE(spec->devices.serial);
  EXPECT_TRUE(spec->devices.pvpanic);
}

TEST_F(MachineSpecTest, RecordsNeedAWayOut) {
  for (const char* devices : {"[]", "[\"pvpanic\"]"}) {
    EXPECT_THAT(complaint(two(std::string("devices = ") + devices + "\n")),
                HasSubstr(":2:11: 'devices' must hold 'virtio-serial', 'serial' or both"));
  }
}

TEST_F(MachineSpecTest, AnUnknownDeviceGetsTheNearest) {
  EXPECT_THAT(complaint(two("devices = [\"serial\", \"virtio_seral\"]\n")),
              EndsWith(":2:22: 'devices' holds the unknown device 'virtio_seral'; did you mean "
                       "'virtio-serial'?"));
  EXPECT_THAT(complaint(two("devices = [\"serial\", \"serial\"]\n")), HasSubstr("'serial' twice"));
  EXPECT_THAT(complaint(two("devices = \"serial\"\n")), HasSubstr("must be an array of strings"));
}

TEST_F(MachineSpecTest, AMachineHasNodes) {
  EXPECT_THAT(complaint("summary = \"s\"\n"),
              HasSubstr("'node' tables are 0; a machine has from 1 to 64 [[node]]"));
  EXPECT_THAT(complaint("summary = \"s\"\nnode = []\n"), HasSubstr("from 1 to 64"));
  EXPECT_THAT(complaint("summary = \"s\"\nnode = 2\n"), HasSubstr("array of tables: [[node]]"));
  std::string many = "summary = \"s\"\n[[node]]\ncpus = 1\nmemory = \"64M\"\n";
  for (int i = 0; i < 64; ++i) many += "[[node]]\ncpus = 0\nmemory = \"64M\"\n";
  EXPECT_THAT(complaint(many), HasSubstr("'node' tables are 65"));
}

TEST_F(MachineSpecTest, AMachineHasAsManyCpusAsItsKernelsTake) {
  const auto with = [](const std::string& cpus) {
    return "summary = \"s\"\n[[node]]\nmemory = \"1G\"\ncpus = " + cpus + "\n";
  };
  EXPECT_THAT(complaint(with("0")), HasSubstr("0 CPUs together; it must be from 1 to 32"));
  EXPECT_THAT(complaint(with("-1")), HasSubstr("'node[0].cpus' is -1; it must be from 0 to 32"));
  EXPECT_THAT(complaint(with("33")), HasSubstr(":4:8: 'node[0].cpus' is 33"));
  EXPECT_THAT(complaint(with("20") + "[[node]]\ncpus = 20\nmemory = \"1G\"\n"),
              HasSubstr("40 CPUs together"));
  EXPECT_TRUE(read(with("32")));
  // The fragment that every kernel of this tree is configured with.
  std::ifstream fragment(MMQUAKE_SOURCE_DIR "/configs/fragments/base.config");
  const std::string text((std::istreambuf_iterator<char>(fragment)), {});
  EXPECT_THAT(text, HasSubstr("\nCONFIG_NR_CPUS=32\n"));
}

TEST_F(MachineSpecTest, MemoryHasAUnitAndARange) {
  const auto with = [](const std::string& memory) {
    return "summary = \"s\"\n[[node]]\ncpus = 1\nmemory = " + memory + "\n";
  };
  EXPECT_EQ(read(with("\"64M\"")).value().memory_mib(), 64U);
  EXPECT_EQ(read(with("\"2G\"")).value().memory_mib(), 2048U);
  EXPECT_EQ(read(with("\"16T\"")).value().memory_mib(), 16U << 20);
  for (const char* text : {"\"\"", "\"1024\"", "\"1024m\"", "\"1.5G\"", "\"-1G\"", "\"G\"", "1024",
                           "\"1 G\"", "\"99999999999999999999G\""}) {
    EXPECT_THAT(complaint(with(text)), HasSubstr(":4:10: 'node[0].memory'")) << text;
  }
  for (const char* text : {"\"0M\"", "\"63M\"", "\"17T\"", "\"999999999T\""}) {
    EXPECT_THAT(complaint(with(text)), HasSubstr("it must be from 64M to 16T")) << text;
  }
  EXPECT_THAT(complaint("summary = \"s\"\n[[node]]\ncpus = 1\n"),
              HasSubstr(":2:1: 'node[0].memory' is missing"));
}

TEST_F(MachineSpecTest, DimmsLieOnNodesInWholeSections) {
  const auto with = [](const std::string& node, const std::string& memory) {
    return two("") + "[[dimm]]\nnode = " + node + "\nmemory = " + memory + "\n";
  };
  const auto spec = read(with("1", "\"3G\"") + "[[dimm]]\nnode = 0\nmemory = \"128M\"\n");
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->dimms.size(), 2U);
  EXPECT_EQ(spec->dimms[0].node, 1);
  EXPECT_EQ(spec->dimms[0].memory_mib, 3072U);
  EXPECT_EQ(spec->memory_mib(), 2048U + 3072U + 128U);
  EXPECT_TRUE(read(two(""))->dimms.empty());

  EXPECT_THAT(complaint(with("2", "\"1G\"")),
              EndsWith(":9:8: 'dimm[0].node' is 2; it must be from 0 to 1"));
  EXPECT_THAT(complaint(with("-1", "\"1G\"")), HasSubstr("'dimm[0].node' is -1"));
  EXPECT_THAT(complaint(with("0", "\"64M\"")),
              EndsWith(":10:10: 'dimm[0].memory' is 64M; it must be from 128M to 16T"));
  EXPECT_THAT(complaint(with("0", "\"200M\"")),
              EndsWith("'dimm[0].memory' is 200M; a DIMM has a multiple of 128M"));
  EXPECT_THAT(complaint(with("0", "\"1\"")), HasSubstr("a number with M, G or T"));
  EXPECT_THAT(complaint(two("") + "[[dimm]]\nmemory = \"1G\"\n"),
              HasSubstr("'dimm[0].node' is missing"));
  EXPECT_THAT(complaint(with("0", "\"1G\"") + "size = 1\n"),
              HasSubstr("unknown key 'dimm[0].size'; there are: node, memory"));
  std::string many = two("");
  for (int i = 0; i < 17; ++i) many += "[[dimm]]\nnode = 0\nmemory = \"128M\"\n";
  EXPECT_THAT(complaint(many), HasSubstr("'dimm' tables are 17; a machine has at most 16"));
}

TEST_F(MachineSpecTest, DistancesAreWhatAcpiCanSay) {
  const auto with = [](const std::string& rows) { return two("distances = " + rows + "\n"); };
  EXPECT_THAT(complaint(with("[[10, 9], [20, 10]]")),
              EndsWith(":2:19: 'distances[0][1]' is 9; it must be from 11 to 254"));
  EXPECT_THAT(complaint(with("[[10, 20], [10, 10]]")),
              EndsWith("'distances[1][0]' is 10; it must be from 11 to 254"));
  EXPECT_THAT(complaint(with("[[10, 255], [20, 10]]")), HasSubstr("from 11 to 254"));
  EXPECT_THAT(complaint(with("[[11, 20], [20, 10]]")),
              EndsWith("'distances[0][0]' is 11; a node is 10 from itself"));
  EXPECT_THAT(complaint(with("[[10, 20]]")), HasSubstr("an array of 2 rows"));
  EXPECT_THAT(complaint(with("[[10, 20], [20]]")),
              HasSubstr("'distances[1]' must be an array of 2"));
  EXPECT_THAT(complaint(with("[[10, 20], [20, 10, 20]]")), HasSubstr("'distances[1]'"));
  EXPECT_THAT(complaint(with("[[10, \"20\"], [20, 10]]")), HasSubstr("must be an integer"));
  EXPECT_THAT(complaint(with("20")), HasSubstr("an array of 2 rows"));
  EXPECT_THAT(complaint(with("[[10, 9223372036854775807], [20, 10]]")), HasSubstr("11 to 254"));
}

TEST_F(MachineSpecTest, EveryMistakeIsReportedAtOnce) {
  const std::string text = complaint(
      "devises = []\n[[node]]\ncpus = \"two\"\nmemory = \"1G\"\n[[node]]\ncpus = 1\nmemory = "
      "\"1\"\n"
      "color = 1\n");
  EXPECT_THAT(text, HasSubstr(":1:1: unknown key 'devises'; did you mean 'devices'?"));
  EXPECT_THAT(text, HasSubstr("'summary' is missing"));
  EXPECT_THAT(text, HasSubstr(":3:8: 'node[0].cpus' must be an integer from 0 to 32"));
  EXPECT_THAT(text, HasSubstr(":7:10: 'node[1].memory' is '1'"));
  EXPECT_THAT(text, HasSubstr(":8:1: unknown key 'node[1].color'; there are: cpus, memory"));
}

TEST_F(MachineSpecTest, ABootArgumentIsOneWord) {
  for (const char* args : {"[\"a b\"]", "[\"a=\\\"x\\\"\"]", "[\"a\\tb\"]", "[\"\"]", "\"a\""}) {
    EXPECT_THAT(complaint(two(std::string("boot_args = ") + args + "\n")), HasSubstr("'boot_args'"))
        << args;
  }
}

TEST(FitsHost, KeepsAReserve) {
  MachineSpec machine;
  machine.name = "big";
  machine.nodes = {{1, 1024}, {1, 1024}};
  EXPECT_TRUE(fits_host(machine, 2048 + kHostReserveMib));
  const auto refused = fits_host(machine, 2047 + kHostReserveMib);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("machine 'big' has 2048 MiB"));
  EXPECT_THAT(refused.error().message, HasSubstr("at most 2047 MiB"));
  EXPECT_FALSE(fits_host(machine, 0));
}

TEST(FitsHost, ATebibyteDoesNotFitThisHost) {
  ASSERT_GT(host_available_mib(), 0U);
  ASSERT_LT(host_available_mib(), 1U << 20) << "this test wants a host with less than 1 TiB";
  MachineSpec machine;
  machine.nodes = {{1, 1U << 20}};
  EXPECT_FALSE(fits_host(machine, host_available_mib()));
}

}  // namespace
}  // namespace mmquake
