// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/titles.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/console/blame.h"
#include "host/console/printk_line.h"

namespace mmquake {
namespace {

using Shape = ReportShape;

constexpr std::size_t kMaxTitle = 160;

bool is_word_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// What differs from boot to boot gets a name: numbers and addresses. Hex without "0x" looks like
// either, so both become the same.
std::string_view stable_word(std::string_view word) {
  if (word.starts_with("0x") || word.starts_with("0X")) return "ADDR";
  if (word.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) return word;
  const bool digit = word.find_first_of("0123456789") != std::string_view::npos;
  return digit || word.size() >= 8 ? "NUM" : word;
}

// Cut between words: half of a word may look like a number.
std::string stable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = 0;
    while (length < text.size() && is_word_char(text[length])) ++length;
    const std::string_view word = stable_word(text.substr(0, length));
    if (out.size() + std::max<std::size_t>(word.size(), 1) > kMaxTitle) break;
    if (length > 0) {
      out += word;
    } else {
      out += text[0] >= 0x20 && text[0] < 0x7f ? text[0] : '?';
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  while (!out.empty() && std::string_view(" !:.").find(out.back()) != std::string_view::npos) {
    out.pop_back();
  }
  return out;
}

std::string_view until(std::string_view text, std::string_view mark) {
  return text.substr(0, text.find(mark));
}

std::string_view behind(std::string_view text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  return at == std::string_view::npos ? std::string_view{} : text.substr(at + mark.size());
}

std::string in_function(std::string_view what, std::string_view function) {
  // A broken guest's "function" may be an address in disguise, or a novel.
  if (function.size() > kMaxTitle || stable_word(function) != function) function = {};
  return function.empty() ? std::string(what) : fmt::format("{} in {}", what, function);
}

// The function that a line names itself ("... in f+0x1/0x2"), unless its caller is meant.
std::string_view named_or_blamed(Blame policy, std::string_view head, std::string_view log) {
  const auto ref = find_function(head);
  if (ref && may_be_blamed(policy, ref->name)) return base_name(ref->name);
  const std::string_view blamed = blamed_function(Blame::kTrace, log);
  return blamed.empty() && ref ? base_name(ref->name) : blamed;
}

std::string warning_title(std::string_view head, std::string_view log) {
  const std::string_view function = named_or_blamed(Blame::kOops, head, log);
  if (contains(head, " refcount_warn")) return in_function("WARNING: refcount bug", function);
  if (contains(head, " debug_print_object")) return in_function("WARNING: ODEBUG bug", function);
  return in_function("WARNING", function);
}

std::string kernel_bug_title(std::string_view head, std::string_view log) {
  const std::string_view function = blamed_function(Blame::kOops, log);
  if (!function.empty()) return in_function("kernel BUG", function);
  const std::string_view file = until(behind(head, "kernel BUG at "), ":");
  return stable(fmt::format("kernel BUG at {}:LINE", file));
}

// "BUG: KASAN: use-after-free in f+0x1/0x2"
std::string kasan_title(std::string_view head, std::string_view log) {
  std::string what = stable(until(behind(head, "BUG: "), " in "));
  if (contains(log, "Read of size ")) {
    what += " Read";
  } else if (contains(log, "Write of size ")) {
    what += " Write";
  }
  return in_function(what, named_or_blamed(Blame::kTrace, head, log));
}

// "BUG: KFENCE: use-after-free read in f+0x1/0x2", the same for KMSAN
std::string sanitizer_title(std::string_view head, std::string_view log) {
  return in_function(stable(until(behind(head, "BUG: "), " in ")),
                     named_or_blamed(Blame::kTrace, head, log));
}

// "BUG: KCSAN: data-race in f / g"
std::string kcsan_title(std::string_view head) {
  std::string_view functions = behind(head, " in ");
  std::string title = stable(until(behind(head, "BUG: "), " in "));
  std::string_view second = behind(functions, " / ");
  std::string_view first = until(functions, " / ");
  first = base_name(until(first, "+"));
  second = base_name(until(second, "+"));
  if (first.empty()) return title;
  title += " in " + stable(first);
  return second.empty() ? title : title + " / " + stable(second);
}

// "BUG kmalloc-64 (Not tainted): Poison overwritten"
std::string slub_title(std::string_view head) {
  return stable(fmt::format("BUG: {} in slab {}", until(behind(head, "): "), "@"),
                            until(behind(head, "BUG "), " (")));
}

// Lockdep names the lock and its taker on the line behind one of these.
constexpr std::string_view kAsks[] = {
    " is trying to acquire",           " takes:",
    " just changed the state of lock", " is trying to lock",
    " is trying to release lock",      " is trying to contend lock"};

// What is behind "is trying to acquire lock:" on the next line: "ffff... (lock){..}, at:
// f+0x1/0x2".
std::string_view lock_function(std::string_view log) {
  for (const std::string_view ask : kAsks) {
    const std::string_view rest = behind(behind(log, ask), "\n");
    const auto ref = find_function(until(rest, "\n"));
    if (ref && may_be_blamed(Blame::kTrace, ref->name)) return base_name(ref->name);
  }
  return {};
}

std::string lockdep_title(std::string_view what, std::string_view log) {
  std::string_view function = lock_function(log);
  if (function.empty()) {
    const std::string_view stack = behind(log, "stack backtrace:");
    function = blamed_function(Blame::kTrace, stack.empty() ? log : stack);
  }
  return in_function(what, function);
}

std::string lockdep_other_title(std::string_view head, std::string_view log) {
  if (head.ends_with(" still has locks held!")) {
    return lockdep_title("WARNING: task still has locks held", log);
  }
  if (head.starts_with("[ ")) head = until(head.substr(2), " ]");
  return lockdep_title(stable(head), log);
}

// _swap_info_get: Bad swap file entry 3fff; mm/pgtable-generic.c:50: bad pmd (...)
std::string bad_entry_title(std::string_view head) {
  if (head.starts_with("BUG: Bad rss-counter state")) return "BUG: Bad rss-counter state";
  if (head.starts_with("BUG: ")) return stable(until(head, " mm:"));
  if (contains(head, ": bad p")) {
    return stable(fmt::format("{} in {}", behind(head, ": ").substr(0, 7), until(head, ":")));
  }
  std::string_view entry = behind(head, ": ");
  entry = entry.substr(0, entry.find(" entry") + 6);
  return stable(fmt::format("{} in {}", entry, until(head, ":")));
}

std::string panic_title(std::string_view head) {
  if (head.starts_with("PANIC: ")) return "kernel panic: early exception";
  std::string_view reason = behind(head, "not syncing: ");
  if (contains(reason, "Kernel stack is corrupted in")) {
    const auto ref = find_function(reason);
    return in_function("kernel panic: stack-protector: Kernel stack is corrupted",
                       ref ? base_name(ref->name) : std::string_view{});
  }
  reason = until(reason, " exitcode=");
  return reason.empty() ? "kernel panic" : stable(fmt::format("kernel panic: {}", reason));
}

// "BUG: using smp_processor_id() in preemptible [00000000] code: comm/77", "BUG: spinlock bad
// magic on CPU#1, comm/77", "pagealloc: memory corruption"
std::string other_bug_title(std::string_view head, std::string_view log) {
  for (const std::string_view mark : {" on CPU#", " ["}) head = until(head, mark);
  // A second colon begins what only this run knows.
  const std::size_t colon = head.find(':', std::min<std::size_t>(head.size(), 10));
  std::string what = stable(head.substr(0, colon));
  if (contains(head, "stack guard page was hit")) {
    return in_function("BUG: stack guard page was hit", blamed_function(Blame::kOops, log));
  }
  return in_function(what, blamed_function(Blame::kTrace, log));
}

// "BUG: Bad page state in process x  pfn:12345"
std::string bad_page_title(std::string_view head, std::string_view log) {
  return in_function(stable(until(head, " in process")), blamed_function(Blame::kTrace, log));
}

std::string soft_lockup_title(std::string_view head, std::string_view log) {
  if (contains(head, "workqueue lockup")) return "BUG: workqueue lockup";
  return in_function("BUG: soft lockup", blamed_function(Blame::kCpu, log));
}

std::string list_title(std::string_view head, std::string_view log) {
  // The check itself trapped, in a WARNING or a BUG: its caller is below the RIP.
  return in_function(head.substr(0, std::string_view("list_add corruption").size()),
                     blamed_function(Blame::kOops, log));
}

// Shapes whose title is these words and the function to blame.
struct PlainTitle {
  std::string_view words;
  Shape shape;
  Blame policy;
};
constexpr PlainTitle kPlainTitles[] = {
    {"BUG: unable to handle kernel NULL pointer dereference", Shape::kNullDereference,
     Blame::kOops},
    {"BUG: unable to handle kernel paging request", Shape::kPagingRequest, Blame::kOops},
    {"Corrupted page table", Shape::kPageTable, Blame::kOops},
    {"INFO: task hung", Shape::kHungTask, Blame::kTask},
    {"INFO: rcu detected stall", Shape::kRcuStall, Blame::kCpu},
    {"BUG: hard lockup", Shape::kHardLockup, Blame::kCpu},
    {"BUG: sleeping function called from invalid context", Shape::kSleepInAtomic, Blame::kTrace},
    {"BUG: scheduling while atomic", Shape::kScheduleInAtomic, Blame::kTrace},
    {"NMI", Shape::kNmi, Blame::kCpu},
};

std::string memory_title(Shape shape, std::string_view head, std::string_view log) {
  switch (shape) {
    case Shape::kSlub:
      return slub_title(head);
    case Shape::kBadPage:
      return bad_page_title(head, log);
    case Shape::kBadEntry:
      return bad_entry_title(head);
    case Shape::kListCorruption:
      return list_title(head, log);
    default:
      return "out of memory";
  }
}

std::string lock_title(Shape shape, std::string_view head, std::string_view log) {
  switch (shape) {
    case Shape::kDeadlock:
      return lockdep_title("possible deadlock", log);
    case Shape::kInconsistentLock:
      return lockdep_title("inconsistent lock state", log);
    case Shape::kSuspiciousRcu:
      return lockdep_title("WARNING: suspicious RCU usage", log);
    default:
      return lockdep_other_title(head, log);
  }
}

std::string make_title(Shape shape, std::string_view head, std::string_view log) {
  for (const PlainTitle& plain : kPlainTitles) {
    if (plain.shape == shape) return in_function(plain.words, blamed_function(plain.policy, log));
  }
  switch (shape) {
    case Shape::kWarning:
      return warning_title(head, log);
    case Shape::kKernelBug:
      return kernel_bug_title(head, log);
    case Shape::kDie:
      return in_function(die_name(head), blamed_function(Blame::kOops, log));
    case Shape::kKasan:
      return kasan_title(head, log);
    case Shape::kKfence:
    case Shape::kKmsan:
      return sanitizer_title(head, log);
    case Shape::kKcsan:
      return kcsan_title(head);
    case Shape::kUbsan:
      return in_function(stable(until(head, " in ")), blamed_function(Blame::kTrace, log));
    case Shape::kSoftLockup:
      return soft_lockup_title(head, log);
    case Shape::kDeadlock:
    case Shape::kInconsistentLock:
    case Shape::kSuspiciousRcu:
    case Shape::kLockdep:
      return lock_title(shape, head, log);
    case Shape::kOtherBug:
      return other_bug_title(head, log);
    case Shape::kPanic:
      return panic_title(head);
    default:
      return memory_title(shape, head, log);
  }
}

}  // namespace

std::string stable_words(std::string_view text) {
  return stable(text);
}

std::string title_of(ReportShape shape, std::string_view head, std::string_view log) {
  return make_title(shape, head, log);
}

}  // namespace mmquake
