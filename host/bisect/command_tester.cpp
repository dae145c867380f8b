// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/command_tester.h"

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <system_error>

#include "host/kernel/files.h"
#include "host/kernel/reporter.h"
#include "host/kernel/source.h"
#include "host/kernel/tree_lock.h"

namespace mmquake::bisect {
namespace {

namespace fs = std::filesystem;

constexpr int kSkip = 125;
constexpr int kAbort = 128;
// What sh says when a command cannot be run, or is not there.
constexpr int kCannotRun = 126;
constexpr int kNotThere = 127;
constexpr std::size_t kSignatureBytes = 200;
// What is found by a command that names nothing.
constexpr const char* kSignature = "found";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string out;
  std::getline(in, out);
  out.resize(std::min(out.size(), kSignatureBytes));
  return out;
}

}  // namespace

Result<> CommandTester::git(const std::vector<std::string>& words) {
  Command command = kernel::git_command(plan_.tree, words);
  command.environment[kernel::kTreeVariable] = plan_.tree.string();
  auto done = run_command(command, {}, should_stop_);
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return {};
  return broken(fmt::format("git {} in {}: {}", words[0], plan_.tree.string(),
                            kernel::last_line(done->output_tail)));
}

Result<> CommandTester::prepare(const StatusSink& status) {
  const ProgressSink sink = [&](const Progress& progress) { status(to_text(progress)); };
  kernel::Reporter reporter(sink, should_stop_);
  if (auto ended = kernel::end_leftovers(plan_.tree, reporter); !ended) return ended;
  for (const fs::path& folder : {plan_.tree, plan_.logs}) {
    if (auto made = kernel::make_folder(folder); !made) return made;
  }
  // Relative to the folder of the repository, which need not be its top.
  auto objects = reporter.output_of(
      "git rev-parse",
      kernel::git_command(plan_.repository, {"rev-parse", "--git-path", "objects"}));
  if (!objects) return tl::make_unexpected(objects.error());
  if (auto made = git({"init", "--quiet"}); !made) return made;
  const fs::path lent = plan_.repository / kernel::last_line(*objects);
  if (auto written = kernel::write_text(plan_.tree / ".git/objects/info/alternates",
                                        lent.lexically_normal().string() + "\n");
      !written) {
    return written;
  }
  // Whoever held it is gone.
  return kernel::remove_path(plan_.tree / ".git/index.lock");
}

// A line now and then says that the command is alive; all of them are in its log.
Result<CommandTester::Ran> CommandTester::shell(const std::string& command, const Commit& commit,
                                                const std::string& name,
                                                std::map<std::string, std::string> environment,
                                                const StatusSink& status) {
  Command shell;
  shell.argv = {"/bin/sh", "-c", command};
  shell.directory = plan_.tree;
  shell.environment = std::move(environment);
  shell.environment["MMQUAKE_COMMIT"] = commit.id;
  shell.environment["MMQUAKE_REPOSITORY"] = plan_.repository.string();
  // By this the next start knows what a killed one left.
  shell.environment[kernel::kTreeVariable] = plan_.tree.string();
  std::ofstream log(plan_.logs / (name + ".log"));
  Ran out;
  const auto start = std::chrono::steady_clock::now();
  auto done = run_command(
      shell,
      [&](std::string_view line) {
        log << line << '\n';
        status(std::string(line));
      },
      should_stop_);
  if (!done) return tl::make_unexpected(done.error());
  out.exit_code = done->exit_code;
  out.seconds = seconds_since(start);
  out.last_line = kernel::last_line(done->output_tail);
  if (out.exit_code < kAbort) return out;
  return broken(fmt::format(
      "'{}' ended with {}, which ends a bisection as it does for `git bisect run`; it printed: {}",
      command, out.exit_code, out.last_line.empty() ? "nothing" : out.last_line));
}

Result<> CommandTester::check_out(const std::string& commit) {
  return git({"checkout", "--quiet", "--force", "--detach", commit});
}

// The bad end would "find" a typing error, and so would every other commit.
Result<> CommandTester::prove_runnable(const Commit& commit, int code, const StatusSink& status) {
  const Commit good{plan_.good, "", {}};
  status(fmt::format("exit code {}: is it the same on a good commit?", code));
  auto built = build(good, status);
  if (!built) return tl::make_unexpected(built.error());
  auto ran = shell(plan_.run, good, "runnable", {}, status);
  if (!ran) return tl::make_unexpected(ran.error());
  if (ran->exit_code == code) {
    return usage(fmt::format("'{}' ends with {} on the good commit {}, too: it cannot be run ({})",
                             plan_.run, code, good.id.substr(0, 12), ran->last_line));
  }
  is_runnable_ = true;
  auto back = build(commit, status);
  if (!back) return tl::make_unexpected(back.error());
  return {};
}

Result<BuildResult> CommandTester::build(const Commit& commit, const StatusSink& status) {
  ready_.clear();
  const auto start = std::chrono::steady_clock::now();
  if (auto done = check_out(commit.id); !done) return tl::make_unexpected(done.error());
  BuildResult out;
  if (!plan_.build.empty()) {
    auto ran = shell(plan_.build, commit, "build-" + commit.id.substr(0, 12), {}, status);
    if (!ran) return tl::make_unexpected(ran.error());
    if (ran->exit_code != 0) {
      out.end = BuildEnd::kSkipped;
      out.reason = fmt::format("does not build ({}): {}", ran->exit_code, ran->last_line);
    }
  }
  out.seconds = seconds_since(start);
  if (out.end == BuildEnd::kBuilt) ready_ = commit.id;
  return out;
}

Result<TrialOutcome> CommandTester::trial(const Commit& commit, std::uint32_t number,
                                          std::uint64_t seed, const StatusSink& status) {
  const fs::path signature = plan_.logs / "signature";
  if (auto removed = kernel::remove_path(signature); !removed) {
    return tl::make_unexpected(removed.error());
  }
  auto ran = shell(plan_.run, commit, fmt::format("trial-{:06}", number),
                   {{"MMQUAKE_TRIAL", std::to_string(number)},
                    // sh counts with 63 bits.
                    {"MMQUAKE_SEED", std::to_string(seed >> 1U)},
                    {"MMQUAKE_SIGNATURE", signature.string()}},
                   status);
  if (!ran) return tl::make_unexpected(ran.error());
  if ((ran->exit_code == kCannotRun || ran->exit_code == kNotThere) && !is_runnable_) {
    auto proven = prove_runnable(commit, ran->exit_code, status);
    if (!proven) return tl::make_unexpected(proven.error());
  }
  TrialOutcome out;
  out.seconds = ran->seconds;
  if (ran->exit_code == 0) return out;
  if (ran->exit_code == kSkip) {
    out.end = TrialEnd::kSkipped;
    out.reason = ran->last_line.empty() ? "skipped by the command" : ran->last_line;
    return out;
  }
  out.end = TrialEnd::kFound;
  out.signature = first_line(signature);
  if (out.signature.empty()) out.signature = kSignature;
  return out;
}

}  // namespace mmquake::bisect
