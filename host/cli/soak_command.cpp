// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake soak: a campaign from start to budget, or from where it was left.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/cli/soak_world.h"
#include "host/cli/status_line.h"
#include "host/console/console.h"
#include "host/machine/file_descriptor.h"
#include "host/plan/directories.h"
#include "host/plan/duration.h"
#include "host/report/soak_text.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSpecName = "campaign.toml";
constexpr const char* kSummaryName = "summary.txt";
constexpr const char* kSummaryJsonName = "summary.json";

// A line for each trial that ends, a status line between them.
class Speaker final : public SoakListener {
 public:
  explicit Speaker(std::FILE* out) : out_(out), colour_(wants_colour(out)), status_(out) {}

  void on_status(const SoakStatus& status) override { status_.show(soak_status_line(status)); }
  void on_trial(const StoredTrial& trial) override {
    std::string text = soak_trial_line(trial, colour_);
    if (trial.verdict == Outcome::kFound || trial.verdict == Outcome::kBroken) {
      text += fmt::format("\n           files: {}\n           again: {}",
                          escape_for_terminal(trial.directory), trial.repeat);
    }
    print(text);
  }
  void on_note(const std::string& text) override { print("  " + escape_for_terminal(text)); }

 private:
  void print(const std::string& text) {
    status_.clear();
    fmt::print(out_, "{}\n", text);
    std::fflush(out_);
  }

  std::FILE* out_;
  bool colour_;
  StatusLine status_;
};

// A campaign that this process alone runs.
struct Held {
  StoredCampaign campaign;
  FileDescriptor lock;
};

// Held until the process ends, however it ends. Not inherited by what it starts.
Result<FileDescriptor> lock_campaign(const StoredCampaign& campaign) {
  std::error_code error;
  fs::create_directories(campaign.directory, error);
  if (error) {
    return broken("cannot make '" + campaign.directory + "': " + error.message());
  }
  const fs::path name = fs::path(campaign.directory) / "lock";
  FileDescriptor lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock) return broken("cannot write '" + name.string() + "': is the disk full?");
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return usage(fmt::format("campaign {} runs already, in another process", campaign.id));
  }
  return lock;
}

// The file is the copy that lies in the campaign's directory: it cannot change under it.
Result<CampaignSpec> stored_spec(const Session& session, const StoredCampaign& campaign) {
  const fs::path file = fs::path(campaign.directory) / kSpecName;
  if (auto written = write_file(file, campaign.spec); !written) {
    return tl::make_unexpected(written.error());
  }
  return read_campaign_spec(file, session.catalogue(), session.workloads());
}

Result<> check_budget(const CampaignSpec& spec) {
  const double seconds = spec.budget_seconds;
  for (const CampaignItem& item : spec.items) {
    if (seconds <= 0 || item.seconds <= seconds) continue;
    return usage(
        fmt::format("{} is shorter than one trial of '{}', which takes {:.0f} s of guest "
                    "time; give --for more",
                    duration_text(seconds), item_label(item), item.seconds));
  }
  return {};
}

// A new campaign, as far as it can be mistaken.
Result<CampaignSpec> new_spec(const Session& session, const SoakOptions& options) {
  auto file = session.catalogue().campaign_file(options.campaign);
  if (!file) return tl::make_unexpected(file.error());
  auto spec = read_campaign_spec(*file, session.catalogue(), session.workloads());
  if (!spec) return spec;
  if (options.seconds > 0 || options.trials > 0) {
    spec->budget_seconds = options.seconds;
    spec->budget_trials = options.trials;
  }
  if (auto fits = check_budget(*spec); !fits) return tl::make_unexpected(fits.error());
  return spec;
}

Result<Held> begin(Session& session, Store& store, const CampaignSpec& spec, std::uint64_t seed) {
  Held held;
  held.campaign.name = spec.name;
  held.campaign.spec = spec.text;
  held.campaign.seed = seed != 0 ? seed : trial_seed(std::random_device{}(), 1);
  held.campaign.budget_seconds = spec.budget_seconds;
  held.campaign.budget_trials = spec.budget_trials;
  held.campaign.started_at =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  auto directory = session.directory_in(runs_root(session.options()), "soak-" + held.campaign.name);
  if (!directory) return tl::make_unexpected(directory.error());
  held.campaign.directory = directory->string();
  auto lock = lock_campaign(held.campaign);
  if (!lock) return tl::make_unexpected(lock.error());
  held.lock = std::move(*lock);
  auto id = store.add_campaign(held.campaign);
  if (!id) return tl::make_unexpected(id.error());
  held.campaign.id = *id;
  return held;
}

