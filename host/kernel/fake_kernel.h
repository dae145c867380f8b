// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the tests of this room share: a kernel tree that builds in a fraction of a second.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/kernel_store.h"
#include "host/kernel/reporter.h"
#include "host/plan/plan.h"
#include "host/plan/test_tree.h"

namespace mmquake::kernel {

// A cache, a source tree with a Makefile that imitates kbuild's, and a spec for it. The tree is
// a plain directory: dir:source.
class FakeKernel {
 public:
  FakeKernel();

  std::filesystem::path cache() const { return tree_.root() / "cache"; }
  std::filesystem::path source() const { return tree_.root() / "source"; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    return tree_.write(name, text);
  }
  // An object that says `text` in the vmlinux; `name` is as "mm/rmap".
  void write_object(const std::string& name, const std::string& text) const;
  // A patch that makes the object say another text, written to patches/NAME.patch.
  std::filesystem::path write_patch(const std::string& name, const std::string& object,
                                    const std::string& from, const std::string& to) const;

  KernelSpec spec() const;  // fragment "on.config", no patch
  Result<KernelArtifact> obtain(const KernelSpec& wanted,
                                const std::function<bool()>& should_stop = {}) const;
  // The only build tree there is, and what make printed there last.
  std::filesystem::path build_tree() const;
  std::string build_log() const;
  // Objects that the last build compiled, in order.
  std::vector<std::string> compiled() const;

  const TestTree& folder() const { return tree_; }

 private:
  TestTree tree_;
};

// Stops a build, in this process or a child, while it compiles an object.
class Gate {
 public:
  Gate(const FakeKernel& kernel, const std::string& object);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  pid_t wait_until_reached() const;  // the shell that compiles
  void open() const;

 private:
  std::filesystem::path folder_;
};

// For code that wants a reporter.
class SilentReporter : public Reporter {
 public:
  SilentReporter() : Reporter(sink_, stop_) {}

 private:
  ProgressSink sink_;
  std::function<bool()> stop_;
};

std::string text_of(const std::filesystem::path& file);
bool holds(const std::filesystem::path& file, const std::string& text);

// Runs `git WORDS...` in a folder as some person; fails the test when git fails.
void git(const std::filesystem::path& folder, const std::vector<std::string>& words);

// Sets an environment variable until the end of the scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::string before_;
  bool had_ = false;
};

}  // namespace mmquake::kernel
