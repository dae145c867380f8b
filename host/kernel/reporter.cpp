// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/reporter.h"

#include <fmt/format.h>

#include <cmath>

namespace mmquake {

std::string to_text(const Progress& progress) {
  std::string text = progress.stage;
  if (progress.fraction >= 0) text += fmt::format(" {:.0f} %", progress.fraction * 100);
  if (!progress.detail.empty()) text += (progress.fraction >= 0 ? ", " : " ") + progress.detail;
  return text;
}

namespace kernel {
namespace {

// A log gets a line every 4 s at most (StatusLine); with this on top it is silent for less than 5.
constexpr std::chrono::milliseconds kRepeat(500);

}  // namespace

void Reporter::stage(std::string stage, std::string detail, double fraction) {
  now_ = {std::move(stage), std::move(detail), fraction};
  said_ = std::chrono::steady_clock::now();
  if (sink_) sink_(now_);
}

void Reporter::update(std::string detail, double fraction) {
  now_.detail = std::move(detail);
  now_.fraction = fraction;
}

bool Reporter::tick() {
  const auto now = std::chrono::steady_clock::now();
  if (now - said_ >= kRepeat) {
    said_ = now;
    if (sink_) sink_(now_);
  }
  return should_stop_ && should_stop_();
}

Result<Finished> Reporter::run(Command command,
                               const std::function<void(std::string_view)>& on_line) {
  command.environment.try_emplace("LC_ALL", "C");
  command.environment.insert(marks_.begin(), marks_.end());
  auto done = run_command(command, on_line, [this] { return tick(); });
  if (!done && should_stop_ && should_stop_()) return interrupted_error();
  return done;
}

Result<std::string> Reporter::output_of(std::string_view name, Command command) {
  auto done = run(std::move(command));
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return std::move(done->output_tail);
  return broken(fmt::format("{} failed (exit code {}): {}", name, done->exit_code,
                            last_line(done->output_tail)));
}

Result<> Reporter::remove(const std::filesystem::path& path) {
  Command command;
  command.argv = {"rm", "-rf", "--", path.string()};
  auto done = output_of("rm", command);
  if (!done) return tl::make_unexpected(done.error());
  return {};
}

std::string last_line(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \n\r\t");
  if (end == std::string_view::npos) return "it printed nothing";
  text = text.substr(0, end + 1);
  const std::size_t start = text.rfind('\n');
  return std::string(start == std::string_view::npos ? text : text.substr(start + 1));
}

}  // namespace kernel
}  // namespace mmquake
