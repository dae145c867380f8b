// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/fake_kernel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "host/kernel/make_output.h"
#include "host/process/process.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

const fs::path kTestData = fs::path(MMQUAKE_SOURCE_DIR) / "host/kernel/testdata";

std::string object_text(const std::string& object, const std::string& text) {
  std::string symbol = object;
  for (char& c : symbol) c = c == '/' ? '_' : c;
  return fmt::format("/* {} */\n\nconst char {}_text[] = \"<{}>\";\n\n/* end */\n", object, symbol,
                     text);
}

}  // namespace

FakeKernel::FakeKernel() {
  write("source/Makefile", text_of(kTestData / "fake_kernel.mk"));
  write("source/scripts/olddefconfig.awk", text_of(kTestData / "olddefconfig.awk"));
  write("source/Kconfig", "config MODULES\nconfig SMP\nconfig NUMA SMP\nconfig NR_CPUS SMP\n");
  write("source/include/linux/pid.h", "struct pid { int level; struct upid numbers[]; };\n");
  write("on.config", "CONFIG_MODULES=y\nCONFIG_SMP=y\n");
  write_object("mm/rmap", "rmap one");
  write_object("mm/swap", "swap one");
  write_object("fs/exec", "exec one");
}

void FakeKernel::write_object(const std::string& name, const std::string& text) const {
  write("source/" + name + ".c", object_text(name, text));
}

fs::path FakeKernel::write_patch(const std::string& name, const std::string& object,
                                 const std::string& from, const std::string& to) const {
  const auto line = [&](const std::string& text) {
    std::istringstream lines(object_text(object, text));
    std::string found;
    for (int i = 0; i < 3; ++i) std::getline(lines, found);
    return found;
  };
  return write(
      "patches/" + name + ".patch",
      fmt::format("Why it is so.\n\n--- a/{0}.c\n+++ b/{0}.c\n@@ -1,5 +1,5 @@\n /* {0} */\n"
                  " \n-{1}\n+{2}\n \n /* end */\n",
                  object, line(from), line(to)));
}

KernelSpec FakeKernel::spec() const {
  KernelSpec spec;
  spec.name = "fake";
  spec.source = "dir:" + source().string();
  spec.fragments = {tree_.root() / "on.config"};
  return spec;
}

Result<KernelArtifact> FakeKernel::obtain(const KernelSpec& wanted,
                                          const std::function<bool()>& should_stop) const {
  return KernelStore(cache()).obtain(wanted, {}, should_stop);
}

fs::path FakeKernel::build_tree() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache() / "trees", error)) {
    if (entry.is_directory()) return entry.path();
  }
  return {};
}

std::string FakeKernel::build_log() const {
  return text_of(build_tree() / "build.log");
}

std::vector<std::string> FakeKernel::compiled() const {
  std::vector<std::string> out;
  std::istringstream lines(build_log());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  CC ")) out.emplace_back(object_in(line));
  }
  return out;
}

Gate::Gate(const FakeKernel& kernel, const std::string& object)
    : folder_(kernel.folder().root() / "gate") {
  kernel.write("gate/object", object + "\n");
  EXPECT_EQ(mkfifo((folder_ / "reached").c_str(), 0600), 0);
  EXPECT_EQ(mkfifo((folder_ / "go").c_str(), 0600), 0);
  setenv("FAKE_GATE", folder_.c_str(), 1);
}

Gate::~Gate() {
  unsetenv("FAKE_GATE");
  // Whoever still waits, because a test failed, shall not wait for ever.
  const int go = ::open((folder_ / "go").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (go >= 0) ::close(go);
  std::error_code ignored;  // scratch
  fs::remove_all(folder_, ignored);
}

pid_t Gate::wait_until_reached() const {
  std::ifstream reached(folder_ / "reached");  // blocks until the other end is opened
  pid_t pid = 0;
  reached >> pid;
  EXPECT_GT(pid, 0);
  return pid;
}

void Gate::open() const {
  unsetenv("FAKE_GATE");
  std::ofstream go(folder_ / "go");  // blocks until the compiler waits
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool holds(const fs::path& file, const std::string& text) {
  return text_of(file).find(text) != std::string::npos;
}

void git(const fs::path& folder, const std::vector<std::string>& words) {
  Command command;
  command.argv = {"git",
                  "-c",
                  "user.name=someone",
                  "-c",
                  "user.email=someone@example.org",
                  "-c",
                  "init.defaultBranch=master"};
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.directory = folder;
  // The same commits have the same names each time, and searches among them go the same way.
  const std::string date = "2026-01-01T00:00:00Z";
  command.environment = {{"GIT_AUTHOR_DATE", date}, {"GIT_COMMITTER_DATE", date}};
  const auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_EQ(done->exit_code, 0) << done->output_tail;
}

ScopedVariable::ScopedVariable(const char* name, const std::string& value) : name_(name) {
  if (const char* before = std::getenv(name)) {
    before_ = before;
    had_ = true;
  }
  setenv(name, value.c_str(), 1);
}

ScopedVariable::~ScopedVariable() {
  if (had_) {
    setenv(name_, before_.c_str(), 1);
  } else {
    unsetenv(name_);
  }
}

}  // namespace mmquake::kernel
