// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/campaign_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "guest/protocol/composition.h"
#include "host/plan/config_file.h"
#include "host/plan/duration.h"
#include "host/plan/nearest.h"
#include "host/plan/specs.h"
#include "host/plan/widen_text.h"

namespace mmquake {
namespace {

// As on the command line.
constexpr double kMinSeconds = 1;
constexpr double kMaxSeconds = 86400;
constexpr std::int64_t kMaxTrials = 1'000'000;
constexpr double kMinWeight = 0.001;
constexpr double kMaxWeight = 1000;
constexpr std::int64_t kMaxTrialsPerBoot = 1000;
constexpr std::string_view kAll = "all";

class Reader {
 public:
  Reader(ConfigFile& file, const Catalogue& catalogue, const WorkloadCatalogue& workloads)
      : file_(file), catalogue_(catalogue), workloads_(workloads) {}

  CampaignSpec read();

 private:
  void read_budget(ConfigTable& root);
  std::vector<std::string> read_kernels(ConfigTable& table);
  std::vector<std::string> read_machines(ConfigTable& table);
  void read_cases(ConfigTable& root);
  void add_case(ConfigTable& root, const std::string& name, std::optional<std::size_t> index);
  void read_workload(ConfigTable& table);
  static std::vector<WidenSite> read_sites(ConfigTable& table);
  static WordChoice read_choice(ConfigTable& table);
  void read_compose(ConfigTable& table);
  std::vector<std::vector<std::string>> read_bugs(ConfigTable& table, const std::string& kernel);
  // Of a table that may say less than the root.
  static std::vector<std::string> own_or(const std::vector<std::string>& own,
                                         const std::vector<std::string>& common) {
    return own.empty() ? common : own;
  }
  void add(ConfigTable& table, std::string_view key, CampaignItem item);

  ConfigFile& file_;
  const Catalogue& catalogue_;
  const WorkloadCatalogue& workloads_;
  CampaignSpec spec_;
  std::vector<std::string> kernels_, machines_;
  std::vector<WidenSite> widen_;
  std::optional<double> trial_seconds_;
  std::set<std::string> labels_;
};

void Reader::read_budget(ConfigTable& root) {
  if (root.has("budget")) {
    auto seconds = parse_duration(root.text("budget"));
    if (seconds) {
      spec_.budget_seconds = *seconds;
    } else {
      root.complain("budget", "is wrong: " + seconds.error().message);
    }
  }
  if (root.has("trials")) {
    spec_.budget_trials = static_cast<std::uint64_t>(root.integer("trials", 1, kMaxTrials));
  }
  if (!root.has("budget") && !root.has("trials")) {
    root.complain("budget", "is missing: say how long (budget = \"8h\") or trials = NUMBER");
  }
}

std::vector<std::string> Reader::read_kernels(ConfigTable& table) {
  std::vector<std::string> names = table.names("kernels");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (auto found = catalogue_.kernel(names[i]); !found) {
      table.complain_element("kernels", i, "cannot be used: " + found.error().message);
    }
  }
  return names;
}

std::vector<std::string> Reader::read_machines(ConfigTable& table) {
  std::vector<std::string> names = table.names("machines");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (auto found = catalogue_.machine(names[i]); !found) {
      table.complain_element("machines", i, "cannot be used: " + found.error().message);
    }
  }
  return names;
}

void Reader::add(ConfigTable& table, std::string_view key, CampaignItem item) {
  if (!labels_.insert(item_label(item)).second) {
    table.complain(key, fmt::format("gives '{}' twice", item_label(item)));
    return;
  }
  spec_.items.push_back(std::move(item));
}

void Reader::add_case(ConfigTable& root, const std::string& name,
                      std::optional<std::size_t> index) {
  auto found = catalogue_.find_case(name);
  Result<> usable = found ? workloads_.check_params(found->workload, found->params)
                          : Result<>(tl::make_unexpected(found.error()));
  if (!usable) {
    const std::string what = fmt::format("cannot be used: {}", usable.error().message);
    if (index) {
      root.complain_element("cases", *index, what);
    } else {
      root.complain("cases", what);
    }
    return;
  }
  for (const std::string& kernel : own_or(kernels_, {found->clean_kernel})) {
    CampaignItem item;
    item.kernel = kernel;
    item.machine = found->machine;
    item.case_name = found->name;
    item.workload = found->workload;
    item.params = found->params;
    item.widen = found->widen;
    item.seconds = trial_seconds_.value_or(found->clean_seconds);
    add(root, "cases", std::move(item));
  }
}

