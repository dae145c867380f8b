// SPDX-License-Identifier: GPL-2.0-or-later
//
// How often a bisection is right, and what it takes, on made-up histories in made-up time:
// mmquake's search, the same search without an eye for prices, and `git bisect` with a script that
// repeats each trial. The table is that of docs/bisect.md.
//
//   bisect_bench [HISTORIES [RATE...]]       default 1000 0.05 0.1 0.3 1
//
// Exit code 0: mmquake is right in at least 95 % (or as many as chance allows to say so), 1: not.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "host/bisect/simulate.h"

namespace mmquake::bisect {
namespace {

constexpr double kWanted = 0.95;
// Passes that call a commit good for who wants a bug that one trial in twenty shows, and does not
// know how often this one does.
constexpr std::uint32_t kCautious = 94;

struct Sum {
  std::size_t histories = 0;
  std::size_t right = 0;
  double answer = 0, trials = 0, builds = 0, seconds = 0;

  double share() const { return static_cast<double>(right) / static_cast<double>(histories); }
};

using Strategy = std::function<Outcome(const History& history, std::uint64_t seed)>;

Sum run(std::size_t histories, double rate, const std::string& name, const Strategy& strategy) {
  Sum out;
  for (std::uint64_t seed = 1; seed <= histories; ++seed) {
    const Outcome outcome = strategy(random_history(seed, rate), seed);
    ++out.histories;
    out.right += outcome.right ? 1 : 0;
    out.answer += static_cast<double>(outcome.answer);
    out.trials += outcome.trials;
    out.builds += outcome.builds;
    out.seconds += outcome.seconds;
    if (seed % 20 == 0) {
      fmt::print(stderr, "{} at {}: {} of {}, {:.1f} % right\n", name, rate, seed, histories,
                 100 * out.share());
    }
  }
  return out;
}

void print(double rate, const std::string& name, const Sum& sum) {
  const auto n = static_cast<double>(sum.histories);
  fmt::print("| {} | {} | {:.1f} % | {:.2f} | {:.0f} | {:.1f} | {:.2f} |\n", rate, name,
             100 * sum.share(), sum.answer / n, sum.trials / n, sum.builds / n,
             sum.seconds / n / 3600);
  std::fflush(stdout);
}

Strategy git_with(std::uint32_t repeats) {
  return [repeats](const History& history, std::uint64_t seed) {
    return simulate_git_bisect(history, repeats, seed);
  };
}

// With the fewest repeats that make it right as often as `share`: nobody knows them beforehand.
void print_git(std::size_t histories, double rate, double share) {
  for (std::uint32_t repeats = 1; repeats <= 400; repeats += 1 + repeats / 8) {
    const std::string name = fmt::format("`git bisect`, {} at a commit", repeats);
    const Sum sum = run(histories, rate, name, git_with(repeats));
    if (sum.share() < share && rate < 1) continue;
    return print(rate, name, sum);
  }
}

bool compare(std::size_t histories, double rate) {
  const auto with = [](Aim aim) {
    return [aim](const History& history, std::uint64_t seed) {
      SearchSettings settings;
      settings.confidence = kWanted;
      settings.aim = aim;
      return simulate(history, settings, seed);
    };
  };
  const Sum ours = run(histories, rate, "mmquake", with(Aim::kBitsPerSecond));
  print(rate, "mmquake", ours);
  print_git(histories, rate, ours.share());
  const std::string cautious = fmt::format("`git bisect`, {} whatever the rate", kCautious);
  print(rate, cautious, run(histories, rate, cautious, git_with(kCautious)));
  print(rate, "most bits a trial", run(histories, rate, "most bits", with(Aim::kBits)));
  const double chance = std::sqrt(kWanted * (1 - kWanted) / static_cast<double>(histories));
  return ours.share() >= kWanted - 1.645 * chance;
}

}  // namespace
}  // namespace mmquake::bisect

int main(int argc, char** argv) {
  const long histories = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1000;
  std::vector<double> rates;
  for (int i = 2; i < argc; ++i) rates.push_back(std::strtod(argv[i], nullptr));
  if (rates.empty()) rates = {0.05, 0.1, 0.3, 1};
  for (const double rate : rates) {
    if (histories > 0 && rate > 0 && rate <= 1) continue;
    fmt::print(stderr, "usage: bisect_bench [HISTORIES [RATE...]], rates from above 0 to 1\n");
    return 2;
  }
  fmt::print(
      "| detection rate | search | right | commits in the answer | trials | builds | hours |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n");
  bool good = true;
  for (const double rate : rates) {
    good = mmquake::bisect::compare(static_cast<std::size_t>(histories), rate) && good;
  }
  return good ? 0 : 1;
}
