// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>

#include "host/image/program_files.h"
#include "host/image/selftests.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRoot = "payload/kselftest";
constexpr const char* kStaticHint = "build it with make LDFLAGS=-static";

// The words behind "#!"; empty: it is no script.
std::vector<std::string> shebang_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string line(256, '\0');
  in.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(in.gcount()));
  line.resize(std::min(line.find('\n'), line.size()));
  if (!line.starts_with("#!")) return {};
  std::istringstream words(line.substr(2));
  std::vector<std::string> out;
  for (std::string word; words >> word;) out.push_back(word);
  if (out.empty()) out.emplace_back("/bin/sh");
  return out;
}

// "bash" of "/bin/bash" and of "/usr/bin/env bash".
std::string interpreter_in(const std::vector<std::string>& shebang) {
  std::string first = fs::path(shebang.front()).filename();
  if (first != "env") return first;
  const auto word = std::find_if(shebang.begin() + 1, shebang.end(),
                                 [](const std::string& w) { return !w.starts_with('-'); });
  return word == shebang.end() ? first : *word;
}

bool is_executable(const fs::path& file) {
  std::error_code error;
  return (fs::status(file, error).permissions() & fs::perms::owner_exec) != fs::perms::none;
}

// Collects the files of one image; each name once.
class Collector {
 public:
  void add(const ImageFile& file) { files_.try_emplace(file.name, file); }
  Result<> add_tree(const fs::path& folder, const std::string& name);
  // Adds what the program asks its loader for. The text says what cannot be had; empty: nothing.
  std::string add_libraries(const fs::path& program);
  std::string lack_of(const Selftest& test);
  void add_shells();
  // As image files, if they are not too many.
  Result<std::vector<ImageFile>> finish(std::uint64_t limit_mib) const;

 private:
  std::string lack_of_script(const std::string& interpreter);
  std::string add_found(const std::vector<std::string>& lines);

  std::map<std::string, ImageFile> files_;
  std::set<fs::path> folders_;  // whose files are in the image anyway
  std::optional<std::string> bash_lack_;
  std::string busybox_lack_;
};

Result<> Collector::add_tree(const fs::path& folder, const std::string& name) {
  folders_.insert(folder);
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const fs::path& path = at->path();
    const std::string inside = name + "/" + path.lexically_relative(folder).string();
    std::error_code unknown;
    if (at->is_symlink(unknown)) {
      const fs::path target = fs::read_symlink(path, unknown);
      if (!unknown && target.is_relative()) {
        add({inside, "", target.string(), true});
        continue;
      }
    }
    if (at->is_regular_file(unknown)) add({inside, path, "", false, is_executable(path)});
  }
  return error ? Result<>(usage(fmt::format("read '{}': {}", folder.string(), error.message())))
               : Result<>();
}

// A loader lists what it would load, and runs nothing: only one that this host has installed.
std::string Collector::add_libraries(const fs::path& program) {
  const auto loader = loader_of(program);
  if (!loader) return loader.error().message;
  if (loader->empty()) return "";
  const bool installed = loader->starts_with("/lib") || loader->starts_with("/usr/lib");
  std::error_code error;
  if (!installed || !fs::is_regular_file(*loader, error)) {
    return fmt::format("its loader '{}' is not installed here: {}", *loader, kStaticHint);
  }
  std::vector<std::string> lines;
  const auto done = run_command({{*loader, "--list", program.string()}, {}, {}},
                                [&](std::string_view line) { lines.emplace_back(line); });
  if (!done) return done.error().message;
  if (std::string lack = add_found(lines); !lack.empty()) return lack;
  if (done->exit_code != 0) {
    return fmt::format("its libraries are not these of this host ({}): {}",
                       lines.empty() ? "the loader says nothing" : lines.back(), kStaticHint);
  }
  add({loader->substr(1), *loader});
  return "";
}

// "	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)". All go where libc is: its loader
// looks there without a cache, and the image has none.
std::string Collector::add_found(const std::vector<std::string>& lines) {
  std::map<std::string, fs::path> found;
  for (const std::string& line : lines) {
    std::istringstream words(line);
    std::string name, arrow, path;
    if (!(words >> name >> arrow >> path) || arrow != "=>") continue;
    if (path == "not") {
      return fmt::format("needs {}, which this host has not: install it, or {}", name, kStaticHint);
    }
    const bool inside = std::any_of(folders_.begin(), folders_.end(), [&](const fs::path& folder) {
      return path.starts_with(folder.string() + "/");
    });
    if (!inside && path.starts_with('/')) found[name] = path;
  }
  const auto libc = std::find_if(found.begin(), found.end(), [](const auto& entry) {
    return entry.first.starts_with("libc.");
  });
  for (const auto& [name, path] : found) {
    const fs::path folder = (libc == found.end() ? path : libc->second).parent_path();
    add({(folder / fs::path(name).filename()).string().substr(1), path});
  }
  return "";
}

