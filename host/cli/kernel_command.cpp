// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/kernel_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "host/cli/interrupt.h"
#include "host/cli/session.h"
#include "host/cli/status_line.h"
#include "host/kernel/kernel_store.h"
#include "host/plan/directories.h"
#include "host/plan/nearest.h"
#include "host/plan/plan.h"

namespace mmquake {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr const char* kHowItWorks =
    "\nA kernel is a source, configuration fragments and patches: configs/kernels/NAME.toml.\n"
    "It is built once; the result is kept under the hash of all that went into it, and a change\n"
    "of any of it makes a new one. run and repro build what they need by themselves.\n"
    "\n"
    "Examples:\n"
    "  mmquake kernel list                        what there is, and what of it is built\n"
    "  mmquake kernel build clean                 minutes at first, then at once\n"
    "  mmquake kernel build dir:/src/linux        your own tree: only read, built in the cache\n"
    "  mmquake kernel build git:/src/linux@v6.8   a revision; no work tree is touched\n"
    "  qemu-system-x86_64 -kernel $(mmquake kernel path clean) ...\n"
    "  mmquake kernel gc                          removes what no configs/kernels file uses\n"
    "\n"
    "A Debian source is the newest that apt knows; after `apt-get update` it may be a newer one.\n";

struct KernelOptions {
  std::vector<std::string> names;
  bool vmlinux = false;
};

Catalogue catalogue() {
  return Catalogue(data_dir() / "configs");
}

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{} MiB", (bytes + 524288) >> 20);
}

json artifact_json(const KernelArtifact& artifact) {
  return {{"name", artifact.name},
          {"key", artifact.key},
          {"release", artifact.release},
          {"source", artifact.source},
          {"built_at", artifact.built_at},
          {"bzimage", artifact.bzimage.string()},
          {"vmlinux", artifact.vmlinux.string()},
          {"widener", artifact.widener.string()}};
}

std::uint64_t size_of(const KernelArtifact& artifact) {
  std::uint64_t bytes = 0;
  for (const auto& file : {artifact.bzimage, artifact.vmlinux, artifact.widener}) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (!error) bytes += size;
  }
  return bytes;
}

Result<json> build_one(const std::string& name, std::FILE* out) {
  auto spec = catalogue().kernel(name);
  if (!spec) return tl::make_unexpected(spec.error());
  const auto start = Clock::now();
  bool made = false;
  StatusLine status(out);
  auto artifact =
      KernelStore(cache_dir())
          .obtain(
              *spec,
              [&](const Progress& progress) {
                made = made || progress.stage == "compile" ||
                       progress.stage.starts_with("unpack linux-image");
                status.show(fmt::format("kernel {}: {}", spec->name, to_text(progress)));
              },
              interrupted);
  status.clear();
  if (!artifact) return tl::make_unexpected(artifact.error());
  const std::chrono::duration<double> took = Clock::now() - start;
  fmt::print(
      out, "kernel {}: {}, {}\n  {} ({})\n", spec->name, artifact->release,
      made ? fmt::format("made in {:.0f} s", took.count()) : "was there already, nothing to do",
      artifact->dir.string(), megabytes(size_of(*artifact)));
  std::fflush(out);
  json one = artifact_json(*artifact);
  one["built_now"] = made;
  one["seconds"] = took.count();
  return one;
}

int build_kernels(const std::vector<std::string>& names, bool as_json) {
  json all = json::array();
  for (const std::string& name : names) {
    auto one = build_one(name, as_json ? stderr : stdout);
    if (!one) return interrupted() ? interrupted_exit_code() : fail(one.error());
    all.push_back(*one);
  }
  if (as_json) fmt::print("{}\n", all.dump(2));
  return kExitExpected;
}

int make_debug_files(const std::string& name, bool as_json) {
  auto spec = catalogue().kernel(name);
  if (!spec) return fail(spec.error());
  const auto start = Clock::now();
  StatusLine status(as_json ? stderr : stdout);
  auto files = KernelStore(cache_dir())
                   .obtain_debug_files(
                       *spec,
                       [&](const Progress& progress) {
                         status.show(fmt::format("kernel {}: {}", spec->name, to_text(progress)));
                       },
                       interrupted);
  status.clear();
  if (!files) return interrupted() ? interrupted_exit_code() : fail(files.error());
  const std::chrono::duration<double> took = Clock::now() - start;
  if (as_json) {
    fmt::print("{}\n", json({{"vmlinux", files->vmlinux.string()},
                             {"source", files->source.string()},
                             {"gdb_script", files->gdb_script.string()},
                             {"seconds", took.count()}})
                           .dump(2));
  } else {
    std::error_code error;
    fmt::print("kernel {}: what crash and gdb need is there, after {:.0f} s\n  {} ({})\n  {}\n",
               spec->name, took.count(), files->vmlinux.string(),
               megabytes(std::filesystem::file_size(files->vmlinux, error)),
               files->source.string());
  }
  return kExitExpected;
}

