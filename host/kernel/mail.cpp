// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/mail.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <regex>
#include <sstream>

#include "host/kernel/files.h"
#include "host/kernel/patching.h"
#include "host/kernel/source.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

struct Mail {
  int number = 0;  // of "[PATCH 2/3]"; 0: none
  fs::path patch;
};

// A diff may begin with any text, but not with who sent it.
bool is_mail(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && !line.empty() && line != "\r";) {
    if (line.starts_with("From ") || line.starts_with("From: ")) return true;
  }
  return false;
}

int number_in(const std::string& info) {
  static const std::regex pattern(
      "\nSubject: [^\n]{0,400}?\\[[^\\]\n]{0,100}?\\b([0-9]{1,4})/[0-9]");
  std::smatch found;
  return std::regex_search(info, found, pattern) ? std::stoi(found[1]) : 0;
}

Command with_input(const fs::path& folder, const std::vector<std::string>& words,
                   const fs::path& input) {
  Command command = git_command(folder, words);
  command.argv.insert(command.argv.begin(), {"sh", "-c", "exec \"$@\" < \"$0\"", input.string()});
  return command;
}

// nullopt: a cover letter, or an answer.
Result<std::optional<Mail>> read_mail(const fs::path& mail, const fs::path& folder,
                                      Reporter& reporter) {
  Mail out;
  out.patch = folder / (mail.filename().string() + ".patch");
  auto info = reporter.output_of(
      "git mailinfo",
      with_input(folder, {"mailinfo", "-k", mail.string() + ".text", out.patch.string()}, mail));
  if (!info) return tl::make_unexpected(info.error());
  auto text = read_text(out.patch);
  if (!text) return tl::make_unexpected(text.error());
  if (text->empty()) return std::optional<Mail>();
  out.number = number_in("\n" + *info);
  return std::optional<Mail>(std::move(out));
}

Result<std::vector<fs::path>> from_mails(const fs::path& file, const fs::path& folder,
                                         Reporter& reporter) {
  const fs::path mails = folder / "mails";
  if (auto made = make_folder(mails); !made) return tl::make_unexpected(made.error());
  auto split = reporter.output_of(
      "git mailsplit", git_command(folder, {"mailsplit", "-b", "-d6", "-o" + mails.string(),
                                            fs::absolute(file).string()}));
  if (!split) return context(file.string(), split.error());
  std::vector<fs::path> names;
  std::error_code error;
  for (fs::directory_iterator at(mails, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path());
  }
  if (error) return broken(fmt::format("read '{}': {}", mails.string(), error.message()));
  std::sort(names.begin(), names.end());
  std::vector<Mail> found;
  for (const fs::path& name : names) {
    auto mail = read_mail(name, folder, reporter);
    if (!mail) return context(file.string(), mail.error());
    if (*mail) found.push_back(std::move(**mail));
  }
  const bool is_series =
      std::all_of(found.begin(), found.end(), [](const Mail& mail) { return mail.number > 0; });
  if (is_series) {
    std::stable_sort(found.begin(), found.end(),
                     [](const Mail& a, const Mail& b) { return a.number < b.number; });
  }
  std::vector<fs::path> out;
  out.reserve(found.size());
  for (const Mail& mail : found) out.push_back(mail.patch);
  return out;
}

}  // namespace

Result<std::vector<fs::path>> patches_in(const fs::path& file, const fs::path& folder,
                                         Reporter& reporter) {
  auto text = read_text(file);
  if (!text) return tl::make_unexpected(text.error());
  std::vector<fs::path> out;
  if (is_mail(*text)) {
    auto patches = from_mails(file, folder, reporter);
    if (!patches) return patches;
    out = std::move(*patches);
  } else {
    out.push_back(folder / "000001.patch");
    if (auto written = write_text(out.front(), *text); !written) {
      return tl::make_unexpected(written.error());
    }
  }
  if (out.empty()) return usage(fmt::format("{}: there is no patch in these mails", file.string()));
  for (const fs::path& patch : out) {
    auto one = read_text(patch);
    if (!one) return tl::make_unexpected(one.error());
    auto files = files_of({file, std::move(*one)});
    if (!files) return tl::make_unexpected(files.error());
  }
  return out;
}

}  // namespace mmquake::kernel
