// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/console.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <string>

#include "host/console/blame.h"
#include "host/console/printk_line.h"

namespace mmquake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string warning(const std::string& function, const std::string& prefix = "[   12.345678] ") {
  return prefix + "------------[ cut here ]------------\n" + prefix +
         "WARNING: CPU: 0 PID: 77 at mm/foo.c:123 " + function + "+0x1/0x2\n" + prefix +
         "---[ end trace 0000000000000000 ]---\n";
}

ConsoleParser parse(std::string_view log) {
  ConsoleParser parser;
  parser.feed(log);
  parser.finish();
  return parser;
}

std::vector<std::string> titles(const ConsoleParser& parser) {
  std::vector<std::string> out;
  for (const KernelReport& report : parser.reports()) out.push_back(report.title);
  return out;
}

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(Console, NothingGivesNothing) {
  ConsoleParser parser;
  parser.feed("");
  parser.finish();
  EXPECT_TRUE(parser.reports().empty());
  EXPECT_EQ(parser.tail(), "");
  EXPECT_EQ(parser.bytes(), 0U);
  EXPECT_FALSE(parser.panicked());
}

TEST(Console, OffsetIsThatOfTheFirstLine) {
  const std::string before = "[    0.000000] Linux version 6.1\n";
  const ConsoleParser parser = parse(before + warning("f"));
  ASSERT_EQ(parser.reports().size(), 1U);
  EXPECT_EQ(parser.reports()[0].offset, before.size()) << "of the cut-here line";
  EXPECT_EQ(parser.reports()[0].log, warning("f"));
}

TEST(Console, LeavesOutWhatComesBehindAReport) {
  const ConsoleParser parser = parse(warning("f") + "[   13.000000] mmquake: round 7\n");
  ASSERT_EQ(parser.reports().size(), 1U);
  EXPECT_THAT(parser.reports()[0].log, Not(HasSubstr("round 7")));
}

TEST(Console, ReportIsThereAsSoonAsTheNextOneStarts) {
  ConsoleParser parser;
  parser.feed(warning("f"));
  parser.feed(warning("g"));
  EXPECT_THAT(titles(parser), ElementsAre("WARNING in f"));
  parser.finish();
  EXPECT_THAT(titles(parser), ElementsAre("WARNING in f", "WARNING in g"));
}

TEST(Console, ReportsAreInTheOrderInWhichTheyBegan) {
  // T1's report ends last: nothing ends a soft lockup but the end of the console.
  const ConsoleParser parser = parse(
      "[   12.000000][    T1] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]\n" +
      warning("f", "[   12.345678][    T2] ") + "[   12.400000][    T1] RIP: 0010:g+0x1/0x2\n");
  EXPECT_THAT(titles(parser), ElementsAre("BUG: soft lockup in g", "WARNING in f"));
}

TEST(Console, PanicIsSeenWithoutAReport) {
  ConsoleParser parser;
  parser.feed("[   12.345678] Kernel panic - not sync");
  EXPECT_FALSE(parser.panicked());
  parser.feed("ing: corrupted stack end detected inside scheduler\n");
  EXPECT_TRUE(parser.panicked());
  parser.finish();
  EXPECT_THAT(titles(parser),
              ElementsAre("kernel panic: corrupted stack end detected inside scheduler"));
  EXPECT_TRUE(parse("---[ end Kernel panic - not syncing: x ]---\n").panicked());
  EXPECT_FALSE(parse("[    1.0] mmquake: no Kernel panic - not syncing here\n").panicked());
}

TEST(Console, PanicBehindAClosedReportIsNoSecondOne) {
  std::string log = warning("f");
  for (int i = 0; i < 100; ++i) log += "[   12.345678] mmquake: chatter\n";
  log += "[   12.345678] Kernel panic - not syncing: kernel: panic_on_warn set ...\n";
  const ConsoleParser parser = parse(log);
  EXPECT_THAT(titles(parser), ElementsAre("WARNING in f"));
  EXPECT_THAT(parser.reports()[0].log, HasSubstr("panic_on_warn"));
  EXPECT_TRUE(parser.panicked());
}

TEST(Console, PanicWithAReasonOfItsOwnIsASecondReport) {
  EXPECT_THAT(
      titles(parse(warning("f") + "[   99.0] x\nKernel panic - not syncing: Machine halted\n")),
      ElementsAre("WARNING in f", "kernel panic: Machine halted"));
}