// A kernel of the catalogue, or an artifact that none of them uses any more.
struct Row {
  std::string name;
  std::string state;  // "built", "not built", "unused", or what is wrong with the spec
  std::string release;
  std::string size;
  std::string source;
};

void print_rows(const std::vector<Row>& rows) {
  std::size_t name = 4;
  std::size_t state = 5;
  std::size_t release = 7;
  for (const Row& row : rows) {
    name = std::max(name, row.name.size());
    state = std::max(state, row.state.size());
    release = std::max(release, row.release.size());
  }
  for (const Row& row : rows) {
    fmt::print("{:<{}}  {:<{}}  {:<{}}  {:>9}  {}\n", row.name, name, row.state, state, row.release,
               release, row.size, row.source);
  }
}

int list_kernels(bool as_json) {
  KernelStore store(cache_dir());
  auto entries = store.list();
  if (!entries) return fail(entries.error());
  json all = json::array();
  std::vector<Row> rows = {{"name", "state", "release", "size", "source"}};
  std::set<std::string> used;
  for (const std::string& name : catalogue().kernel_names()) {
    auto spec = catalogue().kernel(name);
    if (!spec) return fail(spec.error());
    const auto artifact = store.find(*spec);
    json one = {{"name", name}, {"source", spec->source}, {"built", artifact.has_value()}};
    Row row{name, "not built", "", "", spec->source};
    if (artifact) {
      used.insert(artifact->key);
      row = {name, "built", artifact->release, megabytes(size_of(*artifact)), artifact->source};
      one.update(artifact_json(*artifact));
    }
    rows.push_back(row);
    all.push_back(std::move(one));
  }
  for (const KernelStore::Entry& entry : *entries) {
    if (used.contains(entry.artifact.key)) continue;
    rows.push_back({entry.artifact.name, "unused", entry.artifact.release, megabytes(entry.bytes),
                    entry.artifact.source});
    json one = artifact_json(entry.artifact);
    one["built"] = true;
    one["unused"] = true;
    all.push_back(std::move(one));
  }
  if (as_json) {
    fmt::print("{}\n", all.dump(2));
    return kExitExpected;
  }
  print_rows(rows);
  return kExitExpected;
}

Result<KernelArtifact> find_kernel(const std::string& name) {
  auto spec = catalogue().kernel(name);
  if (!spec) return tl::make_unexpected(spec.error());
  return KernelStore(cache_dir()).find(*spec);
}

void print_files(const char* what, const json& files) {
  for (const json& file : files) {
    fmt::print("{:<9} {} ({})\n", what, file.value("file", ""), file.value("hash", ""));
    what = "";
  }
}

int show_kernel(const std::string& name, bool as_json) {
  auto artifact = find_kernel(name);
  if (!artifact) return fail(artifact.error());
  std::ifstream file(artifact->dir / "artifact.json");
  json inputs = json::parse(file, nullptr, false);
  if (!inputs.is_object()) {
    return fail(
        {ErrorKind::kBroken, (artifact->dir / "artifact.json").string() +
                                 " is damaged; remove its folder and build the kernel again"});
  }
  if (as_json) {
    inputs.update(artifact_json(*artifact));
    fmt::print("{}\n", inputs.dump(2));
    return kExitExpected;
  }
  fmt::print("kernel    {} ({})\n", artifact->name, artifact->release);
  fmt::print("source    {}\n", artifact->source);
  print_files("fragments", inputs.value("fragments", json::array()));
  print_files("patches", inputs.value("patches", json::array()));
  fmt::print("compiler  {}\n", inputs.value("compiler", ""));
  fmt::print("built     {}\n", artifact->built_at);
  fmt::print("key       {}\n", artifact->key);
  fmt::print("folder    {} ({})\n", artifact->dir.string(), megabytes(size_of(*artifact)));
  return kExitExpected;
}

int print_path(const KernelOptions& options, bool as_json) {
  auto artifact = find_kernel(options.names.at(0));
  if (!artifact) return fail(artifact.error());
  if (options.vmlinux && artifact->vmlinux.empty()) {
    return fail({ErrorKind::kUsage, "kernel '" + artifact->name +
                                        "' came out of a package, without a vmlinux that has "
                                        "debug information"});
  }
  if (as_json) {
    fmt::print("{}\n", artifact_json(*artifact).dump(2));
  } else {
    fmt::print("{}\n", (options.vmlinux ? artifact->vmlinux : artifact->bzimage).string());
  }
  return kExitExpected;
}

