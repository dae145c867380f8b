// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/memory_tiers.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>
#include <system_error>

#include "guest/memory/text_file.h"
#include "guest/runner/requirements.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDevicePrefix = "dax";
constexpr std::string_view kTierPrefix = "memory_tier";

// The names in a folder that begin so; none if there is no such folder.
std::vector<std::string> names_in(const fs::path& folder, std::string_view prefix) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) {
      out.push_back(std::move(name));
    }
  }
  return out;
}

}  // namespace

Result<int> give_dax_memory_to_kernel(const std::string& sysfs) {
  const fs::path bus = sysfs + "/bus/dax";
  const fs::path to = bus / "drivers/kmem";
  std::error_code error;
  if (!fs::exists(to, error)) {
    return 0;  // who lacks slow memory then, says so
  }
  int given = 0;
  for (const std::string& device : names_in(bus / "devices", kDevicePrefix)) {
    const fs::path driver = fs::read_symlink(bus / "devices" / device / "driver", error).filename();
    if (driver == to.filename()) {
      continue;
    }
    std::vector<fs::path> files{to / "new_id"};
    if (!driver.empty()) {
      files.insert(files.begin(), bus / "drivers" / driver / "unbind");
    }
    for (const fs::path& file : files) {
      if (Result<> written = write_text(file, device); !written) {
        return context("make ordinary memory of " + device, written.error());
      }
    }
    ++given;
  }
  return given;
}

std::vector<int> slow_nodes(const std::string& sysfs) {
  // The larger the number, the slower.
  std::map<std::uint64_t, std::vector<int>> tiers;
  const fs::path folder = sysfs + "/devices/virtual/memory_tiering";
  for (const std::string& name : names_in(folder, kTierPrefix)) {
    const auto number = to_number(std::string_view(name).substr(kTierPrefix.size()));
    const Result<std::string> list = read_text(folder / name / "nodelist");
    std::vector<int> nodes = number && list ? parse_cpu_list(*list) : std::vector<int>();
    if (!nodes.empty()) {
      tiers[*number] = std::move(nodes);
    }
  }
  std::vector<int> out;
  for (auto tier = tiers.begin(); tier != tiers.end(); ++tier) {
    if (tier != tiers.begin()) {
      out.insert(out.end(), tier->second.begin(), tier->second.end());
    }
  }
  return out;
}

std::uint64_t demotions_in(const KernelCounters& vmstat) {
  std::uint64_t sum = 0;
  for (const char* who : {"kswapd", "direct", "khugepaged", "proactive"}) {
    sum += value_of(vmstat, fmt::format("pgdemote_{}", who));
  }
  return sum;
}

DemotionSwitch::~DemotionSwitch() {
  if (!file_.empty()) {
    (void)write_text(file_, "0");
  }
}

Result<> DemotionSwitch::turn_on(const std::string& sysfs) {
  const std::string file = sysfs + "/kernel/mm/numa/demotion_enabled";
  if (Result<> written = write_text(file, "1"); !written) {
    return skipped(written.error().message + ": the kernel needs CONFIG_MIGRATION and CONFIG_NUMA");
  }
  file_ = file;
  return {};
}

}  // namespace mmquake