void Collector::add_shells() {
  const auto busybox = static_busybox();
  if (!busybox) {
    busybox_lack_ = busybox.error().message;
    return;
  }
  add({"bin/busybox", *busybox});
  add({"bin/sh", "", "busybox", true});
  add({"usr/bin/env", "", "/bin/busybox", true});
}

std::string Collector::lack_of_script(const std::string& interpreter) {
  if (!busybox_lack_.empty()) return busybox_lack_;
  if (interpreter == "sh" || interpreter == "ash" || interpreter == "dash") {
    if (interpreter != "sh") add({"bin/" + interpreter, "", "busybox", true});
    return "";
  }
  if (interpreter != "bash") {
    return fmt::format("it is a script for {}, and the guest has only sh and bash", interpreter);
  }
  if (!bash_lack_) {
    std::error_code error;
    const fs::path bash = fs::exists("/bin/bash", error) ? "/bin/bash" : "/usr/bin/bash";
    bash_lack_ = fs::exists(bash, error)
                     ? add_libraries(bash)
                     : "it is a script for bash, which this host has not (apt install bash)";
    if (bash_lack_->empty()) {
      add({"bin/bash", bash});
      add({"usr/bin/bash", "", "/bin/bash", true});
    }
  }
  return *bash_lack_;
}

std::string Collector::lack_of(const Selftest& test) {
  std::error_code error;
  if (!fs::is_regular_file(test.file, error)) {
    return "it is in the list, and not in the folder: it was not built";
  }
  if (const auto shebang = shebang_of(test.file); !shebang.empty()) {
    return lack_of_script(interpreter_in(shebang));
  }
  const auto loader = loader_of(test.file);
  return loader ? add_libraries(test.file) : loader.error().message + ", and no script";
}

Result<std::vector<ImageFile>> Collector::finish(std::uint64_t limit_mib) const {
  std::uint64_t bytes = 0;
  std::vector<ImageFile> out;
  std::vector<std::pair<std::uint64_t, std::string>> sizes;
  for (const auto& [name, file] : files_) {
    std::error_code error;
    const std::uint64_t size = file.source.empty() ? 0 : fs::file_size(file.source, error);
    sizes.emplace_back(size, name);
    bytes += size;
    out.push_back(file);
  }
  if (bytes <= limit_mib << 20) return out;
  const auto largest = std::max_element(sizes.begin(), sizes.end());
  return usage(fmt::format(
      "the collections of the tests have {} MiB, and {} fit into this machine's memory: strip "
      "their programs, choose tests of fewer collections with --test, or take a larger --machine; "
      "the largest file is {} with {} MiB",
      bytes >> 20, limit_mib, largest->second, largest->first >> 20));
}

// Of a folder's programs and scripts that are no tests, and that tests may call.
void add_helpers(const fs::path& folder, Collector& collector) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code unknown;
    if (!at->is_regular_file(unknown) || !is_executable(at->path())) continue;
    Selftest helper;
    helper.file = at->path();
    collector.lack_of(helper);  // whoever calls it in vain says so
  }
}

}  // namespace

Result<SelftestImage> selftest_image(const fs::path& directory, std::vector<Selftest> tests,
                                     std::uint64_t limit_mib) {
  fs::path root = fs::absolute(directory).lexically_normal();
  if (root.filename().empty()) root = root.parent_path();
  std::error_code error;
  const bool has_list = fs::exists(root / "kselftest-list.txt", error);
  Collector collector;
  collector.add_shells();
  std::map<std::string, fs::path> folders;
  for (const Selftest& test : tests) {
    folders[test.collection] = has_list ? root / test.collection : root;
  }
  // Scripts take functions from it.
  if (has_list && fs::is_directory(root / "kselftest", error)) {
    folders["kselftest"] = root / "kselftest";
  }
  SelftestImage image;
  std::string list;
  for (Selftest& test : tests) {
    list += test.id() + "\n";
    // With its bit: a script without one is run by the interpreter that it names.
    if (fs::is_regular_file(test.file, error)) {
      collector.add({fmt::format("{}/{}/{}", kRoot, test.collection, test.name), test.file});
    }
  }
  for (const auto& [name, folder] : folders) {
    if (!fs::is_directory(folder, error)) continue;  // its tests lack their files
    if (auto added = collector.add_tree(folder, fmt::format("{}/{}", kRoot, name)); !added) {
      return tl::make_unexpected(added.error());
    }
  }
  for (Selftest& test : tests) test.lack = collector.lack_of(test);
  for (const auto& [name, folder] : folders) add_helpers(folder, collector);
  collector.add({"payload/kselftest-list.txt", "", list, false, false});
  auto files = collector.finish(limit_mib);
  if (!files) return tl::make_unexpected(files.error());
  return SelftestImage{std::move(*files), std::move(tests)};
}

}  // namespace mmquake
