// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a soak costs beside its VMs: a campaign of many trials on a machine that answers at once, so
// that all that is left is schedule, composer, directories and store; and then its report in every
// format.
//
//   soak_bench [TRIALS]            default 10000
//
// Exit code 0: within the limits, 1: not, 3: broken.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>

#include "host/campaign/soak.h"
#include "host/campaign/soak_fakes.h"
#include "host/report/campaign_report.h"
#include "host/report/exchange_formats.h"
#include "host/report/html_report.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr double kMaxReportSeconds = 5;
constexpr double kMaxStorePercent = 1;
constexpr double kShortestTrial = 10;  // host seconds of a real one: a boot alone takes three

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One in fifty finds one of twenty bugs.
Result<TrialResult> synthetic(std::uint64_t number) {
  if (number % 50 != 0) return passed_trial();
  return found_trial(fmt::format("hang in function_{}", number / 50 % 20));
}

struct Times {
  double soak = 0, load = 0, report = 0;
  std::size_t trials = 0;
};

Result<Times> measure(const fs::path& root, std::uint64_t trials) {
  Times out;
  auto store = Store::open(root / "store.sqlite");
  if (!store) return tl::make_unexpected(store.error());
  StoredCampaign campaign;
  campaign.name = "synthetic";
  campaign.seed = 7;
  campaign.budget_trials = trials;
  campaign.directory = root / "trials";
  auto id = store->add_campaign(campaign);
  if (!id) return tl::make_unexpected(id.error());
  campaign.id = *id;
  std::vector<CampaignItem> items;
  for (const char* kernel : {"clean", "clean-6.12", "assert"}) {
    items.push_back(fake_item("a", kernel));
    items.push_back(fake_item("", kernel));
    items.back().composed = true;
  }
  FakeWorld world([](const auto&, std::uint64_t number, const auto&) { return synthetic(number); });
  FakeListener listener;
  auto start = std::chrono::steady_clock::now();
  auto ran = Soak(campaign, items, *store, world, listener, quick_settings()).run();
  if (!ran) return tl::make_unexpected(ran.error());
  out.soak = seconds_since(start);
  start = std::chrono::steady_clock::now();
  auto stored = store->trials(campaign.id);
  if (!stored) return tl::make_unexpected(stored.error());
  out.load = seconds_since(start);
  out.trials = stored->size();
  const CampaignReport report = summarise(campaign, std::move(*stored), {});
  if (auto written = write_html(report, root / "html"); !written) {
    return tl::make_unexpected(written.error());
  }
  const std::size_t bytes =
      campaign_junit(report).size() + campaign_kcidb(report, "mmquake").size();
  if (bytes == 0) return broken("nothing was reported");
  out.report = seconds_since(start);
  return out;
}

int run(std::uint64_t trials) {
  std::string name = fs::temp_directory_path() / "soak-bench-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) {
    fmt::print(stderr, "soak_bench: make a folder: {}\n", std::strerror(errno));
    return 3;
  }
  const auto times = measure(name, trials);
  std::error_code ignored;  // scratch
  fs::remove_all(name, ignored);
  if (!times) {
    fmt::print(stderr, "soak_bench: {}\n", times.error().message);
    return 3;
  }
  const double each = times->soak / static_cast<double>(times->trials);
  const double percent = each / kShortestTrial * 100;
  fmt::print("{} trials: {:.1f} s, {:.2f} ms each: {:.3f} % of a trial of {} s (limit {} %)\n",
             times->trials, times->soak, each * 1000, percent, kShortestTrial, kMaxStorePercent);
  fmt::print("report: {:.2f} s, {:.2f} s of it to read the store (limit {} s)\n", times->report,
             times->load, kMaxReportSeconds);
  return percent < kMaxStorePercent && times->report < kMaxReportSeconds ? 0 : 1;
}

}  // namespace
}  // namespace mmquake

int main(int argc, char** argv) {
  std::uint64_t trials = 10000;
  if (argc > 2 ||
      (argc == 2 &&
       std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), trials).ec != std::errc())) {
    fmt::print(stderr, "usage: soak_bench [TRIALS]\n");
    return 2;
  }
  return mmquake::run(trials);
}