void Reader::read_cases(ConfigTable& root) {
  const toml::node* node = root.raw().get("cases");
  if (node == nullptr) return;
  if (!node->is_string()) {
    const std::vector<std::string> names = root.names("cases");
    for (std::size_t i = 0; i < names.size(); ++i) add_case(root, names[i], i);
    return;
  }
  if (root.text("cases") != kAll) {
    root.complain("cases", "must be \"all\" or an array of cases");
    return;
  }
  for (const std::string& name : catalogue_.case_names()) add_case(root, name, std::nullopt);
}

void Reader::read_workload(ConfigTable& table) {
  table.allow({"name", "weight", "seconds", "kernels", "machines", "params"});
  CampaignItem item;
  item.workload = table.text("name");
  const bool known = !item.workload.empty();
  if (known) {
    if (auto found = workloads_.find(item.workload); !found) {
      table.complain("name", "is wrong: " + found.error().message);
      return;
    }
  }
  if (table.has("weight")) item.weight = table.number("weight", kMinWeight, kMaxWeight);
  item.seconds = trial_seconds_.value_or(item.seconds);
  if (table.has("seconds")) item.seconds = table.number("seconds", kMinSeconds, kMaxSeconds);
  if (table.has("params")) {
    if (auto params = table.table("params")) {
      item.params = read_params(*params);
      for (const auto& [key, value] : item.params) {
        if (!known) break;
        if (auto fits = workloads_.check_params(item.workload, {{key, value}}); !fits) {
          params->complain(key, "is wrong: " + fits.error().message);
        }
      }
    }
  }
  const std::vector<std::string> kernels = own_or(read_kernels(table), kernels_);
  const std::vector<std::string> machines = own_or(read_machines(table), machines_);
  if (kernels.empty()) table.complain("kernels", "is missing here and above");
  if (machines.empty()) table.complain("machines", "is missing here and above");
  for (const std::string& kernel : kernels) {
    for (const std::string& machine : machines) {
      item.kernel = kernel;
      item.machine = machine;
      add(table, "name", item);
    }
  }
}

// One list of switches for each item: none at all, or each of them alone.
std::vector<std::vector<std::string>> Reader::read_bugs(ConfigTable& table,
                                                        const std::string& kernel) {
  if (!table.has("bugs")) return {{}};
  auto spec = catalogue_.kernel(kernel);
  if (!spec) return {};  // read_kernels() has complained
  std::vector<std::string> names;
  if (table.raw().get("bugs")->is_string()) {
    if (table.text("bugs") != "each") table.complain("bugs", "must be \"each\" or an array");
    names = spec->bugs;
  } else {
    names = table.names("bugs");
  }
  std::vector<std::vector<std::string>> out;
  for (const std::string& name : names) {
    if (std::find(spec->bugs.begin(), spec->bugs.end(), name) == spec->bugs.end()) {
      table.complain("bugs", fmt::format("kernel '{}' has no switch '{}'", kernel, name));
      continue;
    }
    out.push_back({name});
  }
  if (out.empty()) table.complain("bugs", fmt::format("leaves kernel '{}' without any", kernel));
  return out;
}

std::vector<WidenSite> Reader::read_sites(ConfigTable& table) {
  std::vector<WidenSite> out;
  const std::vector<std::string> texts = table.names("widen");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto site = parse_widen(texts[i]);
    if (!site) {
      table.complain_element("widen", i, "is wrong: " + site.error().message);
      continue;
    }
    // Whether a composition comes by there is chance.
    site->may_miss = true;
    out.push_back(*site);
  }
  return out;
}

WordChoice Reader::read_choice(ConfigTable& table) {
  WordChoice out;
  for (const auto& [slot, key] : kWordChoices) {
    if (!table.has(key)) continue;
    const std::vector<std::string> words = table.names(key);
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (find_ingredient(slot, words[i]) != nullptr) continue;
      table.complain_element(
          key, i, fmt::format("is no {}: mmquake compose --space has them", to_string(slot)));
    }
    if (slot == Slot::kBacking && words.empty()) table.complain(key, "must name one at least");
    out.emplace(slot, words);
  }
  return out;
}

