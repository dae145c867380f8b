// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <vector>

namespace mmquake::bisect {

// What a step costs in seconds, learned as they are taken. The first guesses are those of a small
// kernel under TCG on two cores; they hold until something was measured.
class Prices {
 public:
  // From nothing.
  void built_cold(double seconds);
  // Where a kernel was built last from which `commits` commits differ.
  void built_after(double seconds, std::size_t commits);
  void passed(double seconds) { passed_.add(seconds); }
  void found(double seconds) { found_.add(seconds); }

  double cold() const { return cold_.mean(); }
  // What a build takes by how many commits differ from what was built last. It grows with their
  // logarithm, up to a cold one: the more of them, the fewer files each adds to those that are to
  // be compiled again.
  struct Line {
    double start = 0, slope = 0, most = 0;
    double at(std::size_t commits) const;
  };
  Line line() const;
  double pass() const { return passed_.mean(); }
  double find() const { return found_.count() > 0 ? found_.mean() : passed_.mean() / 2; }

 private:
  class Mean {
   public:
    explicit Mean(double guess) : sum_(guess) {}
    void add(double value) {
      // The first measurement says more than a guess that was made without this host.
      if (count_ == 0) sum_ = value;
      sum_ += value;
      ++count_;
    }
    double mean() const { return sum_ / static_cast<double>(count_ + 1); }
    std::size_t count() const { return count_; }

   private:
    double sum_;
    std::size_t count_ = 0;
  };
  struct Build {
    double log_commits = 0;
    double seconds = 0;
  };

  Mean cold_{240};
  Mean passed_{30};
  Mean found_{15};
  std::vector<Build> after_;
};

}  // namespace mmquake::bisect