TEST(Console, NmiIsNeverPartOfAnotherReport) {
  // A lockup has no end mark; the host's NMI comes while it is still open.
  const ConsoleParser parser = parse(
      "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]\nRIP: 0010:g+0x1/0x2\n"
      "Uhhuh. NMI received for unknown reason 30 on CPU 0.\n"
      "Kernel panic - not syncing: NMI: Not continuing\nRIP: 0010:default_idle+0x1/0x2\n"
      "---[ end Kernel panic - not syncing: NMI: Not continuing ]---\n");
  EXPECT_THAT(titles(parser), ElementsAre("BUG: soft lockup in g", "NMI in default_idle"));
  EXPECT_EQ(parser.reports()[1].kind, "nmi");
}

TEST(Console, KeepsSixtyFourReportsAndCountsTheRest) {
  ConsoleParser parser;
  for (int i = 0; i < 10000; ++i) parser.feed(warning(fmt::format("f_{}", i)));
  parser.finish();
  EXPECT_EQ(parser.reports().size(), 64U);
  EXPECT_EQ(parser.dropped_reports(), 10000U - 64U);
}

TEST(Console, FloodOfOneWarningDoesNotHideTheBugBehindIt) {
  ConsoleParser parser;
  for (int i = 0; i < 10000; ++i) parser.feed(warning("f"));
  parser.feed("kernel BUG at mm/foo.c:1!\nRIP: 0010:g+0x1/0x2\n");
  parser.finish();
  ASSERT_EQ(parser.reports().size(), 9U);
  EXPECT_EQ(parser.reports().back().title, "kernel BUG in g");
  EXPECT_EQ(parser.dropped_reports(), 10000U - 8U);
}

TEST(Console, EndlessLineCostsNothing) {
  const std::string block(1 << 20, 'x');
  ConsoleParser parser;
  parser.feed("[   12.345678] WARNING: CPU: 0 PID: 77 at mm/foo.c:123 f+0x1/0x2 ");
  const long before = peak_kib();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) parser.feed(block);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  parser.finish();
  EXPECT_LT(peak_kib() - before, 1024);
  EXPECT_LT(took.count(), 5.0);
  EXPECT_GT(parser.bytes(), 100U << 20);
  EXPECT_THAT(titles(parser), ElementsAre("WARNING in f"));
  EXPECT_LE(parser.reports()[0].log.size(), 4097U);
  EXPECT_EQ(parser.tail().size(), 8192U);
}

TEST(Console, EndlessReportIsCutAndItsPanicKept) {
  ConsoleParser parser;
  parser.feed("kernel BUG at mm/foo.c:1!\nRIP: 0010:g+0x1/0x2\nCall Trace:\n");
  for (int i = 0; i < 100000; ++i) parser.feed(" f+0x1/0x2\n");
  parser.feed("Kernel panic - not syncing: Fatal exception\n");
  parser.finish();
  ASSERT_EQ(parser.reports().size(), 1U);
  EXPECT_LE(parser.reports()[0].log.size(), 16384U);
  EXPECT_THAT(parser.reports()[0].log, HasSubstr("Fatal exception"));
  EXPECT_EQ(parser.reports()[0].title, "kernel BUG in g");
}

// The judge looks for CPUs outside of idle: all of them must fit.
TEST(Console, NmiReportKeepsTheRipOfEveryCpu) {
  std::string log = "Uhhuh. NMI received for unknown reason 30 on CPU 0.\n";
  for (int cpu = 0; cpu < 48; ++cpu) {
    log += fmt::format("NMI backtrace for cpu {}\nCPU: {} PID: 0 Comm: swapper\n", cpu, cpu);
    log += fmt::format("Hardware name: {}\n", std::string(80, 'h'));
    log += fmt::format("RIP: 0010:{}+0x1/0x2\n", cpu == 47 ? "stuck" : "default_idle");
    log += fmt::format("Code: {}\nRSP: {}\n", std::string(180, 'c'), std::string(50, '0'));
    for (int i = 0; i < 8; ++i) log += "RAX: " + std::string(70, '0') + "\n";
    log += "Call Trace:\n <TASK>\n do_idle+0x1e4/0x260\n </TASK>\n";
  }
  const ConsoleParser parser = parse(log);
  EXPECT_THAT(titles(parser), ElementsAre("NMI in stuck"));
  EXPECT_LE(parser.reports()[0].log.size(), 16384U);
}

