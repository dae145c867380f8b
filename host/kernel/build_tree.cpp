// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/build_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "host/kernel/files.h"
#include "host/kernel/kbuild.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// A kernel source, copied.
constexpr std::uint64_t kSourceMib = 1700;
constexpr std::int64_t kSecond = 1'000'000'000;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error));
}

// "identity path\0" for each file.
std::string manifest_text(const Manifest& manifest) {
  std::string text;
  for (const auto& [path, identity] : manifest) {
    text += identity;
    text += '\t';
    text += path;
    text += '\0';
  }
  return text;
}

Manifest parse_manifest(std::string_view text) {
  Manifest manifest;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    const std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t tab = entry.find('\t');
    if (tab == std::string_view::npos) continue;
    manifest[std::string(entry.substr(tab + 1))] = entry.substr(0, tab);
  }
  return manifest;
}

// ns of CLOCK_REALTIME; 0 when there is no such file.
std::int64_t written_at(const fs::path& file) {
  struct stat info {};
  if (lstat(file.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec;
}

// Makes `to` what `wanted` is (or absent, as `wanted` is), by way of `scratch`.
Result<> put(const fs::path& wanted, const fs::path& to, const fs::path& scratch) {
  if (same_file(wanted, to)) return {};
  if (!is_there(wanted)) return remove_path(to);
  if (auto gone = remove_path(scratch); !gone) return gone;
  if (auto copied = copy_to(wanted, scratch); !copied) return copied;
  return move_to(scratch, to);
}

}  // namespace

Result<BuildTree> BuildTree::open(const fs::path& cache, const Source& source, Reporter& reporter) {
  const fs::path folder = tree_folder(cache, source.tree());
  auto lock =
      TreeLock::wait(folder.string() + ".lock", "the build tree of " + source.title(), reporter);
  if (!lock) return tl::make_unexpected(lock.error());
  BuildTree tree(folder, std::move(*lock));
  if (auto ended = end_leftovers(folder, reporter); !ended) {
    return tl::make_unexpected(ended.error());
  }
  // What runs for the tree from now on can be told from everything else.
  reporter.mark(kTreeVariable, folder.string());
  tree.read_state();
  if (auto mended = tree.mend(reporter); !mended) return tl::make_unexpected(mended.error());
  return tree;
}

void BuildTree::read_state() {
  const auto text = read_text(folder_ / "state.json");
  if (!text) return;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return;
  identity_ = json.value("identity", "");
  building_since_ = json.value("building_since", std::int64_t{0});
  if (const auto touched = json.find("touched"); touched != json.end() && touched->is_array()) {
    for (const auto& path : *touched) {
      if (path.is_string()) touched_.insert(path.get<std::string>());
    }
  }
}

Result<> BuildTree::write_state() const {
  const nlohmann::json json = {
      {"identity", identity_}, {"touched", touched_}, {"building_since", building_since_}};
  return write_text(folder_ / "state.json",
                    json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

Result<> BuildTree::mend(Reporter& reporter) {
  if (building_since_ == 0) return {};
  reporter.stage("look for what a killed build left half-written");
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    if (!at->path().filename().string().starts_with("build-") || !is_folder(at->path())) continue;
    if (auto dropped = drop_half_written(at->path(), building_since_); !dropped) return dropped;
  }
  return build_ended();
}

Result<> BuildTree::build_begins() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  // A second to spare: the file system's clock lags behind.
  building_since_ = (now.tv_sec - 1) * kSecond + now.tv_nsec;
  return write_state();
}

Result<> BuildTree::build_ended() {
  building_since_ = 0;
  return write_state();
}

Result<> BuildTree::fill(Source& source, Reporter& reporter) {
  if (!is_folder(this->source())) return fetch_whole(source, reporter);
  if (identity_ == source.identity()) return {};
  if (source.manifest() == nullptr) {
    // Cannot come from here: such a tree is made once. Somebody tampered with it.
    if (auto gone = reporter.remove(this->source()); !gone) return gone;
    return fetch_whole(source, reporter);
  }
  return update(source, reporter);
}

Result<> BuildTree::fetch_whole(Source& source, Reporter& reporter) {
  const fs::path next = folder_ / "source.new";
  if (auto gone = reporter.remove(next); !gone) return gone;
  if (auto made = make_folder(next); !made) return made;
  std::vector<std::string> paths;
  if (source.manifest() != nullptr) {
    if (auto room = need_space(folder_, kSourceMib, "a copy of " + source.title()); !room) {
      return room;
    }
    for (const auto& [path, identity] : *source.manifest()) paths.push_back(path);
    reporter.stage("copy " + source.title());
  }
  if (auto fetched = source.fetch(paths, next, reporter); !fetched) return fetched;
  if (source.manifest() != nullptr) {
    const std::string text = manifest_text(*source.manifest());
    if (auto written = write_text(folder_ / "manifest", text); !written) return written;
  }
  identity_ = source.identity();
  touched_.clear();
  if (auto written = write_state(); !written) return written;
  return move_to(next, this->source());
}

fs::path BuildTree::base_of(const std::string& path) const {
  return folder_ / (touched_.contains(path) ? "originals" : "source") / path;
}

std::vector<std::string> BuildTree::present_files() const {
  std::vector<std::string> out;
  std::error_code error;
  fs::recursive_directory_iterator at(source(), error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (fs::is_directory(at->symlink_status(ignored))) continue;
    out.push_back(at->path().lexically_relative(source()).string());
  }
  return out;
}

Result<> BuildTree::install(const std::vector<std::string>& paths, const fs::path& from,
                            Reporter& reporter) {
  std::size_t done = 0;
  for (const std::string& path : paths) {
    if (++done % 256 == 0 && reporter.tick()) return interrupted_error();
    const fs::path to = base_of(path);
    if (same_file(from / path, to)) continue;
    // It was a folder in the revision before.
    if (is_folder(to)) {
      if (auto gone = remove_path(to); !gone) return gone;
    }
    if (auto moved = move_to(from / path, to); !moved) return moved;
  }
  return {};
}

Result<> BuildTree::update(Source& source, Reporter& reporter) {
  const Manifest& wanted = *source.manifest();
  Manifest have;
  if (!identity_.empty()) {
    if (const auto text = read_text(folder_ / "manifest")) have = parse_manifest(*text);
  }
  std::vector<std::string> changed;
  for (const auto& [path, identity] : wanted) {
    const auto old = have.find(path);
    if (old == have.end() || old->second != identity) changed.push_back(path);
  }
  std::vector<std::string> old_files;
  if (have.empty()) {
    old_files = present_files();
  } else {
    for (const auto& [path, identity] : have) old_files.push_back(path);
  }
  reporter.stage("copy " + source.title(), fmt::format("({} changed files)", changed.size()));
  const fs::path scratch = folder_ / "source.new";
  if (auto gone = reporter.remove(scratch); !gone) return gone;
  if (auto made = make_folder(scratch); !made) return made;
  if (auto fetched = source.fetch(changed, scratch, reporter); !fetched) return fetched;
  // From here on the tree is neither the old nor the new revision.
  identity_.clear();
  if (auto written = write_state(); !written) return written;
  for (const std::string& path : old_files) {
    if (wanted.contains(path)) continue;
    // A file that a patch made is the patches' affair; its original is not there then.
    if (touched_.contains(path) && !is_there(base_of(path))) continue;
    if (auto gone = remove_path(base_of(path)); !gone) return gone;
  }
  if (auto installed = install(changed, scratch, reporter); !installed) return installed;
  const std::string text = manifest_text(wanted);
  if (auto written = write_text(folder_ / "manifest", text); !written) return written;
  identity_ = source.identity();
  if (auto written = write_state(); !written) return written;
  return reporter.remove(scratch);
}

Result<> BuildTree::keep_originals(const std::set<std::string>& paths) {
  const fs::path scratch = folder_ / "original.new";
  std::set<std::string> more = touched_;
  for (const std::string& path : paths) {
    if (touched_.contains(path)) continue;
    if (auto kept = put(source() / path, folder_ / "originals" / path, scratch); !kept) return kept;
    more.insert(path);
  }
  // Only now may the tree's files differ from the originals.
  touched_ = more;
  return write_state();
}

Result<> BuildTree::set_patches(const std::vector<Patch>& patches, Reporter& reporter) {
  reporter.stage(patches.empty() ? "take patches off" : "apply patches");
  const fs::path patched = folder_ / "patched";
  if (auto gone = remove_path(patched); !gone) return gone;
  if (auto made = make_folder(patched); !made) return made;
  std::set<std::string> files;
  for (const Patch& patch : patches) {
    auto names = files_of(patch);
    if (!names) return tl::make_unexpected(names.error());
    files.insert(names->begin(), names->end());
  }
  for (const std::string& path : files) {
    if (!is_there(base_of(path))) continue;  // the patch makes it, or does not apply
    if (auto copied = copy_to(base_of(path), patched / path); !copied) return copied;
  }
  // In a folder of its own, so that a patch that fails has changed nothing.
  for (const Patch& patch : patches) {
    if (auto applied = apply(patch, patched, reporter); !applied) return applied;
  }
  if (auto kept = keep_originals(files); !kept) return kept;
  for (const std::string& path : touched_) {
    const fs::path wanted = (files.contains(path) ? patched : folder_ / "originals") / path;
    if (auto done = put(wanted, source() / path, folder_ / "file.new"); !done) return done;
  }
  const std::set<std::string> before = std::exchange(touched_, files);
  if (auto written = write_state(); !written) return written;
  for (const std::string& path : before) {
    if (files.contains(path)) continue;
    if (auto gone = remove_path(folder_ / "originals" / path); !gone) return gone;
  }
  return remove_path(patched);
}

std::string build_folder_name(const std::string& compiler) {
  return "build-" + hash_of(fmt::format("{} {}", kRecipe, compiler)).substr(0, 8);
}

Result<> drop_half_written(const fs::path& build, std::int64_t since) {
  std::vector<fs::path> suspects;
  std::error_code error;
  fs::recursive_directory_iterator at(build, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    // ".rmap.o.cmd" is written after "rmap.o".
    if (!name.starts_with('.') || !name.ends_with(".cmd") || name.size() < 6) continue;
    const fs::path target = at->path().parent_path() / name.substr(1, name.size() - 5);
    const std::int64_t written = written_at(target);
    if (written >= since && written > written_at(at->path())) suspects.push_back(target);
  }
  if (error) return broken(fmt::format("read '{}': {}", build.string(), error.message()));
  for (const fs::path& suspect : suspects) {
    if (auto gone = remove_path(suspect); !gone) return gone;
  }
  return {};
}

}  // namespace mmquake::kernel
