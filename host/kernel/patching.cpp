// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/patching.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <typename Line>
void for_each_line(std::string_view text, Line line) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The count of lines after a comma in "-12,3"; 1 when there is none.
int count_in(std::string_view range) {
  const std::size_t comma = range.find(',');
  int count = 1;
  if (comma != std::string_view::npos) {
    std::from_chars(range.data() + comma + 1, range.data() + range.size(), count);
  }
  return count;
}

// Walks through the lines of a patch and knows which belong to a hunk: a removed line "-- a/b"
// looks like the header "--- a/b".
class PatchReader {
 public:
  void line(std::string_view text);
  std::set<std::string> files;
  int hunks = 0;
  std::string bad;  // a name that reaches out of the tree

 private:
  void add(std::string_view name, bool has_folder);
  void hunk(std::string_view header);
  int old_left_ = 0;
  int new_left_ = 0;
};

void PatchReader::hunk(std::string_view header) {
  // "-12,3 +12,4 @@ ..."
  const std::size_t plus = header.find(" +");
  if (plus == std::string_view::npos) return;
  const std::size_t end = std::min(header.find(' ', plus + 1), header.size());
  old_left_ = count_in(header.substr(0, plus));
  new_left_ = count_in(header.substr(plus + 1, end - plus - 1));
  ++hunks;
}

void PatchReader::add(std::string_view name, bool has_folder) {
  // diff puts a tab and the time after the name.
  name = name.substr(0, name.find('\t'));
  while (name.ends_with('\r') || name.ends_with(' ')) name.remove_suffix(1);
  if (name == "/dev/null") return;
  if (has_folder) {
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos || slash == 0) {
      bad = name;
      return;
    }
    name.remove_prefix(slash + 1);
  }
  const fs::path path = fs::path(name).lexically_normal();
  if (path.empty() || path.is_absolute() || *path.begin() == "..") {
    bad = name;
    return;
  }
  files.insert(path.string());
}

void PatchReader::line(std::string_view text) {
  if (old_left_ > 0 || new_left_ > 0) {
    if (text.starts_with('\\')) return;  // "\ No newline at end of file"
    if (!text.starts_with('+')) --old_left_;
    if (!text.starts_with('-')) --new_left_;
    return;
  }
  if (take_prefix(text, "@@ ")) {
    hunk(text);
  } else if (take_prefix(text, "--- ") || take_prefix(text, "+++ ")) {
    add(text, true);
  } else if (take_prefix(text, "rename from ") || take_prefix(text, "rename to ") ||
             take_prefix(text, "copy from ") || take_prefix(text, "copy to ")) {
    add(text, false);
  }
}

}  // namespace

Result<std::vector<std::string>> files_of(const Patch& patch) {
  PatchReader reader;
  for_each_line(patch.text, [&](std::string_view line) { reader.line(line); });
  if (!reader.bad.empty()) {
    return usage(
        fmt::format("patch {}: '{}' is no file of the kernel; names need one leading "
                    "folder, as git's a/mm/rmap.c",
                    patch.file.string(), reader.bad));
  }
  if (reader.files.empty()) {
    return usage(
        fmt::format("patch {}: no changes in it; it must be a unified diff", patch.file.string()));
  }
  return std::vector<std::string>(reader.files.begin(), reader.files.end());
}

std::string explain_failure(std::string_view output) {
  std::string file;
  std::vector<std::string> parts;
  for_each_line(output, [&](std::string_view line) {
    if (take_prefix(line, "patching file ") || take_prefix(line, "checking file ")) {
      // "patching file x (renamed from y)"
      file = line.substr(0, line.find(" ("));
    } else if (take_prefix(line, "Hunk #")) {
      const std::size_t failed = line.find(" FAILED at ");
      if (failed == std::string_view::npos) return;
      std::string_view at = line.substr(failed + 11);
      at = at.substr(0, at.find_first_not_of("0123456789"));
      parts.push_back(
          fmt::format("hunk {} (line {}) of {} does not apply", line.substr(0, failed), at, file));
    } else if (take_prefix(line, "can't find file to patch at input ")) {
      // "line 5" of the patch
      parts.push_back(fmt::format("no file for the change at {}",
                                  line.substr(0, line.find_last_of("0123456789") + 1)));
    } else if (line.starts_with("patch: **** ") ||
               line.find("which already exists") != std::string_view::npos ||
               line.find("which does not exist") != std::string_view::npos) {
      parts.emplace_back(line);
    }
  });
  if (parts.empty()) return last_line(output);
  constexpr std::size_t kMost = 8;
  const std::size_t shown = std::min(parts.size(), kMost);
  std::string text = fmt::format("{}", fmt::join(parts.begin(), parts.begin() + shown, "; "));
  if (parts.size() > shown) text += fmt::format("; and {} more", parts.size() - shown);
  return text;
}

Result<> apply(const Patch& patch, const fs::path& folder, Reporter& reporter) {
  auto files = files_of(patch);
  if (!files) return tl::make_unexpected(files.error());
  std::vector<std::string> missing;
  std::error_code error;
  for (const std::string& file : *files) {
    if (!fs::exists(folder / file, error)) missing.push_back(file);
  }
  // The text that was hashed into the key, and not what the file holds by now.
  const fs::path copy = folder.string() + ".patch";
  if (auto written = write_text(copy, patch.text); !written) return written;
  Command command;
  command.argv = {"patch", "-p1", "--force",
                  // A bug put back at almost the right place is another bug.
                  "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-", "-i", copy.string(),
                  "-d", folder.string()};
  auto done = reporter.run(command);
  fs::remove(copy, error);
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return {};
  std::string why = explain_failure(done->output_tail);
  if (done->output_tail.find("can't find file to patch") != std::string::npos) {
    why += fmt::format("; the source has no {}", fmt::join(missing, ", "));
  }
  std::string what = fmt::format("patch {}: {}", patch.file.string(), why);
  // 2 is trouble of patch(1) itself, or a patch that is damaged.
  return done->exit_code == 1 ? skipped(std::move(what)) : broken(std::move(what));
}

}  // namespace mmquake::kernel
