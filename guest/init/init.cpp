// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/init/init.h"

#include <unistd.h>

#include <ctime>
#include <optional>

#include "guest/init/channel.h"
#include "guest/init/system.h"
#include "guest/race/strobe.h"
#include "guest/runner/memory_tiers.h"
#include "guest/runner/requirements.h"
#include "guest/runner/selftest_hook.h"
#include "guest/runner/supervisor.h"
#include "guest/widener/widener_control.h"

namespace mmquake {
namespace {

using std::chrono::milliseconds;

constexpr const char* kModule = "/mmquake_widener.ko";
constexpr const char* kModules = "/modules";
constexpr milliseconds kHelloInterval{200};
constexpr milliseconds kDrainTime{10000};

// The kernel module, if it could be loaded.
class ModuleWidener final : public Widener {
 public:
  ModuleWidener() : loaded_(load_module(kModule)) {}
  Result<> configure(const std::vector<WidenSite>& sites, std::uint64_t seed) override {
    return loaded_ ? control_.configure(sites, seed) : loaded_;
  }
  Result<std::vector<WidenerCount>> read() override { return control_.read(); }

 private:
  Result<> loaded_;
  WidenerControl control_;
};

// For a kernel that no widener module was built for. It knows no sites: wherever a role is when
// its CPU is taken away, it is held up.
class StrobeWidener final : public Widener {
 public:
  Result<> configure(const std::vector<WidenSite>& sites, std::uint64_t seed) override {
    strobe_.reset();
    if (sites.empty()) {
      return {};
    }
    StrobePlan plan;
    plan.cpus = read_machine_facts().cpus;
    plan.seed = seed;
    Result<std::unique_ptr<Strobe>> strobe = Strobe::start(plan);
    if (!strobe) {
      return tl::make_unexpected(strobe.error());
    }
    strobe_ = std::move(*strobe);
    return {};
  }
  Result<std::vector<WidenerCount>> read() override {
    const std::uint64_t flashes = strobe_ ? strobe_->flashes() : 0;
    return std::vector<WidenerCount>{{"strobe", flashes, flashes, 0}};
  }

 private:
  std::unique_ptr<Strobe> strobe_;
};

std::unique_ptr<Widener> make_widener() {
  if (access(kModule, F_OK) == 0) {
    return std::make_unique<ModuleWidener>();
  }
  return std::make_unique<StrobeWidener>();
}

double uptime() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// A plan may come twice: the host answers each hello.
bool is_news(const GuestPlan& plan, std::uint64_t turn) {
  return plan.turn == 0 || plan.turn > turn;
}

// Without a bound: a host that never answers ends the machine. `turn`: of the plan before.
GuestPlan wait_for_plan(Channel& channel, const Hello& hello, std::uint64_t turn) {
  for (;;) {
    if (channel.drain(milliseconds(0))) {
      channel.send(hello);  // one at a time: a host that comes late needs no pile of them
    }
    channel.pump();
    const auto next = std::chrono::steady_clock::now() + kHelloInterval;
    while (std::chrono::steady_clock::now() < next) {
      for (Record& record : channel.received()) {
        if (auto* plan = std::get_if<GuestPlan>(&record); plan != nullptr && is_news(*plan, turn)) {
          return std::move(*plan);
        }
      }
      channel.wait(std::chrono::ceil<milliseconds>(next - std::chrono::steady_clock::now()));
    }
  }
}

// One plan. True: this machine is as it was, and may run another.
bool run_plan(const GuestPlan& plan, const Registry& registry, Channel& channel,
              std::unique_ptr<Widener>& widener, const std::vector<std::string>& refused) {
  say("plan: workload " + plan.workload + ", seed " + std::to_string(plan.seed));
  set_detectors(plan.slowdown);
  if (!plan.widen.empty() && widener == nullptr) {
    widener = make_widener();
  }
  SuperviseOptions options;
  options.widener = plan.widen.empty() ? nullptr : widener.get();
  options.reap_orphans = true;
  options.machine_goes_on = plan.turn > 0;
  options.refused_modules = refused;
  const Summary summary = supervise(plan, registry, channel, options);
  say("summary: " + std::string(to_string(summary.outcome)) +
      (summary.reason.empty() ? "" : ": " + summary.reason.substr(0, 200)));
  if (!channel.drain(kDrainTime)) {
    say("nobody read the last records");
  }
  if (plan.turn == 0 || summary.outcome != Outcome::kPassed) {
    return false;
  }
  if (!plan.widen.empty()) {
    if (Result<> cleared = widener->configure({}, plan.seed); !cleared) {
      say(cleared.error().message);
      return false;
    }
  }
  return settle_machine(plan.slowdown);
}

}  // namespace

void run_init(const Registry& registry) {
  const double started = uptime();
  mount_file_systems();
  set_kernel_defaults();
  const std::vector<std::string> refused = load_modules(kModules);
  if (Result<int> given = give_dax_memory_to_kernel(); !given) {
    say(given.error().message);
  }
  Result<Channel> channel = Channel::open();
  if (!channel) {
    say(channel.error().message);
    power_off();
  }
  say("records go to " + channel->name());
  selftest::set_raw_channel(channel->raw_fd());
  const Hello hello = describe_system(started);
  std::unique_ptr<Widener> widener;
  GuestPlan plan = wait_for_plan(*channel, hello, 0);
  while (run_plan(plan, registry, *channel, widener, refused)) {
    plan = wait_for_plan(*channel, hello, plan.turn);
  }
  power_off();
}

}  // namespace mmquake
