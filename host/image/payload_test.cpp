// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/payload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class PayloadTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "payload-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path put(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  Result<Payload> prepare(PayloadSource::Kind kind, const fs::path& file) const {
    return prepare_payload({kind, file}, dir_ / "out");
  }

  fs::path dir_;
};

TEST_F(PayloadTest, CAndCppBecomeStaticPrograms) {
  const auto c = prepare(PayloadSource::Kind::kC,
                         put("a.c", "#include <unistd.h>\nint main() { return gettid() < 0; }\n"));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_TRUE(check_static_program(c->program));
  EXPECT_FALSE(c->busybox);
  EXPECT_EQ(run_command({{c->program.string()}, {}, {}})->exit_code, 0);
  const auto cpp =
      prepare(PayloadSource::Kind::kC,
              put("b.cpp", "#include <thread>\nint main() { std::thread([] {}).join(); }\n"));
  ASSERT_TRUE(cpp) << cpp.error().message;
  EXPECT_EQ(run_command({{cpp->program.string()}, {}, {}})->exit_code, 0);
}

TEST_F(PayloadTest, WhatDoesNotCompileIsShown) {
  const auto bad = prepare(PayloadSource::Kind::kC, put("bad.c", "int main() { return nothing; }"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(bad.error().message, HasSubstr("nothing"));
}

TEST_F(PayloadTest, AProgramHasToBeStatic) {
  const fs::path source = put("a.c", "int main() { return 0; }\n");
  ASSERT_EQ(
      run_command({{"cc", "-o", (dir_ / "dynamic").string(), source.string()}, {}, {}})->exit_code,
      0);
  const auto dynamic = prepare(PayloadSource::Kind::kBinary, dir_ / "dynamic");
  ASSERT_FALSE(dynamic);
  EXPECT_THAT(dynamic.error().message, HasSubstr("-static"));
  const auto text = prepare(PayloadSource::Kind::kBinary, source);
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("no program for x86_64"));
  EXPECT_FALSE(prepare(PayloadSource::Kind::kBinary, dir_ / "missing"));
  EXPECT_FALSE(prepare(PayloadSource::Kind::kBinary, put("cut",
                                                         "\x7f"
                                                         "ELF\x02")));
}

}  // namespace
}  // namespace mmquake
