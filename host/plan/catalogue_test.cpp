// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "host/plan/plan.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kMachine = "summary = \"s\"\n[[node]]\ncpus = 1\nmemory = \"1G\"\n";

class CatalogueTest : public testing::Test {
 protected:
  std::string refusal(const std::string& name) {
    const auto machine = catalogue_.machine(name);
    EXPECT_FALSE(machine) << name;
    if (machine) return "";
    EXPECT_EQ(machine.error().kind, ErrorKind::kUsage);
    return machine.error().message;
  }
  TestTree tree_;
  Catalogue catalogue_{tree_.root()};
};

TEST_F(CatalogueTest, NamesAreThoseOfFiles) {
  tree_.write("machines/b.toml", kMachine);
  tree_.write("machines/a.toml", kMachine);
  tree_.write("machines/a.toml.orig", kMachine);
  tree_.write("machines/.hidden", kMachine);
  tree_.write("machines/folder.toml/file", "");
  EXPECT_THAT(catalogue_.machine_names(), ElementsAre("a", "b"));
  EXPECT_THAT(catalogue_.kernel_names(), IsEmpty());
  EXPECT_THAT(catalogue_.case_names(), IsEmpty());
  EXPECT_EQ(catalogue_.machine("a").value().name, "a");
}

TEST_F(CatalogueTest, AnUnknownNameGetsTheNearest) {
  tree_.write("machines/numa2.toml", kMachine);
  EXPECT_THAT(refusal("nuam2"),
              AllOf(HasSubstr("unknown machine 'nuam2'"), HasSubstr("did you mean 'numa2'?")));
  EXPECT_THAT(refusal(""), HasSubstr("unknown machine ''"));
  EXPECT_THAT(refusal(std::string(5000, 'x')), HasSubstr("..."));
  EXPECT_THAT(refusal("\x1b[2J"), HasSubstr("'\\x1b[2J'"));
}

TEST_F(CatalogueTest, UnknownKernelsAndCasesAsWell) {
  tree_.write("kernels/clean.toml", "");
  tree_.write("cases/uffd-thp-migration.toml", "");
  const auto kernel = catalogue_.kernel("claen");
  ASSERT_FALSE(kernel);
  EXPECT_THAT(kernel.error().message, HasSubstr("did you mean 'clean'?"));
  const auto found = catalogue_.find_case("uffd-thp-migratoin");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("did you mean 'uffd-thp-migration'?"));
}

TEST_F(CatalogueTest, ANameMayBeAPath) {
  const auto path = tree_.write("elsewhere/mine.toml", kMachine);
  EXPECT_EQ(catalogue_.machine(path.string()).value().name, "mine");
  EXPECT_THAT(refusal((tree_.root() / "no\n.toml").string()),
              AllOf(HasSubstr("no\\x0a.toml"), HasSubstr("no such file")));
  EXPECT_THAT(refusal("../machines"), HasSubstr("no such file"));
  EXPECT_THAT(refusal("gone.toml"), HasSubstr("no such file"));
}

TEST_F(CatalogueTest, WithoutItsFolderItSaysWhatToSet) {
  EXPECT_THAT(refusal("numa2"), HasSubstr("MMQUAKE_DATA"));
}

// What this tree ships.
class ShippedTest : public testing::Test {
 protected:
  Catalogue catalogue_{std::filesystem::path(MMQUAKE_SOURCE_DIR) / "configs"};
};

TEST_F(ShippedTest, EveryKernelLoads) {
  ASSERT_THAT(catalogue_.kernel_names(), testing::IsSupersetOf({"clean", "specimen"}));
  for (const std::string& name : catalogue_.kernel_names()) {
    const auto spec = catalogue_.kernel(name);
    EXPECT_TRUE(spec) << spec.error().message;
  }
  EXPECT_THAT(catalogue_.kernel("clean").value().patches, IsEmpty());
  EXPECT_THAT(catalogue_.kernel("specimen").value().bugs, testing::Not(IsEmpty()));
}

TEST_F(ShippedTest, EveryMachineLoads) {
  ASSERT_THAT(catalogue_.machine_names(),
              testing::IsSupersetOf({"numa2", "numa2-small", "numa4-memory-only"}));
  for (const std::string& name : catalogue_.machine_names()) {
    const auto spec = catalogue_.machine(name);
    EXPECT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(fits_host(*spec, 8192)) << "no machine here is for large hosts only";
  }
  EXPECT_FALSE(catalogue_.machine("numa2-serial").value().devices.virtio_serial);
}

TEST_F(ShippedTest, EveryCaseLoads) {
  ASSERT_THAT(catalogue_.case_names(), testing::Contains("uffd-thp-migration"));
  for (const std::string& name : catalogue_.case_names()) {
    const auto spec = catalogue_.find_case(name);
    EXPECT_TRUE(spec) << spec.error().message;
  }
}

}  // namespace
}  // namespace mmquake
