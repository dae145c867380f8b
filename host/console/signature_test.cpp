// SPDX-License-Identifier: GPL-2.0-or-later
//
// One bug, one signature; two bugs, two: over every sample in testdata/, over mutations of each of
// them, and over pairs made for the rules in signature.h.
#include "host/console/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "host/console/test_samples.h"

namespace mmquake {
namespace {

using ::testing::ElementsAreArray;

std::string signature(const KernelReport& report) {
  return signature_of(report.kind, report.title, report.log);
}

std::vector<std::string> signatures(const std::string& console) {
  std::vector<std::string> out;
  const ConsoleParser parser = parse(console);
  for (const KernelReport& report : parser.reports()) out.push_back(signature(report));
  return out;
}

TEST(SignatureOfSamples, IsTheSameForOneBugAndAnotherForEachOther) {
  std::map<std::string, std::string> bug_of;  // signature -> kind and title
  std::map<std::string, std::string> signature_of_bug;
  std::size_t repeated = 0;
  for (const std::string& name : sample_names()) {
    const ConsoleParser parser = parse(read_sample(name).log);
    for (const KernelReport& report : parser.reports()) {
      // No two bugs of the samples share a title: so the title says which bug it is.
      const std::string bug = report.kind + ": " + report.title;
      const std::string own = signature(report);
      EXPECT_EQ(bug_of.emplace(own, bug).first->second, bug) << name << ": " << own;
      const auto first = signature_of_bug.emplace(bug, own);
      EXPECT_EQ(first.first->second, own) << name;
      repeated += first.second ? 0 : 1;
    }
  }
  EXPECT_GE(bug_of.size(), 55U);
  EXPECT_GE(repeated, 4U) << "samples of a bug that another sample has shown";
}

struct Mutation {
  const char* name;
  std::function<std::string(const std::string&)> apply;
};

std::string replaced(const std::string& text, const char* what, const char* by) {
  return std::regex_replace(text, std::regex(what), by);
}

// The lines of a console with what `between` gives after each.
std::string interleaved(const std::string& console,
                        const std::function<std::string(std::size_t)>& between) {
  std::string out;
  std::size_t line = 0;
  for (const char c : console) {
    out += c;
    if (c == '\n') out += between(line++);
  }
  return out;
}

// CONFIG_PRINTK_CALLER: each line says who printed it.
std::string with_callers(const std::string& console) {
  return replaced(console, R"(\[( *[0-9]+\.[0-9]{6})\](?!\[))", "[$1][   T77]");
}

const char* const kOtherWarning[] = {
    "------------[ cut here ]------------",
    "WARNING: CPU: 3 PID: 501 at mm/other.c:12 other_function+0x11/0x30",
    "CPU: 3 PID: 501 Comm: other Not tainted 6.1.158-mmquake #1",
    "RIP: 0010:other_function+0x11/0x30",
    "Call Trace:",
    " <TASK>",
    " other_caller+0x1/0x20",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---"};

std::string among_other_cpus(const std::string& console) {
  return interleaved(with_callers(console), [](std::size_t line) -> std::string {
    if (line % 3 == 0) return "[   12.345678][    C2] hrtimer: interrupt took 41 ns\n";
    if (line % 3 == 1) return "[   12.345678][  T502] mmquake: other role, other_fn+0x1/0x2\n";
    return "";
  });
}

std::string beside_another_report(const std::string& console) {
  return interleaved(with_callers(console), [](std::size_t line) -> std::string {
    if (line >= std::size(kOtherWarning)) return "";
    return "[   12.345678][  T501] " + std::string(kOtherWarning[line]) + "\n";
  });
}

const std::vector<Mutation>& mutations() {
  static const std::vector<Mutation> all = {
      {"addresses",
       [](const std::string& c) {
         return replaced(replaced(c, "ffff8880", "ffff91a7"), "ffffea00", "ffffd3c1");
       }},
      {"offsets",
       [](const std::string& c) {
         return replaced(c, R"(\+0x[0-9a-f]+/0x[0-9a-f]+)", "+0x7e1/0x9ff");
       }},
      {"times",
       [](const std::string& c) { return replaced(c, R"(\[   12\.([0-9]{3}))", "[ 7812.$1"); }},
      {"cpus",
       [](const std::string& c) {
         return replaced(replaced(c, R"(CPU: ([0-9]))", "CPU: 1$1"), R"(CPU#([0-9]))", "CPU#1$1");
       }},
      {"pids",
       [](const std::string& c) {
         return replaced(replaced(c, R"(PID: ([0-9]))", "PID: 4$1"), R"(\b([a-z]+)/([0-9]+)\b)",
                         "$1/31$2");
       }},
      {"lines", [](const std::string& c) { return replaced(c, R"((\.[ch]):([0-9]+))", "$1:9$2"); }},
      {"compiler suffixes",
       [](const std::string& c) {
         return replaced(c, R"(([a-z_])\+0x)", "$1.constprop.0.isra.7+0x");
       }},
      {"parts",
       [](const std::string& c) { return replaced(c, R"(([a-z_])\+0x)", "$1.part.0+0x"); }},
      {"cold", [](const std::string& c) { return replaced(c, R"(([a-z_])\+0x)", "$1.cold+0x"); }},
      {"carriage returns", [](const std::string& c) { return replaced(c, "\n", "\r\n"); }},
      {"other CPUs", among_other_cpus},
  };
  return all;
}

class SignatureOfMutant : public testing::TestWithParam<std::string> {};

TEST_P(SignatureOfMutant, IsTheSame) {
  const std::string console = read_sample(GetParam()).log;
  const auto expected = signatures(console);
  for (const Mutation& mutation : mutations()) {
    EXPECT_THAT(signatures(mutation.apply(console)), ElementsAreArray(expected)) << mutation.name;
  }
}

TEST_P(SignatureOfMutant, IsTheSameBesideAReportOfAnotherCpu) {
  const std::string console = read_sample(GetParam()).log;
  auto expected = signatures(console);
  expected.emplace_back("warning: WARNING in other_function");
  EXPECT_THAT(signatures(beside_another_report(console)),
              testing::UnorderedElementsAreArray(expected));
}

INSTANTIATE_TEST_SUITE_P(Testdata, SignatureOfMutant, testing::ValuesIn(sample_names()),
                         [](const testing::TestParamInfo<std::string>& sample) {
                           return std::regex_replace(sample.param, std::regex("[^a-zA-Z0-9]"), "_");
                         });

struct Seen {
  const char* kind;
  const char* title;
  const char* log;
};

struct Pair {
  const char* why;
  bool one_bug;
  Seen a, b;
};

constexpr const char* kUnlockedByShmem =
    "RIP: 0010:folio_unlock+0x3a/0x40\nCall Trace:\n <TASK>\n shmem_get_folio_gfp+0x45d/0x7f0\n"
    " shmem_fault+0x74/0x110\n </TASK>\n";
constexpr const char* kUnlockedByMigration =
    "RIP: 0010:folio_unlock+0x3a/0x40\nCall Trace:\n <TASK>\n migrate_folio_undo+0x1/0x7f0\n"
    " migrate_pages+0x74/0x110\n </TASK>\n";
constexpr const char* kUnchargedByHugetlb =
    "WARNING: CPU: 1 PID: 83 at mm/page_counter.c:56 page_counter_cancel+0x5a/0x70\n"
    "CPU: 1 PID: 83 Comm: x\nRIP: 0010:page_counter_cancel+0x5a/0x70\nCall Trace:\n <TASK>\n"
    " page_counter_uncharge+0x1d/0x40\n hugetlb_cgroup_uncharge_folio+0x3e/0x60\n";
// The same, but the compiler inlined the static function.
constexpr const char* kUnchargedInline =
    "                 page_counter_cancel (mm/page_counter.c:56) [inline]\n"
    "RIP: 0010:page_counter_uncharge+0x5a/0x70 (mm/page_counter.c:99)\nCall Trace:\n <TASK>\n"
    " hugetlb_cgroup_uncharge_folio+0x3e/0x60 (mm/hugetlb_cgroup.c:300)\n";
constexpr const char* kUnchargedByMemcg =
    "RIP: 0010:page_counter_cancel+0x5a/0x70\nCall Trace:\n <TASK>\n"
    " page_counter_uncharge+0x1d/0x40\n uncharge_batch+0x3e/0x60\n";
constexpr const char* kZapCalled =
    "RIP: 0010:zap_pte_range+0x1/0x90 (mm/memory.c:1420)\nCall Trace:\n <TASK>\n"
    " unmap_page_range+0x1/0x90 (mm/memory.c:1700)\n";
constexpr const char* kZapInlined =
    "           folio_test_anon (include/linux/page-flags.h:655) [inline]\n"
    "           zap_pte_range (mm/memory.c:1420) [inline]\n"
    "RIP: 0010:unmap_page_range+0x31/0x90 (mm/memory.c:1700)\nCall Trace:\n <TASK>\n";
constexpr const char* kPutCalled =
    "RIP: 0010:put_page_testzero+0x1/0x9 (include/linux/mm.h:1031)\nCall Trace:\n <TASK>\n"
    " zap_pte_range+0x1/0x90 (mm/memory.c:1420)\n";
constexpr const char* kCallerOne =
    "RIP: 0010:remap_check+0x1/0x9\nCall Trace:\n <TASK>\n first_caller+0x1/0x2\n";
constexpr const char* kCallerTwo =
    "RIP: 0010:remap_check+0x1/0x9\nCall Trace:\n <TASK>\n second_caller+0x1/0x2\n";
constexpr const char* kAllocatedByFault =
    "page dumped because: nonzero mapcount\nCall Trace:\n <TASK>\n bad_page.cold+0x1/0x2\n"
    " get_page_from_freelist+0x1/0x2\n __alloc_pages+0x1/0x2\n do_anonymous_page+0x1/0x2\n";
constexpr const char* kAllocatedByPipe =
    "page dumped because: nonzero mapcount\nCall Trace:\n <TASK>\n bad_page.cold+0x1/0x2\n"
    " rmqueue_bulk+0x1/0x2\n get_page_from_freelist+0x1/0x2\n pipe_write+0x1/0x2\n";
constexpr const char* kAllocatedWithFlags =
    "page dumped because: PAGE_FLAGS_CHECK_AT_PREP flag set\nCall Trace:\n <TASK>\n"
    " bad_page.cold+0x1/0x2\n get_page_from_freelist+0x1/0x2\n do_anonymous_page+0x1/0x2\n";
constexpr const char* kCircle =
    "-> #1 (&vma_lock->rw_sema){++++}-{3:3}:\n        lock_acquire+0xd1/0x2f0\n"
    "-> #0 (&hugetlb_fault_mutex_table[i]){+.+.}-{3:3}:\n        check_prev_add+0x92/0xb50\n";
constexpr const char* kCircleFromTheOtherSide =
    "-> #1 (&hugetlb_fault_mutex_table[i]){+.+.}-{3:3}:\n        lock_acquire+0xd1/0x2f0\n"
    "-> #0 (&vma_lock->rw_sema){++++}-{3:3}:\n        check_prev_add+0x92/0xb50\n";
constexpr const char* kOtherCircle =
    "-> #1 (&mm->mmap_lock){++++}-{3:3}:\n-> #0 (&hugetlb_fault_mutex_table[i]){+.+.}-{3:3}:\n";
constexpr const char* kNull = "BUG: unable to handle kernel NULL pointer dereference in f";

const Pair kPairs[] = {
    {"one check, two callers",
     true,
     {"warning", "WARNING in remap_check", kCallerOne},
     {"warning", "WARNING in remap_check", kCallerTwo}},
    {"a helper, two callers",
     false,
     {"kernel-bug", "kernel BUG in folio_unlock", kUnlockedByShmem},
     {"kernel-bug", "kernel BUG in folio_unlock", kUnlockedByMigration}},
    {"a helper below a helper, two callers",
     false,
     {"warning", "WARNING in page_counter_cancel", kUnchargedByHugetlb},
     {"warning", "WARNING in page_counter_cancel", kUnchargedByMemcg}},
    {"a helper, inlined in a helper or not",
     true,
     {"warning", "WARNING in page_counter_cancel", kUnchargedByHugetlb},
     {"warning", "WARNING in page_counter_uncharge", kUnchargedInline}},
    {"a static function, inlined or not",
     true,
     {"warning", "WARNING in zap_pte_range", kZapCalled},
     {"warning", "WARNING in unmap_page_range", kZapInlined}},
    {"a header's function, inlined or not",
     true,
     {"warning", "WARNING in put_page_testzero", kPutCalled},
     {"warning", "WARNING in unmap_page_range", kZapInlined}},
    {"a header's function adds nothing",
     true,
     {"warning", "WARNING in zap_pte_range", ""},
     {"warning", "WARNING in put_page_testzero", kPutCalled}},
    {"a bad pointer is null, or not",
     true,
     {"oops", kNull, ""},
     {"oops", "general protection fault in f", ""}},
    {"a bad pointer is wild, or null",
     true,
     {"oops", kNull, ""},
     {"oops", "BUG: unable to handle kernel paging request in f", ""}},
    {"bad pointers in two functions",
     false,
     {"oops", kNull, ""},
     {"oops", "general protection fault in g", ""}},
    {"a division is no access", false, {"oops", kNull, ""}, {"oops", "divide error in f", ""}},
    {"two kinds", false, {"warning", "WARNING in f", ""}, {"kernel-bug", "kernel BUG in f", ""}},
    {"a bad page, two innocent allocations",
     true,
     {"kernel-bug", "BUG: Bad page state in do_anonymous_page", kAllocatedByFault},
     {"kernel-bug", "BUG: Bad page state in pipe_write", kAllocatedByPipe}},
    {"bad pages of two sorts",
     false,
     {"kernel-bug", "BUG: Bad page state in do_anonymous_page", kAllocatedByFault},
     {"kernel-bug", "BUG: Bad page state in do_anonymous_page", kAllocatedWithFlags}},
    {"a circle of locks from both sides",
     true,
     {"lockdep", "possible deadlock in hugetlb_fault_locked", kCircle},
     {"lockdep", "possible deadlock in hugetlb_vma_lock_write", kCircleFromTheOtherSide}},
    {"two circles of locks",
     false,
     {"lockdep", "possible deadlock in hugetlb_fault", kCircle},
     {"lockdep", "possible deadlock in hugetlb_fault", kOtherCircle}},
    {"counters of two types",
     false,
     {"kernel-bug", "BUG: Bad rss-counter state",
      "BUG: Bad rss-counter state mm:ffff888004a2c000 type:MM_ANONPAGES val:-512\n"},
     {"kernel-bug", "BUG: Bad rss-counter state",
      "BUG: Bad rss-counter state mm:ffff888004a2c000 type:MM_SHMEMPAGES val:-512\n"}},
    {"a counter by another amount",
     true,
     {"kernel-bug", "BUG: Bad rss-counter state",
      "BUG: Bad rss-counter state mm:ffff888004a2c000 type:MM_ANONPAGES val:-512\n"},
     {"kernel-bug", "BUG: Bad rss-counter state",
      "BUG: Bad rss-counter state mm:ffff88800bbbb000 type:MM_ANONPAGES val:1\n"}},
    {"a poisoned object, two innocent allocations",
     true,
     {"kernel-bug", "BUG: Poison overwritten in slab anon_vma",
      "Call Trace:\n anon_vma_fork+0x1/0x2\n"},
     {"kernel-bug", "BUG: Poison overwritten in slab anon_vma",
      "Call Trace:\n __anon_vma_prepare+0x1/0x2\n"}},
    {"a helper that was given to a thread",
     true,
     {"warning", "WARNING in __mmdrop",
      "RIP: 0010:__mmdrop+0x1/0x2\nCall Trace:\n"
      " process_one_work+0x1/0x2\n"},
     {"warning", "WARNING in __mmdrop",
      "RIP: 0010:__mmdrop+0x1/0x2\nCall Trace:\n"
      " rcu_do_batch+0x1/0x2\n"}},
    {"hangs in two functions",
     false,
     {"hang", "hang in handle_userfault", ""},
     {"hang", "hang in migration_entry_wait_on_locked", ""}},
    {"an oracle's title with a number in it",
     true,
     {"corruption", "page 0x7f01 holds zero", ""},
     {"corruption", "page 0x7f02 holds zero", ""}},
};

TEST(Signature, TellsBugsApart) {
  for (const Pair& pair : kPairs) {
    const std::string a = signature_of(pair.a.kind, pair.a.title, pair.a.log);
    const std::string b = signature_of(pair.b.kind, pair.b.title, pair.b.log);
    EXPECT_EQ(a == b, pair.one_bug) << pair.why << "\n  " << a << "\n  " << b;
  }
}

TEST(Signature, IsReadable) {
  EXPECT_EQ(signature_of("kernel-bug", "kernel BUG in folio_unlock", kUnlockedByShmem),
            "kernel-bug: kernel BUG in folio_unlock < shmem_get_folio_gfp");
  EXPECT_EQ(signature_of("warning", "WARNING in remap_check", kCallerOne),
            "warning: WARNING in remap_check");
  EXPECT_EQ(signature_of("oops", kNull, ""), "oops: bad access in f");
  EXPECT_EQ(signature_of("lockdep", "possible deadlock in f", kCircle),
            "lockdep: possible deadlock of &hugetlb_fault_mutex_table[i], &vma_lock->rw_sema");
  EXPECT_EQ(signature_of("kernel-bug", "BUG: Bad page state in f", kAllocatedByPipe),
            "kernel-bug: BUG: Bad page state seen by an allocation: nonzero mapcount");
}

TEST(Signature, SurvivesGarbage) {
  std::string noise;
  for (int i = 0; i < 5000; ++i) noise += static_cast<char>(i * 7 + i / 256);
  const std::string out = signature_of(noise, noise, noise);
  EXPECT_LE(out.size(), 512U);
  for (const char c : out) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  // A trace that goes on for ever is not followed for ever.
  std::string deep = "Call Trace:\n";
  for (int i = 0; i < 200; ++i) deep += " folio_unlock+0x1/0x2\n";
  EXPECT_EQ(signature_of("warning", "WARNING in folio_unlock", deep + " f+0x1/0x2\n"),
            "warning: WARNING in folio_unlock");
}

}  // namespace
}  // namespace mmquake