void Reader::read_compose(ConfigTable& table) {
  table.allow({"label", "weight", "seconds", "kernels", "machines", "bugs", "backings", "movers",
               "disturbers", "watchers", "learn", "widen", "trials_per_boot"});
  CampaignItem item;
  item.workload = kComposeWorkload;
  item.composed = true;
  if (table.has("weight")) item.weight = table.number("weight", kMinWeight, kMaxWeight);
  item.seconds = trial_seconds_.value_or(item.seconds);
  if (table.has("seconds")) item.seconds = table.number("seconds", kMinSeconds, kMaxSeconds);
  if (table.has("trials_per_boot")) {
    item.trials_per_boot =
        static_cast<std::uint64_t>(table.integer("trials_per_boot", 1, kMaxTrialsPerBoot));
  }
  if (table.has("label")) item.label = table.text("label");
  item.only = read_choice(table);
  item.widen_choices = table.has("widen") ? read_sites(table) : widen_;
  if (table.has("learn")) spec_.composer_learns = table.boolean("learn");
  const std::vector<std::string> kernels = own_or(read_kernels(table), kernels_);
  const std::vector<std::string> machines = own_or(read_machines(table), machines_);
  if (kernels.empty()) table.complain("kernels", "is missing here and above");
  if (machines.empty()) table.complain("machines", "is missing here and above");
  for (const std::string& kernel : kernels) {
    for (const std::vector<std::string>& bugs : read_bugs(table, kernel)) {
      for (const std::string& machine : machines) {
        item.kernel = kernel;
        item.bugs = bugs;
        item.machine = machine;
        add(table, "kernels", item);
      }
    }
  }
}

CampaignSpec Reader::read() {
  ConfigTable root = file_.root();
  root.allow({"summary", "budget", "trials", "trial_seconds", "kernels", "machines", "cases",
              "widen", "workload", "compose"});
  spec_.name = file_.path().stem().string();
  spec_.summary = root.text("summary");
  read_budget(root);
  if (root.has("trial_seconds")) {
    trial_seconds_ = root.number("trial_seconds", kMinSeconds, kMaxSeconds);
  }
  kernels_ = read_kernels(root);
  machines_ = read_machines(root);
  widen_ = read_sites(root);
  if (!widen_.empty() && root.tables("compose").empty()) {
    root.complain("widen", "is for [[compose]], and there is none");
  }
  read_cases(root);
  for (ConfigTable& table : root.tables("workload")) read_workload(table);
  for (ConfigTable& table : root.tables("compose")) read_compose(table);
  if (spec_.items.empty()) {
    root.complain("cases",
                  "is missing: name cases (or \"all\"), or give a [[workload]] or a [[compose]]");
  }
  return std::move(spec_);
}

}  // namespace

namespace {

std::string words_of(const CampaignItem& item) {
  std::string out;
  for (const auto& [key, value] : item.params) out += fmt::format(" {}={}", key, value);
  for (const auto& [slot, words] : item.only) {
    // Backings stand for themselves, as they do in a composition.
    if (slot != Slot::kBacking) {
      out += words.empty() ? fmt::format(" no-{}", to_string(slot))
                           : fmt::format(" {}:", to_string(slot));
    }
    for (const std::string& word : words) out += " " + word;
  }
  return out;
}

}  // namespace

std::string item_label(const CampaignItem& item) {
  if (!item.case_name.empty()) return fmt::format("{} on {}", item.case_name, item.kernel);
  std::string out = item.label.empty() ? item.workload + words_of(item) : item.label;
  for (const std::string& bug : item.bugs) out += fmt::format(" with {}", bug);
  return out + fmt::format(" on {}, {}", item.kernel, item.machine);
}

Result<CampaignSpec> read_campaign_spec(const std::filesystem::path& file,
                                        const Catalogue& catalogue,
                                        const WorkloadCatalogue& workloads) {
  auto config = ConfigFile::read(file);
  if (!config) return tl::make_unexpected(config.error());
  CampaignSpec spec = Reader(**config, catalogue, workloads).read();
  if (auto fine = (*config)->result(); !fine) return tl::make_unexpected(fine.error());
  std::ifstream in(file, std::ios::binary);
  spec.text.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  return spec;
}

}  // namespace mmquake
