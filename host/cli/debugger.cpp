// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/debugger.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "host/cli/interrupt.h"
#include "host/process/foreground.h"

namespace mmquake {
namespace {

void tell(std::FILE* out, const std::vector<std::string>& words) {
  fmt::print(out,
             "The guest stands before its first instruction. Set hardware breakpoints (hbreak "
             "handle_userfault):\nits memory does not hold the kernel yet. Then: continue\n");
  std::string line;
  for (const std::string& word : words) line += " " + shell_word(word);
  fmt::print(out, " {}\n", line);
  std::fflush(out);
}

}  // namespace

std::vector<std::string> gdb_words(const KernelDebugFiles& files,
                                   const std::filesystem::path& socket,
                                   const std::vector<std::string>& commands) {
  std::vector<std::string> out = {"gdb", "-q"};
  if (!files.gdb_script.empty()) {
    // gdb reads the script beside vmlinux by itself, where it may.
    out.insert(out.end(),
               {"-iex", "add-auto-load-safe-path " + files.gdb_script.parent_path().string()});
  }
  out.insert(out.end(), {"-ex", "directory " + files.source.string(), "-ex",
                         "target remote " + socket.string()});
  if (!commands.empty()) out.emplace_back("-batch");
  for (const std::string& command : commands) out.insert(out.end(), {"-ex", command});
  out.push_back(files.vmlinux.string());
  return out;
}

int debug_trial(Session& session, TrialPlan plan, const std::string& kernel,
                const DebugOptions& options) {
  auto files = session.debug_files(kernel);
  if (!files) return fail(files.error());
  plan.gdb_socket = plan.directory / "gdb.socket";
  // A guest that panics is not ended, but stays for gdb to look at.
  plan.machine.devices.pvpanic = false;
  plan.kernel_boot_args.emplace_back("panic=0");
  const std::vector<std::string> words = gdb_words(*files, plan.gdb_socket, options.commands);
  std::optional<Result<Foreground>> gdb;
  bool stands = false;
  const auto start_gdb = [&](const TrialStatus&) {
    if (std::exchange(stands, true)) return;
    tell(session.human(), words);
    if (!options.print_only) gdb.emplace(Foreground::start(words));
  };
  const auto is_over = [&] {
    return interrupted() || (gdb && (!*gdb || (*gdb)->poll().has_value()));
  };
  auto ran = session.run_debugged(plan, start_gdb, is_over);
  if (!ran) return fail(ran.error());
  if (gdb && !*gdb) return fail(gdb->error());
  if (!stands) return fail({ErrorKind::kBroken, ran->verdict.reason});
  // The guest may have ended first; gdb still has what it saw.
  const std::optional<int> code = gdb ? (*gdb)->wait(interrupted) : 0;
  fmt::print(session.human(), "console: {}\n", (plan.directory / "console.log").string());
  if (interrupted()) return interrupted_exit_code();
  return code == 0 ? kExitExpected : kExitBroken;
}

}  // namespace mmquake