int collect_garbage(bool as_json) {
  std::vector<KernelSpec> keep;
  for (const std::string& name : catalogue().kernel_names()) {
    auto spec = catalogue().kernel(name);
    // What a broken file would use cannot be told, and building it again takes minutes.
    if (!spec) return fail(spec.error());
    keep.push_back(std::move(*spec));
  }
  if (keep.empty()) {
    return fail({ErrorKind::kBroken,
                 "there are no kernels in " + (data_dir() / "configs/kernels").string() +
                     ", so gc would remove everything; set MMQUAKE_DATA to mmquake's source tree"});
  }
  StatusLine status(as_json ? stderr : stdout);
  auto freed =
      KernelStore(cache_dir())
          .gc(
              keep,
              [&](const Progress& progress) { status.show("kernel gc: " + to_text(progress)); },
              interrupted);
  status.clear();
  if (!freed) return interrupted() ? interrupted_exit_code() : fail(freed.error());
  if (as_json) {
    fmt::print("{}\n", json({{"freed_bytes", *freed}}).dump(2));
  } else {
    fmt::print("kernel gc: {}\n", *freed == 0 ? "nothing to remove" : "freed " + megabytes(*freed));
  }
  return kExitExpected;
}

CLI::App* add(CLI::App& kernel, const char* name, const char* about, bool& as_json) {
  CLI::App* command = kernel.add_subcommand(name, about);
  command->add_flag("--json", as_json, "Print the result as JSON on stdout, the rest on stderr");
  return command;
}

void add_name(CLI::App& command, KernelOptions& options, int most) {
  command
      .add_option("NAME", options.names,
                  "A kernel of configs/kernels, dir:PATH, git:PATH@REV, or a .toml file")
      ->required()
      ->expected(1, most);
}

}  // namespace

Error wrong_action(const CLI::App& command, std::string_view kind) {
  std::vector<std::string> known;
  for (const CLI::App* one : command.get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(one->get_name());
  }
  const std::string& name = command.get_name();
  const std::vector<std::string> rest = command.remaining();
  const auto given = std::find_if(rest.begin(), rest.end(),
                                  [](const std::string& word) { return !word.starts_with("-"); });
  if (given == rest.end()) {
    return {ErrorKind::kUsage, fmt::format("{0} needs one of: {1} (mmquake {0} --help)", name,
                                           fmt::join(known, ", "))};
  }
  return {ErrorKind::kUsage, fmt::format("unknown {} '{}'{} (mmquake {} --help shows all)", kind,
                                         printable(*given), suggestion(*given, known), name)};
}

void add_kernel_command(CLI::App& app, bool& json, int& code) {
  auto options = std::make_shared<KernelOptions>();
  CLI::App* kernel = app.add_subcommand("kernel", "Build, list, show and remove kernels");
  kernel->footer(kHowItWorks);
  kernel->callback([kernel, &code] {
    if (kernel->get_subcommands().empty()) code = fail(wrong_action(*kernel, "kernel command"));
  });
  CLI::App* build = add(*kernel, "build", "Build kernels, or say that they are built", json);
  add_name(*build, *options, 100);
  build->callback([options, &json, &code] { code = build_kernels(options->names, json); });
  CLI::App* list = add(*kernel, "list", "Show all kernels, and which are built", json);
  list->callback([&json, &code] { code = list_kernels(json); });
  CLI::App* show = add(*kernel, "show", "Show what went into a built kernel", json);
  add_name(*show, *options, 1);
  show->callback([options, &json, &code] { code = show_kernel(options->names.at(0), json); });
  CLI::App* path = add(*kernel, "path", "Print the path of a built kernel's bzImage", json);
  add_name(*path, *options, 1);
  path->add_flag("--vmlinux", options->vmlinux, "Of its vmlinux, which has debug information");
  path->callback([options, &json, &code] { code = print_path(*options, json); });
  CLI::App* debug = add(*kernel, "debug-info",
                        "Give a built kernel's vmlinux types and sources, for crash and gdb", json);
  add_name(*debug, *options, 1);
  debug->callback([options, &json, &code] { code = make_debug_files(options->names.at(0), json); });
  CLI::App* gc = add(*kernel, "gc", "Remove what no kernel of configs/kernels uses", json);
  gc->callback([&json, &code] { code = collect_garbage(json); });
  // CLI11 would only say that a subcommand is required. Not before the others: they inherit it.
  kernel->allow_extras();
}

}  // namespace mmquake
