// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/shrink/c_program.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <kainjow/mustache.hpp>
#include <set>
#include <string_view>

#include "host/console/signature.h"
#include "host/shrink/c_fragments.h"

namespace mmquake {
namespace {

using Data = kainjow::mustache::data;

// How an ingredient's fragment, which is called as the ingredient is, fits in.
struct Piece {
  std::string_view word;
  std::string_view act;  // its function
  bool in_child = false;
  bool needs_parent = false;  // works on process 0 from another
  bool copies = false;        // reads cells by a copy
  std::string_view set_up{};  // to be called before the fork
};

constexpr auto kPieces = std::to_array<Piece>({
    {.word = "move_pages", .act = "move_pages"},
    {.word = "move_pages-other", .act = "move_pages_other", .in_child = true, .needs_parent = true},
    {.word = "mbind", .act = "mbind"},
    {.word = "migrate_pages", .act = "migrate_pages", .in_child = true, .needs_parent = true},
    {.word = "compaction", .act = "compaction"},
    {.word = "split-debugfs", .act = "split_debugfs"},
    {.word = "split-dontneed", .act = "split_dontneed"},
    {.word = "dontneed", .act = "dontneed"},
    {.word = "punch-hole", .act = "punch_hole"},
    {.word = "free", .act = "free_block"},
    {.word = "fork-cow", .act = "fork_cow"},
    {.word = "mprotect", .act = "protect"},
    {.word = "mprotect-page", .act = "protect_page"},
    {.word = "mlock", .act = "lock_and_unlock"},
    {.word = "pageout", .act = "pageout"},
    {.word = "cold", .act = "cold"},
    {.word = "collapse", .act = "collapse"},
    {.word = "smaps", .act = "read_smaps", .in_child = true, .needs_parent = true},
    {.word = "numa_maps", .act = "read_numa_maps", .in_child = true, .needs_parent = true},
    {.word = "pagemap", .act = "read_pagemap", .in_child = true, .needs_parent = true},
    {.word = "vm-readv", .act = "vm_readv", .in_child = true, .needs_parent = true, .copies = true},
    {.word = "proc-mem", .act = "read_mem", .in_child = true, .needs_parent = true, .copies = true},
    {.word = "io_uring", .act = "io_uring", .copies = true, .set_up = "set_up_io_uring"},
});

constexpr auto kBackings =
    std::to_array<std::string_view>({"anon-4k", "anon-thp", "anon-thp-pte", "shmem-4k", "shmem-thp",
                                     "hugetlb-2m", "hugetlb-shared-pmd"});

constexpr std::size_t kLineLength = 90;

const Piece* piece_of(std::string_view word) {
  const auto found = std::find_if(kPieces.begin(), kPieces.end(),
                                  [&](const Piece& one) { return one.word == word; });
  return found == kPieces.end() ? nullptr : &*found;
}

bool is_missing(Slot slot, std::string_view word) {
  return slot == Slot::kBacking
             ? std::find(kBackings.begin(), kBackings.end(), word) == kBackings.end()
             : piece_of(word) == nullptr;
}

std::string_view fragment(std::string_view name) {
  const auto found = std::find_if(kCFragments.begin(), kCFragments.end(),
                                  [&](const auto& one) { return one.first == name; });
  return found == kCFragments.end() ? std::string_view() : found->second;
}

// What a guest said must not leave its comment.
std::string comment_text(std::string_view text) {
  std::string out;
  for (const char c : text) out += c < ' ' || c > '~' || c == '\\' ? '?' : c;
  return out;
}

// Breaks the line before words that begin with `mark`, since a compiler does not mind and a mail
// does.
std::string comment(std::string_view text, std::string_view indent, std::string_view mark) {
  const std::string clean = comment_text(text);
  std::string out;
  std::string line;
  for (std::size_t at = 0; at < clean.size();) {
    const std::size_t next = std::min(clean.find(mark, at + 1), clean.size());
    const std::string part = clean.substr(at, next - at);
    if (!line.empty() && indent.size() + line.size() + part.size() > kLineLength) {
      out += fmt::format("// {}{}\n", indent, line);
      line = std::string(indent.empty() ? "" : "  ") + part.substr(part.find_first_not_of(' '));
    } else {
      line += part;
    }
    at = next;
  }
  return out + fmt::format("// {}{}\n", indent, line);
}

std::string head(const Composition& composition, const CProgramOrigin& origin) {
  std::string out = "// SPDX-License-Identifier: GPL-2.0-or-later\n//\n";
  out += comment(origin.title, "", " ");
  out +=
      comment(fmt::format("on Linux {}, in a VM with {}.", origin.kernel, origin.machine), "", " ");
  out += "//\n";
  const auto row = [&](std::string_view name, std::string_view what) {
    out += comment(fmt::format("{:<11} {}", fmt::format("{}:", name), what), "  ", " ");
  };
  out += "// What races:\n";
  for (const Slot slot : kAllSlots) {
    const Ingredient* one = find_ingredient(slot, composition[slot]);
    if (one != nullptr) row(slot == Slot::kBacking ? "memory" : to_string(slot), one->summary);
  }
  row("writers", "count up cells of their own, and look at all");
  out += "//\n";
  out += comment(
      fmt::format(
          "Run it as root on a machine with {} nodes. It goes on until it sees that something is "
          "wrong, says what, and ends with 1{}. MMQUAKE_SEED decides its random numbers.",
          origin.nodes, origin.in_log ? "; this bug is in the kernel's log" : ""),
      "", " ");
  out += "//\n//   cc -O2 -static -pthread -o race race.c && ./race\n//\n";
  out += comment("Made by mmquake, which had found the bug with these parts:", "", " ");
  out += "//\n" + comment(origin.command, "  ", " --");
  return out;
}

Data flags(const Composition& composition, const CProgramOrigin& origin) {
  const Traits is = composition.traits();
  const std::string& backing = composition[Slot::kBacking];
  const bool empties = (composition.effects() & (kEmptiesAnon | kEmptiesShared | kMayEmpty)) != 0;
  bool copies = false;
  bool parent = false;
  Data parent_roles = Data::type::list;
  Data child_roles = Data::type::list;
  Data set_up = Data::type::list;
  Data out = Data::type::object;
  for (const Slot slot : kAllSlots) {
    const Piece* piece = piece_of(composition[slot]);
    if (slot == Slot::kBacking || piece == nullptr) continue;
    copies = copies || piece->copies;
    parent = parent || piece->needs_parent;
    if (!piece->set_up.empty()) set_up << Data("call", std::string(piece->set_up));
    if (slot == Slot::kWatcher) {
      out.set("watcher", std::string(piece->act));
      continue;
    }
    Data role = Data::type::object;
    role.set("role", std::string(to_string(slot)));
    role.set("act", std::string(piece->act));
    (piece->in_child ? child_roles : parent_roles) << role;
  }
  const bool shared = (is & kShared) != 0;
  const bool hugetlb = (is & kHugetlb) != 0;
  const bool thp = (is & kThp) != 0;
  const bool pmds = backing == "hugetlb-shared-pmd";
  const auto set = [&](const char* name, bool on) { out.set(name, Data(on)); };
  set("anon", !shared);
  set("shared", shared);
  set("shmem", shared && !hugetlb);
  set("hugetlb", hugetlb);
  set("shared_pmd", pmds);
  set("thp", thp);
  set("small", (is & kSmall) != 0);
  set("pte", backing == "anon-thp-pte");
  set("settings", hugetlb || (shared && thp));
  set("empties", empties);
  set("copies", copies);
  set("drops", composition.disturbed_by("split-dontneed") && composition.has(Slot::kWatcher));
  set("parent", parent);
  set("two_processes", shared || parent);
  out.set("apart", std::string(pmds ? "(2 * HUGE)" : "HUGE"));
  out.set("backing", backing);
  out.set("nodes", std::to_string(origin.nodes));
  out.set("writers", std::string(shared ? "3" : "2"));
  out.set("parent_roles", parent_roles);
  out.set("child_roles", child_roles);
  out.set("set_up", set_up);
  return out;
}

// A line that is a tag and nothing else leaves no empty line behind.
std::string without_tag_lines(std::string_view source) {
  constexpr std::string_view kEnd = "}*/\n";
  std::string out;
  while (!source.empty()) {
    const std::string_view line =
        source.substr(0, std::min(source.find('\n'), source.size() - 1) + 1);
    source.remove_prefix(line.size());
    const std::size_t end = line.find(kEnd);
    const bool is_tag = line.starts_with("/*{") && end + kEnd.size() == line.size();
    out += is_tag ? line.substr(0, line.size() - 1) : line;
  }
  return out;
}

// The tags are comments, so that a fragment is C for an editor.
std::string render(std::string_view source, const Data& data) {
  kainjow::mustache::mustache templ{"{{=/*{ }*/=}}" + without_tag_lines(source)};
  templ.set_custom_escape([](const std::string& text) { return text; });
  return templ.render(data);
}

// The includes of all fragments go to the top, each once.
std::string with_includes_on_top(std::string_view text) {
  constexpr std::string_view kInclude = "#include ";
  std::set<std::string> includes;
  std::string rest;
  bool blank = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    const std::string line(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
    if (line.starts_with(kInclude)) {
      includes.insert(line);
    } else if (line != "\n" || !blank) {
      rest += line;
      blank = line == "\n";
    }
  }
  return fmt::format("#define _GNU_SOURCE\n{}\n{}", fmt::join(includes, ""), rest);
}

}  // namespace

std::vector<std::string> missing_in_c(const Composition& composition) {
  std::vector<std::string> out;
  for (const Slot slot : kAllSlots) {
    if (composition.has(slot) && is_missing(slot, composition[slot])) {
      out.push_back(composition[slot]);
    }
  }
  return out;
}

std::vector<std::string> all_missing_in_c() {
  std::vector<std::string> out;
  for (const Slot slot : kAllSlots) {
    if (slot == Slot::kDisturber2) continue;  // the same list
    for (const Ingredient& one : ingredients(slot)) {
      if (is_missing(slot, one.name)) out.emplace_back(one.name);
    }
  }
  return out;
}

Result<std::string> c_program(const Composition& composition, const CProgramOrigin& origin) {
  if (const auto wrong = objection(composition)) return usage(*wrong);
  if (const auto missing = missing_in_c(composition); !missing.empty()) {
    return skipped(fmt::format("no C file: it cannot say {} yet", fmt::join(missing, ", ")));
  }
  std::string source = fmt::format("{}\n{}", fragment("base"), fragment("area"));
  for (const Slot slot : kAllSlots) {
    if (slot != Slot::kBacking && composition.has(slot)) {
      source += fmt::format("\n{}", fragment(composition[slot]));
    }
  }
  source += fmt::format("\n{}", fragment("main"));
  return head(composition, origin) +
         with_includes_on_top(render(source, flags(composition, origin)));
}

bool is_same_bug(const Finding& of_c_file, const std::string& signature) {
  if (of_c_file.signature == signature) return true;
  const auto output = of_c_file.evidence.find("output");
  if (of_c_file.kind != "failure" || output == of_c_file.evidence.end()) return false;
  constexpr std::string_view kMark = "FOUND ";
  std::string_view text = output->second;
  const std::size_t at = text.starts_with(kMark) ? 0 : text.find("\nFOUND ") + 1;
  if (!text.substr(at).starts_with(kMark)) return false;
  text.remove_prefix(at + kMark.size());
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::size_t colon = line.find(": ");
  return colon != std::string_view::npos &&
         signature_of(line.substr(0, colon), line.substr(colon + 2), "") == signature;
}

}  // namespace mmquake
