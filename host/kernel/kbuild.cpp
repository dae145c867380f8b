// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/kbuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "host/kernel/files.h"
#include "host/kernel/toolchain.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// What a person's shell or an outer make may have set, and kbuild would obey.
constexpr const char* kForeign[] = {"MAKEFLAGS",
                                    "MFLAGS",
                                    "GNUMAKEFLAGS",
                                    "MAKELEVEL",
                                    "KBUILD_OUTPUT",
                                    "KBUILD_EXTMOD",
                                    "KBUILD_EXTRA_SYMBOLS",
                                    "KBUILD_VERBOSE",
                                    "KBUILD_MODPOST_WARN",
                                    "KCONFIG_ALLCONFIG",
                                    "KCONFIG_CONFIG",
                                    "KCPPFLAGS",
                                    "CFLAGS_KERNEL",
                                    "CFLAGS_MODULE",
                                    "LLVM",
                                    "LLVM_IAS",
                                    "CROSS_COMPILE",
                                    "LD",
                                    "AR",
                                    "NM",
                                    "OBJCOPY",
                                    "HOSTCFLAGS",
                                    "HOSTLDFLAGS",
                                    "V",
                                    "W",
                                    "C",
                                    "M",
                                    "O"};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out.push_back(std::move(line));
  return out;
}

// `line` with the first `part` taken out: tools built on the way are named by whole paths.
std::string without(std::string_view line, const std::string& part) {
  std::string out(line);
  const std::size_t at = out.find(part);
  if (at != std::string::npos) out.erase(at, part.size());
  return out;
}

Result<> check_path(const fs::path& path) {
  if (path.string().find_first_of(" \t:") == std::string::npos) return {};
  return broken(
      fmt::format("kbuild cannot work in '{}': the path holds a space or a colon; set "
                  "XDG_CACHE_HOME to another folder",
                  path.string()));
}

}  // namespace

Command Kbuild::make(const std::vector<std::string>& words, const std::string& flags) const {
  Command command;
  command.argv = {"env"};
  for (const char* name : kForeign) command.argv.insert(command.argv.end(), {"-u", name});
  const std::string output = places_.output.string();
  const std::string map = fmt::format("-fdebug-prefix-map={}/= -fdebug-prefix-map={}=.",
                                      places_.source.string(), output);
  const bool ccache = is_in_path("ccache");
  if (ccache) {
    command.environment = {{"CCACHE_DIR", places_.ccache.string()},
                           // It would make paths relative behind kbuild's back: into __FILE__
                           // and line tables, and with ccache only.
                           {"CCACHE_BASEDIR", ""},
                           {"CCACHE_MAXSIZE", "2G"}};
  }
  command.argv.insert(
      command.argv.end(),
      {"make", "-C", places_.source.string(), "--no-print-directory",
       fmt::format("-j{}", std::max(1U, std::thread::hardware_concurrency())), "O=" + output,
       "ARCH=x86_64", ccache ? "CC=ccache gcc" : "CC=gcc", "HOSTCC=gcc",
       fmt::format("KCFLAGS={} {}", map, flags), "KAFLAGS=" + map,
       "LOCALVERSION=", "KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC",
       "KBUILD_BUILD_USER=mmquake", "KBUILD_BUILD_HOST=mmquake", "KBUILD_BUILD_VERSION=1"});
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  return command;
}

Result<> Kbuild::run(const std::string& what, const Command& command, MakeProgress* progress) {
  reporter_.stage(what);
  std::ofstream log(places_.log, std::ios::app);
  FailureReason reason;
  const auto start = std::chrono::steady_clock::now();
  auto done = reporter_.run(command, [&](std::string_view line) {
    log << line << '\n';
    reason.line(line);
    if (progress == nullptr) return;
    progress->line(without(line, places_.output.string() + "/"));
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    reporter_.update(progress->detail(passed.count()), progress->fraction());
  });
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return {};
  if (reason.no_space()) {
    return broken(
        fmt::format("{}: no space left on the disk of {} ({} MiB free); free some "
                    "(mmquake kernel gc)",
                    what, places_.output.string(), free_mib(places_.output)));
  }
  std::string why = fmt::format(
      "{}: {}", what, reason.text().empty() ? last_line(done->output_tail) : reason.text());
  if (!reason.is_hosts()) return skipped(std::move(why));
  return broken(why + "; all that make printed is in " + places_.log.string());
}

