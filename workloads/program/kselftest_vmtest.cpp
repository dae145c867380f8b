// SPDX-License-Identifier: GPL-2.0-or-later
//
// A collection of kernel selftests in miniature, as `make install` leaves one, in real VMs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "host/image/program_files.h"
#include "workloads/program/sample_programs.h"
#include "workloads/vm_run.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// With its own folder as the working directory; its libraries come from this host.
constexpr const char* kPasses = R"(
int main(void) {
  puts("TAP version 13\n1..2\nok 1 runs");
  printf("%s 2 finds data\n", access("data/here", R_OK) ? "not ok" : "ok");
}
)";
constexpr const char* kNotOk = R"(
int main(void) { puts("TAP version 13\n1..2\nok 1 a\nnot ok 2 bee\n# Totals"); }
)";
constexpr const char* kSkips = R"(
int main(void) { puts("1..0 # SKIP needs a tape"); return 4; }
)";
constexpr const char* kSleeps = "int main(void) { for (;;) pause(); }\n";
constexpr const char* kScript = R"sh(#!/bin/sh
. ../kselftest/helpers.sh
echo 1..1
ok 1 "$(basename "$PWD")"
)sh";

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

class Collection : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const fs::path root = fs::path(MMQUAKE_BINARY_DIR) / "vmtest-input" / "collection";
    fs::remove_all(root);
    build(root / "made", "passes", kPasses, {});
    build(root / "made", "not_ok", kNotOk, {"-static"});
    build(root / "made", "skips", kSkips, {"-static"});
    build(root / "made", "hangs", kUnserved, {"-static", "-pthread"});
    build(root / "made", "sleeps", kSleeps, {"-static"});
    put(root / "made/script.sh", kScript);
    put(root / "made/data/here", "");
    put(root / "made/settings", "timeout=5\n");
    put(root / "kselftest/helpers.sh", "ok() { echo \"ok $*\"; }\n");
    put(root / "kselftest-list.txt",
        "made:passes\nmade:not_ok\nmade:skips\nmade:hangs\nmade:sleeps\nmade:script.sh\n");
    const fs::path out = fs::path(MMQUAKE_BINARY_DIR) / "vmtest" / "kselftest";
    fs::remove_all(out);
    const auto done =
        run_command({{kProgram, "repro", "--kselftest", root.string(), "--machine",
                      "numa2-movable-2cpu", "--ktap", "--seed", "1", "--out", out.string()},
                     {},
                     {}});
    ASSERT_TRUE(done) << done.error().message;
    exit_code = done->exit_code;
    output = done->output_tail;
    for (const fs::directory_entry& entry : fs::directory_iterator(out)) {
      std::ifstream file(entry.path() / "verdict.json");
      if (!file) continue;
      auto verdict = nlohmann::json::parse(file, nullptr, false);
      const std::string name = entry.path().filename();  // 001-made.passes-1
      verdicts[name.substr(name.find('.') + 1, name.rfind('-') - name.find('.') - 1)] = verdict;
    }
  }
  static void put(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  static void build(const fs::path& folder, const std::string& name, const std::string& code,
                    const std::vector<std::string>& flags) {
    const fs::path source = folder / (name + ".c");
    put(source, kSampleHead + code);
    Command command{{"cc", "-w", "-o", (folder / name).string(), source.string()}, {}, {}};
    command.argv.insert(command.argv.end(), flags.begin(), flags.end());
    const auto done = run_command(command);
    ASSERT_TRUE(done && done->exit_code == 0) << (done ? done->output_tail : done.error().message);
  }
  static nlohmann::json verdict_of(const std::string& test) {
    EXPECT_TRUE(verdicts.contains(test)) << output;
    return verdicts[test];
  }
  static std::string title_of(const std::string& test) {
    const nlohmann::json verdict = verdict_of(test);
    EXPECT_EQ(verdict["verdict"], "found") << verdict.dump() << output;
    if (verdict["verdict"] != "found") return "";
    return verdict["findings"][0]["title"];
  }

  static inline int exit_code = -1;
  static inline std::string output;
  static inline std::map<std::string, nlohmann::json> verdicts;
};

TEST_F(Collection, EveryTestHasItsOwnVerdict) {
  EXPECT_EQ(exit_code, 1) << output;
  EXPECT_EQ(verdict_of("passes")["verdict"], "passed") << output;
  EXPECT_EQ(title_of("not_ok"), "made:not_ok: not ok 2 bee");
  EXPECT_EQ(verdict_of("skips")["verdict"], "skipped") << output;
  EXPECT_EQ(verdict_of("skips")["reason"], "the test says: needs a tape");
  EXPECT_EQ(title_of("hangs"), "hang in handle_userfault");
  EXPECT_EQ(title_of("sleeps"), "made:sleeps: TIMEOUT");
  EXPECT_THAT(output, HasSubstr("KTAP version 1\n1..6\nok 1 made:passes\n# made:not_ok: "));
  // It has a shell, and the folder beside its own.
  const nlohmann::json verdict = verdict_of("script.sh");
  if (!static_busybox()) {
    EXPECT_EQ(verdict["verdict"], "skipped") << output;
    EXPECT_THAT(verdict["reason"].get<std::string>(), HasSubstr("busybox-static"));
    GTEST_SKIP() << "./deps.sh browser installs busybox-static";
  }
  EXPECT_EQ(verdict["verdict"], "passed") << verdict.dump() << output;
}

}  // namespace
}  // namespace mmquake