TEST(Console, ManyCallersAtOnceStayBounded) {
  ConsoleParser parser;
  for (int i = 0; i < 1000; ++i) {
    parser.feed(
        fmt::format("[   12.345678][{:>6}] kernel BUG at mm/foo.c:1!\n", fmt::format("T{}", i)));
  }
  for (int i = 0; i < 1000; ++i) {
    parser.feed(
        fmt::format("[   12.345678][{:>6}] RIP: 0010:f_{}+0x1/0x2\n", fmt::format("T{}", i), i));
  }
  parser.finish();
  EXPECT_EQ(parser.reports().size() + parser.dropped_reports(), 1000U);
}

TEST(Console, ManyShortLinesAreReadQuickly) {
  std::string block;
  while (block.size() < (1U << 20)) {
    block += "[   12.345678] migrate-verify: round 1204, 3310 migrations, all well [ok]\n";
  }
  ConsoleParser parser;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) parser.feed(block);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  RecordProperty("mib_per_s", static_cast<int>(20 / took.count()));
  EXPECT_LT(took.count(), 30.0);
  EXPECT_TRUE(parser.reports().empty());
}

TEST(Console, TailHoldsTheLastLines) {
  EXPECT_EQ(parse("a\nb").tail(), "a\nb");
  std::string log;
  for (int i = 0; i < 5000; ++i) log += fmt::format("line {}\n", i);
  const std::string tail = parse(log).tail();
  EXPECT_LE(tail.size(), 8192U);
  EXPECT_GT(tail.size(), 8000U);
  EXPECT_THAT(tail, testing::StartsWith("line "));
  EXPECT_THAT(tail, testing::EndsWith("line 4999\n"));
}

TEST(Console, FunctionsOfAHostileGuestDoNotReachTheTitle) {
  EXPECT_THAT(titles(parse("WARNING: CPU: 0 PID: 7 at mm/a.c:1 ffff888012345678+0x1/0x2\n")),
              ElementsAre("WARNING"));
  const std::string long_name(5000, 'f');
  EXPECT_LT(parse("BUG: " + long_name + "\n").reports()[0].title.size(), 400U);
  EXPECT_THAT(titles(parse("BUG: \x1b[31mred\x07 12345 0xffff8880deadbeef ffff888012345678\n")),
              ElementsAre("BUG: ?[31mred? NUM ADDR NUM"));
}

TEST(PrintkLine, PrefixesAreStripped) {
  const auto text = [](std::string_view line) { return parse_printk_line(line).text; };
  EXPECT_EQ(text("[   12.345678] x"), "x");
  EXPECT_EQ(text("<4>[   12.345678] x\r"), "x");
  EXPECT_EQ(text("[   12.345678][   T12] x"), "x");
  EXPECT_EQ(text("[12345.345678][    C1]  x"), " x");
  EXPECT_EQ(text("[    C1] x"), "x");
  EXPECT_EQ(text("half a line[   12.345678] x"), "x");
  EXPECT_EQ(text("[drm] [   12.345678] x"), "x");
  EXPECT_EQ(text("x [ 12 ] [12.34] ["), "x [ 12 ] [12.34] [");
  EXPECT_EQ(text("[   12.345678] x [   12.345679] y"), "x [   12.345679] y");
  EXPECT_EQ(text(""), "");
  EXPECT_EQ(parse_printk_line("[   12.345678][   T12] x").caller, "T12");
  EXPECT_EQ(parse_printk_line("[   12.345678][    C1] x").caller, "C1");
  EXPECT_EQ(parse_printk_line("[   12.345678][Firmware Bug] x").caller, "");
  EXPECT_EQ(parse_printk_line("<4>[   12.345678][   T12] x").seconds, 12.345678);
  EXPECT_EQ(parse_printk_line("half a line[    1.500000] x").seconds, 1.5);
  EXPECT_EQ(parse_printk_line("no time").seconds, std::nullopt);
}

TEST(PrintkLine, FunctionsAreFound) {
  const auto ref = find_function("at: f.isra.0+0x1b/0x2e0 [mod]");
  ASSERT_TRUE(ref);
  EXPECT_EQ(ref->name, "f.isra.0");
  EXPECT_EQ(ref->offset, 0x1bU);
  EXPECT_EQ(ref->size, 0x2e0U);
  EXPECT_FALSE(find_function("f+0x1/"));
  EXPECT_FALSE(find_function("f+0x/0x2"));
  EXPECT_FALSE(find_function("+0x1/0x2"));
  EXPECT_FALSE(find_function("0x1+0x1/0x2"));
  EXPECT_FALSE(find_function("f+0x11112222333344445/0x2")) << "17 digits";
  EXPECT_TRUE(find_function("f+0xffffffffffffffff/0xffffffffffffffff"));
  EXPECT_EQ(find_function("f+0x1 g+0x1/0x2")->name, "g");
}