// The one that was asked for: by number, or the newest (of a name).
Result<StoredCampaign> chosen(const Store& store, const SoakOptions& options, bool open_only) {
  if (options.id > 0) return store.campaign(options.id);
  auto all = store.campaigns();
  if (!all) return tl::make_unexpected(all.error());
  const std::string name = fs::path(options.campaign).stem().string();
  for (auto at = all->rbegin(); at != all->rend(); ++at) {
    if (!name.empty() && at->name != name) continue;
    if (!open_only || at->ended_at == 0) return *at;
  }
  return usage(fmt::format("{} has no campaign{}{}; start one with: mmquake soak nightly",
                           store.path().string(), name.empty() ? "" : " '" + printable(name) + "'",
                           open_only ? " that has not ended" : ""));
}

Result<Held> go_on(Store& store, const SoakOptions& options) {
  auto campaign = chosen(store, options, options.id == 0);
  if (!campaign) return tl::make_unexpected(campaign.error());
  Held held;
  held.campaign = std::move(*campaign);
  auto lock = lock_campaign(held.campaign);
  if (!lock) return tl::make_unexpected(lock.error());
  held.lock = std::move(*lock);
  // As it is now that nobody else writes.
  auto again = store.campaign(held.campaign.id);
  if (!again) return tl::make_unexpected(again.error());
  held.campaign = std::move(*again);
  if (options.seconds > 0 || options.trials > 0) {
    held.campaign.budget_seconds = options.seconds;
    held.campaign.budget_trials = options.trials;
  }
  const StoredCampaign& now = held.campaign;
  if (auto opened = store.reopen(now.id, now.budget_seconds, now.budget_trials); !opened) {
    return tl::make_unexpected(opened.error());
  }
  return held;
}

// Names and kernels first: nobody wants to learn of a mistake after half an hour. A kernel that
// cannot be had now is no reason to do without the others: its trials break, and it is retried.
Result<> prepare_all(const CampaignSpec& spec, SessionWorld& world, std::FILE* out) {
  std::set<std::tuple<std::string, std::string, std::vector<std::string>>> seen;
  for (const CampaignItem& item : spec.items) {
    if (interrupted()) return {};
    if (!seen.emplace(item.kernel, item.machine, item.bugs).second) continue;
    auto plan = world.prepare(item, 1);
    if (plan) continue;
    if (plan.error().kind == ErrorKind::kUsage) return tl::make_unexpected(plan.error());
    fmt::print(out, "  kernel {} on {}: {}\n", item.kernel, item.machine,
               escape_for_terminal(plan.error().message));
  }
  return {};
}

int jobs_of(const Session& session, const CampaignSpec& spec, const SoakOptions& options) {
  if (options.jobs > 0) return options.jobs;
  std::vector<MachineSpec> machines;
  for (const CampaignItem& item : spec.items) {
    if (auto machine = session.catalogue().machine(item.machine)) machines.push_back(*machine);
  }
  return default_jobs(std::thread::hardware_concurrency(), host_available_mib(), machines);
}

// A command about campaign `id`, where its store is.
std::string command_text(const CommonOptions& common, std::string_view command, std::int64_t id) {
  std::string out = fmt::format("{} {} {}", shell_word(common.program), command, id);
  if (!common.out.empty()) out += " --out " + shell_word(common.out.string());
  return out;
}

std::string resume_command(const CommonOptions& common, std::int64_t id) {
  return command_text(common, "soak --resume", id) + vm_options_text(common);
}

