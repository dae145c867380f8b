// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/signature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

#include "host/console/blame.h"
#include "host/console/printk_line.h"
#include "host/console/titles.h"

namespace mmquake {
namespace {

constexpr std::size_t kMaxSignature = 512;
// Of a stack no more is looked at: the place is on its top.
constexpr std::size_t kMaxFrames = 64;

// Called from everywhere, and right about what they complain of: it is the caller who is wrong. One
// '*' stands for anything. Not here: what complains of a page that somebody else has spoilt (a
// reference count of 0, a flag): its callers are innocent, and would split one bug.
constexpr auto kHelpers = std::to_array<std::string_view>({
    // locks and references of pages
    "folio_unlock",
    "unlock_page",
    "folio_end_writeback",
    "end_page_writeback",
    "folio_end_read",
    "folio_put",
    "__folio_put",
    "put_page",
    "__put_page",
    "folio_ref_*",
    "page_ref_*",
    "__page_ref_*",
    "folio_mark_accessed",
    "folio_mark_dirty",
    "folio_mapping",
    "page_mapping",
    "folio_add_lru*",
    // counters
    "page_counter_*",
    "percpu_counter_*",
    "percpu_ref_*",
    "__mod_*",
    "mod_*_page_state",
    "mod_zone_*",
    "mod_node_*",
    "__dec_*",
    "__inc_*",
    "add_mm_counter*",
    "__lruvec_stat_mod_folio",
    // trees, lists and maps
    "rb_erase",
    "rb_insert_color",
    "__rb_*",
    "rb_next",
    "rb_prev",
    "xa_*",
    "__xa_*",
    "xas_*",
    "mas_*",
    "mt_*",
    "mtree_*",
    "idr_*",
    "ida_*",
    "radix_tree_*",
    "__radix_tree_*",
    "vma_interval_tree_*",
    "__anon_vma_interval_tree_*",
    "anon_vma_interval_tree_*",
    "find_vma*",
    "llist_*",
    "list_lru_*",
    "__list_*",
    "hlist_*",
    "_find_next_*",
    "_find_first_*",
    // allocators: who gives back what is not his, or asks for too much
    "kfree*",
    "kvfree*",
    "vfree*",
    "__vunmap",
    "kmem_cache_*",
    "__kmem_cache_*",
    "___cache_free",
    "__kmalloc*",
    "kmalloc*",
    "__slab_*",
    "___slab_alloc",
    "slab_*",
    "free_unref_*",
    "free_pages*",
    "__free_pages*",
    "__free_frozen_pages",
    "free_pcp*",
    "__alloc_pages*",
    "__alloc_frozen_pages*",
    "alloc_pages*",
    "get_page_from_freelist",
    "rmqueue*",
    "mempool_*",
    // contents
    "clear_huge_page",
    "clear_highpage*",
    "copy_highpage",
    "copy_user_*",
    "kmap_*",
    "kunmap_*",
    "__kmap_*",
    "copyin",
    "copyout",
    "_copy_to_iter",
    "_copy_from_iter",
    // memory of others, TLBs
    "mmdrop",
    "__mmdrop",
    "mmput*",
    "__mmput",
    "mmget*",
    "flush_tlb_*",
    "native_flush_tlb_*",
    // RCU and work
    "call_rcu*",
    "__call_rcu*",
    "queue_work_on",
    "__queue_work",
    "debug_check_no_obj_freed",
});

// Where the kernel calls whatever it was given: no caller to speak of.
constexpr auto kBottoms = std::to_array<std::string_view>({
    "process_one_work",
    "process_scheduled_works",
    "worker_thread",
    "rcu_do_batch",
    "rcu_core",
    "__do_softirq",
    "handle_softirqs",
    "task_work_run",
});

// "mod_*_page_state": what is before and behind one star.
bool fits(std::string_view name, std::string_view pattern) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return name == pattern;
  const std::string_view head = pattern.substr(0, star);
  const std::string_view tail = pattern.substr(star + 1);
  return name.size() >= head.size() + tail.size() && name.starts_with(head) && name.ends_with(tail);
}

bool is_helper(std::string_view name) {
  return std::any_of(kHelpers.begin(), kHelpers.end(),
                     [&](std::string_view pattern) { return fits(name, pattern); });
}

std::string_view until(std::string_view text, std::string_view mark) {
  return text.substr(0, text.find(mark));
}

std::string_view behind(std::string_view text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  return at == std::string_view::npos ? std::string_view{} : text.substr(at + mark.size());
}

struct Frame {
  std::string_view function;  // without compiler suffix
  bool header = false;        // it is written in a header
  bool inlined = false;       // it belongs to the frame that follows
};

// "(mm/rmap.c:1200)" behind a function; empty in a raw log.
bool is_in_header(std::string_view behind_name) {
  const std::string_view place = until(behind(behind_name, "("), ")");
  return until(place, ":").ends_with(".h");
}

// "    zap_pte_range (mm/memory.c:1420) [inline]", as Symbolizer writes it.
std::optional<Frame> inlined_frame(std::string_view line) {
  if (!line.ends_with(") [inline]")) return std::nullopt;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view name = until(line, " ");
  return Frame{base_name(name), is_in_header(line.substr(name.size())), true};
}

// A line of a call trace, a RIP, or the head of a report ("WARNING: ... f+0x1/0x2").
std::optional<Frame> frame_of(std::string_view text) {
  const auto traced = stack_frame(text);
  if (traced ? !traced->reliable
             : kernel_rip(text).empty() && !text.starts_with("WARNING: ") &&
                   !text.starts_with("BUG: ")) {
    return std::nullopt;
  }
  const auto ref = find_function(text);
  if (!ref) return std::nullopt;
  return Frame{base_name(ref->name), is_in_header(text.substr(ref->end)), false};
}

// What is below these in a trace belongs to another one.
bool ends_trace(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  constexpr auto kEnds = std::to_array<std::string_view>(
      {"</TASK>", "</IRQ>", "</NMI>", "RIP: 0033", "---[ ", "task:", "NMI backtrace",
       "CPU: ", "Allocated by", "Freed by", "Call Trace", "-> #"});
  return std::any_of(kEnds.begin(), kEnds.end(),
                     [&](std::string_view end) { return text.starts_with(end); });
}

// From the innermost outwards: what is inlined in `function` where it comes first in the log,
// itself, and its callers.
std::vector<Frame> stack_from(std::string_view function, std::string_view log) {
  std::vector<Frame> stack;
  bool found = false;
  bool in_trace = false;  // a head or a RIP comes before the trace that leads to it
  while (!log.empty() && stack.size() < kMaxFrames) {
    const std::string_view line = until(log, "\n");
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    if (const auto inlined = inlined_frame(line)) {
      stack.push_back(*inlined);
      continue;
    }
    const std::string_view text = parse_printk_line(line).text;
    if (in_trace && ends_trace(text)) break;
    const auto frame = frame_of(text);
    found = found || (frame && frame->function == function);
    if (found && frame) {
      stack.push_back(*frame);
      in_trace = in_trace || stack_frame(text).has_value();
    } else if (!found) {
      stack.clear();
    }
  }
  return stack;
}

bool names_a_place(const Frame& frame) {
  return !frame.header && !frame.function.empty() && may_be_blamed(Blame::kTask, frame.function);
}

// "folio_unlock < shmem_get_folio_gfp": the function that is to blame, and who called it if that
// says more. Empty if the log does not hold `function`.
std::string place_of(std::string_view function, std::string_view log) {
  const std::vector<Frame> stack = stack_from(function, log);
  const auto place = std::find_if(stack.begin(), stack.end(), names_a_place);
  if (place == stack.end()) return "";
  if (!is_helper(place->function)) return std::string(place->function);
  const auto caller = std::find_if(place, stack.end(), [](const Frame& frame) {
    return names_a_place(frame) && !is_helper(frame.function);
  });
  const bool bottom = caller == stack.end() || std::find(kBottoms.begin(), kBottoms.end(),
                                                         caller->function) != kBottoms.end();
  if (bottom) return std::string(place->function);
  return fmt::format("{} < {}", place->function, caller->function);
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

struct Title {
  std::string_view words;     // "WARNING"
  std::string_view function;  // of "WARNING in f"; empty in every other form
};

Title split(std::string_view title) {
  const std::size_t in = title.rfind(" in ");
  if (in == std::string_view::npos || !is_name(title.substr(in + 4))) return {title, {}};
  return {title.substr(0, in), title.substr(in + 4)};
}

// "-> #1 (&vma_lock->rw_sema){++++}-{3:3}:": the classes of a circle of locks, in no order.
std::string circle(std::string_view log) {
  std::set<std::string> classes;
  while (!log.empty()) {
    const std::string_view line = until(log, "\n");
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    const std::string_view link = parse_printk_line(line).text;
    if (!link.starts_with("-> #")) continue;
    std::string_view name = behind(link, " (");
    name = name.substr(0, name.rfind("){"));
    // "&type->s_umount_key#30/1": the number is the order in which classes were registered.
    name = until(name, "#");
    if (!name.empty() && classes.size() < 8) classes.insert(stable_words(name));
  }
  return fmt::format("{}", fmt::join(classes, ", "));
}

bool found_by_allocation(std::string_view log) {
  for (const std::string_view name : {" check_new_page", " prep_new_page", " rmqueue",
                                      " get_page_from_freelist", " __alloc_pages"}) {
    if (log.find(name) != std::string_view::npos) return true;
  }
  return false;
}

bool is_bad_access(std::string_view words) {
  return words == "BUG: unable to handle kernel NULL pointer dereference" ||
         words == "BUG: unable to handle kernel paging request" ||
         words == "general protection fault";
}

// Titles to which a rule of their own applies; else empty.
std::string special(std::string_view title, std::string_view log) {
  if (title.starts_with("BUG: Bad rss-counter state")) {
    const std::string_view type = until(behind(log, "type:"), " ");
    return type.empty() ? "" : fmt::format("{} of {}", title, stable_words(until(type, "\n")));
  }
  if (title.starts_with("BUG: Bad page state") && found_by_allocation(log)) {
    const std::string_view why = until(behind(log, "page dumped because: "), "\n");
    return fmt::format("BUG: Bad page state seen by an allocation: {}", stable_words(why));
  }
  if (title.starts_with("possible deadlock")) {
    const std::string locks = circle(log);
    return locks.empty() ? "" : "possible deadlock of " + locks;
  }
  return "";
}

std::string identity(std::string_view kind, std::string_view title, std::string_view log) {
  if (std::string found = special(title, log); !found.empty()) return found;
  Title parts = split(title);
  if (kind == "oops" && is_bad_access(parts.words)) parts.words = "bad access";
  if (parts.function.empty()) return std::string(parts.words);
  const std::string place = place_of(parts.function, log);
  return fmt::format("{} in {}", parts.words,
                     place.empty() ? parts.function : std::string_view(place));
}

}  // namespace

std::string signature_of(std::string_view kind, std::string_view title, std::string_view log) {
  // Titles of an oracle come from the guest as they are.
  std::string out =
      fmt::format("{}: {}", stable_words(kind), identity(kind, stable_words(title), log));
  if (out.size() > kMaxSignature) out.resize(kMaxSignature);
  return out;
}

}  // namespace mmquake