TEST(PrintkLine, FramesAreRecognised) {
  EXPECT_TRUE(stack_frame(" f+0x1/0x2")->reliable);
  EXPECT_FALSE(stack_frame(" ? f+0x1/0x2")->reliable);
  EXPECT_EQ(stack_frame("[<ffffffff81234567>] f+0x1/0x2")->function, "f");
  EXPECT_EQ(stack_frame("[<0>] f+0x1/0x2 [mod]")->function, "f");
  EXPECT_FALSE(stack_frame(" f g+0x1/0x2"));
  EXPECT_FALSE(stack_frame(""));
  EXPECT_EQ(kernel_rip("RIP: 0010:f+0x1/0x2"), "f");
  EXPECT_EQ(kernel_rip("RIP: 0033:0x4a81bd"), "");
  EXPECT_EQ(kernel_rip("RIP: 0010:0x0"), "");
}

TEST(Blame, SkipsWhatEveryStackHas) {
  EXPECT_EQ(blamed_function(Blame::kTask,
                            "Call Trace:\n __schedule+0x1/0x2\n schedule+0x1/0x2\n"
                            " rwsem_down_read_slowpath+0x1/0x2\n f.part.0+0x1/0x2\n"),
            "f");
  EXPECT_EQ(blamed_function(Blame::kTask, "Call Trace:\n schedule+0x1/0x2\n ? g+0x1/0x2\n"),
            "schedule")
      << "better than nothing";
  EXPECT_EQ(blamed_function(Blame::kOops, "nothing"), "");
}

TEST(BusyCpu, IsNoneWhereAllAreIdleOrInUserMode) {
  EXPECT_EQ(busy_cpu(""), "");
  EXPECT_EQ(busy_cpu("NMI backtrace for cpu 0\nRIP: 0010:default_idle+0x1/0x2\n"
                     "NMI backtrace for cpu 1\nRIP: 0010:amd_e400_idle+0x1e/0x50\n"
                     "NMI backtrace for cpu 2\nRIP: 0033:0x4a81bd\n"),
            "");
}

// TCG's CPU in its idle loop, when the NMI met a timer interrupt on it.
TEST(BusyCpu, IdleCpuInAnInterruptIsIdle) {
  const std::string idle =
      "NMI backtrace for cpu 1\nCPU: 1 PID: 0 Comm: swapper/1\nRIP: 0010:read_hpet+0x88/0xb0\n"
      "Call Trace:\n <IRQ>\n tick_nohz_irq_exit+0x25/0x40\n irq_exit_rcu+0x60/0xb0\n </IRQ>\n"
      "RIP: 0010:amd_e400_idle+0x1e/0x50\n";
  EXPECT_EQ(busy_cpu(idle), "");
  EXPECT_EQ(busy_cpu(idle + "NMI backtrace for cpu 2\nRIP: 0010:clear_page_erms+0x7/0x10\n"
                            "Call Trace:\n do_anonymous_page+0x1/0x2\n"),
            "do_anonymous_page");
}

TEST(Escape, KeepsTextAndShowsTheRest) {
  EXPECT_EQ(escape_for_terminal("plain\ttext\n"), "plain\ttext\n");
  EXPECT_EQ(escape_for_terminal("\x1b[31mred\r"), "\\x1b[31mred\\x0d");
  EXPECT_EQ(escape_for_terminal(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(escape_for_terminal("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7");
}

TEST(Escape, RefusesWhatIsNoUtf8) {
  EXPECT_EQ(escape_for_terminal("\xff\xc0\xaf"), "\\xff\\xc0\\xaf");
  EXPECT_EQ(escape_for_terminal("\xe2\x82"), "\\xe2\\x82") << "cut short";
  EXPECT_EQ(escape_for_terminal("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(escape_for_terminal("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above U+10FFFF";
}

TEST(Escape, RefusesInvisibleCharacters) {
  EXPECT_EQ(escape_for_terminal("\xc2\x9b"), "\\xc2\\x9b") << "CSI of C1";
  EXPECT_EQ(escape_for_terminal("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "right-to-left override";
  EXPECT_EQ(escape_for_terminal("\xe2\x81\xa6"), "\\xe2\\x81\\xa6") << "isolate";
  EXPECT_EQ(escape_for_terminal("\xef\xbb\xbf"), "\\xef\\xbb\\xbf") << "byte order mark";
}

}  // namespace
}  // namespace mmquake