Result<> Kbuild::configure(const std::vector<Fragment>& fragments) {
  if (auto fine = check_path(places_.output); !fine) return fine;
  if (auto made = make_folder(places_.output); !made) return made;
  const fs::path next = places_.output.string() + ".config";
  if (auto gone = remove_path(next); !gone) return gone;
  const std::string where = "KCONFIG_CONFIG=" + next.string();
  if (auto done = run("configure", make({where, "allnoconfig"}, ""), nullptr); !done) return done;
  auto text = read_text(next);
  if (!text) return tl::make_unexpected(text.error());
  auto merged = merge(*text, fragments);
  if (!merged) return tl::make_unexpected(merged.error());
  if (auto written = write_text(next, *merged); !written) return written;
  if (auto done = run("configure", make({where, "olddefconfig"}, ""), nullptr); !done) return done;
  text = read_text(next);
  if (!text) return tl::make_unexpected(text.error());
  if (auto kept = check_options(fragments, *text); !kept) return kept;
  if (text->find("\nCONFIG_MODULES=y\n") == std::string::npos) {
    return broken(
        "the fragments leave CONFIG_MODULES off, and mmquake's widener is a module; put "
        "CONFIG_MODULES=y into one of them");
  }
  if (auto gone = remove_path(next.string() + ".old"); !gone) return gone;
  // Kept as it is when nothing changed: kbuild looks at its time.
  if (same_file(next, config())) return remove_path(next);
  return move_to(next, config());
}

Result<> Kbuild::compile() {
  const fs::path list = places_.output.string() + ".objects";
  const auto before = read_text(list);
  MakeProgress progress(before ? lines_of(*before) : std::vector<std::string>());
  // 'modules' makes Module.symvers, against which the widener's symbols are checked.
  const auto config_text = read_text(config());
  // Who asks for reduced debug information wants line tables and inlines, and that is -g1.
  const bool reduced =
      config_text && config_text->find("\nCONFIG_DEBUG_INFO_REDUCED=y\n") != std::string::npos;
  const Command command = make({"bzImage", "modules"}, reduced ? "-g1" : "");
  if (auto done = run("compile", command, &progress); !done) return done;
  for (const fs::path& file : {bzimage(), vmlinux()}) {
    std::error_code error;
    if (!fs::exists(file, error)) {
      return broken(fmt::format("make said it is done, but {} is not there; see {}", file.string(),
                                places_.log.string()));
    }
  }
  std::string text;
  for (const std::string& object : progress.objects()) text += object + '\n';
  return write_text(list, text);
}

Result<fs::path> Kbuild::object(const std::vector<ModuleFile>& files, const fs::path& folder,
                                const std::string& flags) {
  if (auto gone = remove_path(folder); !gone) return tl::make_unexpected(gone.error());
  const std::string& name = files.at(0).name;
  const std::string object = fs::path(name).replace_extension(".o");
  std::vector<ModuleFile> all = files;
  all.push_back({"Kbuild", fmt::format("obj-m := {}\nccflags-y := -I$(srctree)\n", object)});
  for (const ModuleFile& one : all) {
    if (auto written = write_text(folder / one.name, one.text); !written) {
      return tl::make_unexpected(written.error());
    }
  }
  if (auto done = run("prepare the kernel's headers", make({"prepare"}, ""), nullptr); !done) {
    return tl::make_unexpected(done.error());
  }
  auto done = run("compile " + name, make({"M=" + folder.string(), object}, flags), nullptr);
  if (!done) return tl::make_unexpected(done.error());
  return folder / object;
}

Result<fs::path> Kbuild::gdb_script() {
  std::error_code error;
  if (!fs::exists(places_.source / "scripts/gdb/vmlinux-gdb.py", error)) return fs::path();
  // They depend on no option of the configuration but the one that asks for them.
  auto done = run("make the kernel's commands for gdb",
                  make({"CONFIG_GDB_SCRIPTS=y", "scripts_gdb"}, ""), nullptr);
  if (!done) return tl::make_unexpected(done.error());
  return places_.output / "vmlinux-gdb.py";
}

Result<> Kbuild::module(const std::vector<ModuleFile>& files, const fs::path& folder) {
  if (auto gone = remove_path(folder); !gone) return gone;
  for (const ModuleFile& file : files) {
    if (auto written = write_text(folder / file.name, file.text); !written) return written;
  }
  // Debug information would only make every guest load a larger initramfs.
  return run("build the widener module", make({"M=" + folder.string(), "modules"}, "-g0"), nullptr);
}

Result<std::string> Kbuild::release() const {
  auto text = read_text(places_.output / "include/config/kernel.release");
  if (!text) return text;
  return text->substr(0, text->find('\n'));
}

}  // namespace mmquake::kernel