// Prints the summary, and writes it into the campaign's directory when `write`.
Result<int> tell(const CommonOptions& common, const Store& store, std::int64_t id, bool write) {
  auto campaign = store.campaign(id);
  if (!campaign) return tl::make_unexpected(campaign.error());
  auto trials = store.trials(id);
  if (!trials) return tl::make_unexpected(trials.error());
  const std::string text = soak_summary(*campaign, *trials);
  const std::string json =
      soak_json(*campaign, *trials).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  std::FILE* out = common.json ? stderr : stdout;
  fmt::print(out, "{}", text);
  if (common.json) fmt::print("{}\n", json);
  if (write) {
    const fs::path directory = campaign->directory;
    if (auto done = write_file(directory / kSummaryName, text); !done) {
      return tl::make_unexpected(done.error());
    }
    if (auto done = write_file(directory / kSummaryJsonName, json + "\n"); !done) {
      return tl::make_unexpected(done.error());
    }
    fmt::print(out, "\nsummary: {}\nreport:  {}\n", (directory / kSummaryName).string(),
               command_text(common, "report", id));
  }
  return exit_code_of(soak_outcome(*trials));
}

// `held` is a campaign that begins or goes on.
Result<int> run_soak(Session& session, Store& store, const Held& held, const SoakOptions& options) {
  const CommonOptions& common = session.options();
  std::FILE* out = session.human();
  SessionWorld world(session, host_available_mib());
  const StoredCampaign& campaign = held.campaign;
  auto spec = stored_spec(session, campaign);
  if (!spec) return tl::make_unexpected(spec.error());
  SoakSettings settings;
  settings.jobs = jobs_of(session, *spec, options);
  settings.composer_learns = spec->composer_learns;
  fmt::print(out, "campaign {} {}: {} kinds of trials, {} at a time, seed {}\n  {}\n", campaign.id,
             campaign.name, spec->items.size(), settings.jobs, campaign.seed, campaign.directory);
  std::fflush(out);
  Result<SoakEnd> end = SoakEnd::kInterrupted;
  if (auto prepared = prepare_all(*spec, world, out); !prepared) {
    return tl::make_unexpected(prepared.error());
  }
  {
    Speaker speaker(out);
    Soak soak(campaign, spec->items, store, world, speaker, settings);
    end = soak.run();
  }
  const std::string again = resume_command(common, campaign.id);
  if (!end) return context(fmt::format("the soak stopped (go on with: {})", again), end.error());
  fmt::print(out, "\n");
  auto code = tell(common, store, campaign.id, true);
  if (*end == SoakEnd::kInterrupted) {
    fmt::print(out, "interrupted; go on with: {}\n", again);
    return interrupted_exit_code();
  }
  return code;
}

Result<int> check_store(const CommonOptions& common) {
  auto store = open_old_store(common);
  if (!store) return tl::make_unexpected(store.error());
  auto faults = store->faults();
  if (!faults) return tl::make_unexpected(faults.error());
  for (const std::string& fault : *faults) fmt::print("{}\n", escape_for_terminal(fault));
  if (common.json) fmt::print("{}\n", nlohmann::json(*faults).dump());
  if (faults->empty() && !common.json) fmt::print("{}: no fault\n", store->path().string());
  return faults->empty() ? kExitExpected : kExitBroken;
}

Result<int> soak_or_error(const CommonOptions& common, const SoakOptions& options) {
  if (options.check) return check_store(common);
  if (options.summary) {
    auto store = open_old_store(common);
    if (!store) return tl::make_unexpected(store.error());
    auto campaign = chosen(*store, options, false);
    if (!campaign) return tl::make_unexpected(campaign.error());
    return tell(common, *store, campaign->id, false);
  }
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  if (options.resume) {
    auto store = open_old_store(common);
    if (!store) return tl::make_unexpected(store.error());
    auto held = go_on(*store, options);
    if (!held) return tl::make_unexpected(held.error());
    return run_soak(**session, *store, *held, options);
  }
  // Before anything is written: a mistyped name leaves nothing behind.
  auto spec = new_spec(**session, options);
  if (!spec) return tl::make_unexpected(spec.error());
  auto store = Store::open(store_path(common));
  if (!store) return tl::make_unexpected(store.error());
  auto held = begin(**session, *store, *spec, options.seed);
  if (!held) return tl::make_unexpected(held.error());
  return run_soak(**session, *store, *held, options);
}

}  // namespace

int soak(const CommonOptions& common, const SoakOptions& options) {
  auto code = soak_or_error(common, options);
  if (code) return *code;
  return interrupted() ? interrupted_exit_code() : fail(code.error());
}

}  // namespace mmquake
