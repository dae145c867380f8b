// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// What base.config builds in, as far as a guest can do without it.
const std::vector<std::string>& modules_of_guests() {
  static const std::vector<std::string> names = {
      "virtio_pci",  "virtio_console",  // the record channel
      "pvpanic_pci",                    // says at once that the kernel has panicked
      "brd",                            // a disk of memory to swap on
      "kvm_amd",     "kvm_intel",       // a VM in the guest as a device that mirrors page tables
      "test_hmm",                       // HMM's test device
      "dax_hmem",    "kmem",            // reserved memory as a slower node
  };
  return names;
}

// An ordinary user's PATH has no sbin.
std::string depmod_program() {
  std::error_code error;
  for (const char* path : {"/usr/sbin/depmod", "/sbin/depmod"}) {
    if (fs::exists(path, error)) return path;
  }
  return "depmod";
}

// In /lib or, in newer packages, in /usr/lib, where depmod does not look.
fs::path root_of_modules(const fs::path& files, const std::string& release) {
  std::error_code error;
  for (const fs::path& root : {files, files / "usr"}) {
    if (fs::is_directory(root / "lib/modules" / release, error)) return root;
  }
  return {};
}

}  // namespace

std::string module_name(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  name.resize(std::min(name.find('.'), name.size()));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<std::string> load_order(std::string_view modules_dep,
                                    const std::vector<std::string>& wanted) {
  std::map<std::string, std::vector<std::string>> depends;  // by file
  std::map<std::string, std::string> files;                 // by name
  std::istringstream lines{std::string(modules_dep)};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string file = line.substr(0, colon);
    std::istringstream words(line.substr(colon + 1));
    for (std::string word; words >> word;) depends[file].push_back(word);
    files[module_name(file)] = file;
  }
  std::vector<std::string> out;
  std::set<std::string> seen;
  const std::function<void(const std::string&)> take = [&](const std::string& file) {
    if (!seen.insert(file).second) return;
    for (const std::string& before : depends[file]) take(before);
    out.push_back(file);
  };
  for (const std::string& name : wanted) {
    if (const auto found = files.find(name); found != files.end()) take(found->second);
  }
  return out;
}

Result<> take_modules(const fs::path& files, const std::string& release, const fs::path& to,
                      Reporter& reporter) {
  const fs::path root = root_of_modules(files, release);
  if (root.empty()) return {};  // all built in
  const fs::path modules = root / "lib/modules" / release;
  reporter.stage("ask depmod for the modules' dependencies", release);
  Command depmod;
  depmod.argv = {depmod_program(), "-b", root.string(), release};
  if (auto done = reporter.output_of("depmod", depmod); !done) {
    return context("find the modules' dependencies", done.error());
  }
  const auto text = read_text(modules / "modules.dep");
  if (!text) return tl::make_unexpected(text.error());
  int number = 0;
  for (const std::string& file : load_order(*text, modules_of_guests())) {
    const std::string name = fmt::format("{:02}-{}", number++, fs::path(file).filename().string());
    if (auto moved = move_to(modules / file, to / name); !moved) return moved;
  }
  return {};
}

}  // namespace mmquake::kernel
