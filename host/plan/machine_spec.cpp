// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <fstream>
#include <numeric>

#include "host/plan/config_file.h"
#include "host/plan/nearest.h"
#include "host/plan/specs.h"

namespace mmquake {
namespace {

constexpr std::int64_t kMaxNodes = 64;
constexpr int kMaxCpus = 32;  // CONFIG_NR_CPUS of configs/fragments/base.config
constexpr std::int64_t kMinNodeMib = 64;
constexpr std::int64_t kMaxNodeMib = 16LL << 20;  // 16 TiB
constexpr std::int64_t kMaxDimms = 16;
constexpr std::int64_t kSectionMib = 128;  // x86_64's SECTION_SIZE_BITS: what memory arrives in
constexpr int kLocalDistance = 10;
constexpr int kRemoteDistance = 20;
constexpr int kMaxDistance = 254;  // ACPI: 255 means unreachable

// "512M", "2G", "1T" in MiB; -1 when it is none of these.
std::int64_t parse_memory(const std::string& text) {
  std::size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) {
    ++digits;
  }
  if (digits == 0 || digits > 9 || text.size() != digits + 1) return -1;
  const std::int64_t value = std::stoll(text.substr(0, digits));
  switch (text[digits]) {
    case 'M':
      return value;
    case 'G':
      return value << 10;
    case 'T':
      return value << 20;
    default:
      return -1;
  }
}

std::int64_t read_memory(ConfigTable& table, std::int64_t min_mib) {
  const std::string text = table.text("memory");
  const std::int64_t mib = parse_memory(text);
  if (mib < 0) {
    table.complain("memory",
                   fmt::format("is '{}'; it must be a number with M, G or T: \"1024M\"", text));
    return min_mib;
  }
  if (mib < min_mib || mib > kMaxNodeMib) {
    table.complain("memory", fmt::format("is {}; it must be from {}M to {}T", text, min_mib,
                                         kMaxNodeMib >> 20));
    return min_mib;
  }
  return mib;
}

std::vector<NodeSpec> read_nodes(ConfigTable& root) {
  std::vector<NodeSpec> nodes;
  for (ConfigTable& table : root.tables("node")) {
    table.allow({"cpus", "memory"});
    NodeSpec node;
    node.cpus = static_cast<int>(table.integer("cpus", 0, kMaxCpus));
    node.memory_mib = static_cast<std::uint64_t>(read_memory(table, kMinNodeMib));
    nodes.push_back(node);
  }
  const auto count = static_cast<std::int64_t>(nodes.size());
  if (count < 1 || count > kMaxNodes) {
    root.complain("node", fmt::format("tables are {}; a machine has from 1 to {} [[node]]", count,
                                      kMaxNodes));
  }
  const int cpus = std::accumulate(nodes.begin(), nodes.end(), 0,
                                   [](int sum, const NodeSpec& node) { return sum + node.cpus; });
  if (cpus < 1 || cpus > kMaxCpus) {
    root.complain("node", fmt::format("tables have {} CPUs together; it must be from 1 to {}", cpus,
                                      kMaxCpus));
  }
  return nodes;
}

std::vector<DimmSpec> read_dimms(ConfigTable& root, std::size_t nodes) {
  std::vector<DimmSpec> dimms;
  const std::int64_t last_node = nodes == 0 ? 0 : static_cast<std::int64_t>(nodes) - 1;
  for (ConfigTable& table : root.tables("dimm")) {
    table.allow({"node", "memory"});
    DimmSpec dimm;
    dimm.node = static_cast<int>(table.integer("node", 0, last_node));
    const std::int64_t mib = read_memory(table, kSectionMib);
    if (mib % kSectionMib != 0) {
      table.complain("memory",
                     fmt::format("is {}M; a DIMM has a multiple of {}M", mib, kSectionMib));
    }
    dimm.memory_mib = static_cast<std::uint64_t>(mib);
    dimms.push_back(dimm);
  }
  if (dimms.size() > static_cast<std::size_t>(kMaxDimms)) {
    root.complain("dimm", fmt::format("tables are {}; a machine has at most {} [[dimm]]",
                                      dimms.size(), kMaxDimms));
  }
  return dimms;
}

std::vector<std::vector<int>> default_distances(std::size_t nodes) {
  std::vector<std::vector<int>> out(nodes, std::vector<int>(nodes, kRemoteDistance));
  for (std::size_t i = 0; i < nodes; ++i) out[i][i] = kLocalDistance;
  return out;
}

int read_distance(ConfigTable& root, const toml::node& node, std::size_t from, std::size_t to) {
  const auto* value = node.as_integer();
  if (value == nullptr) {
    root.complain_at("distances", node,
                     fmt::format("'distances[{}][{}]' must be an integer", from, to));
    return kLocalDistance;
  }
  if (from == to && value->get() != kLocalDistance) {
    root.complain_at("distances", node,
                     fmt::format("'distances[{}][{}]' is {}; a node is {} from itself", from, to,
                                 value->get(), kLocalDistance));
  }
  // Linux drops the whole table (slit_valid) for a remote node as near as the local one.
  if (from != to && (value->get() <= kLocalDistance || value->get() > kMaxDistance)) {
    root.complain_at("distances", node,
                     fmt::format("'distances[{}][{}]' is {}; it must be from {} to {}", from, to,
                                 value->get(), kLocalDistance + 1, kMaxDistance));
  }
  return static_cast<int>(value->get());
}

std::vector<std::vector<int>> read_distances(ConfigTable& root, std::size_t nodes) {
  const toml::node* node = root.raw().get("distances");
  if (node == nullptr || nodes == 0) return default_distances(nodes);
  const toml::array* rows = node->as_array();
  if (rows == nullptr || rows->size() != nodes) {
    root.complain("distances", fmt::format("must be an array of {} rows, one a node", nodes));
    return {};
  }
  std::vector<std::vector<int>> out;
  for (std::size_t from = 0; from < nodes; ++from) {
    const toml::node& row_node = *rows->get(from);
    const toml::array* row = row_node.as_array();
    if (row == nullptr || row->size() != nodes) {
      root.complain_at(
          "distances", row_node,
          fmt::format("'distances[{}]' must be an array of {} numbers, one a node", from, nodes));
      return {};
    }
    out.emplace_back();
    for (std::size_t to = 0; to < nodes; ++to) {
      out.back().push_back(read_distance(root, *row->get(to), from, to));
    }
  }
  return out;
}

MachineDevices read_devices(ConfigTable& root) {
  MachineDevices devices;
  if (!root.has("devices")) return devices;
  devices = {false, false, false};
  const std::vector<std::string> names = root.names("devices");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "virtio-serial") {
      devices.virtio_serial = true;
    } else if (names[i] == "serial") {
      devices.serial = true;
    } else if (names[i] == "pvpanic") {
      devices.pvpanic = true;
    } else {
      root.complain_element(
          "devices", i,
          fmt::format("holds the unknown device '{}'{}", names[i],
                      suggestion(names[i], {"virtio-serial", "serial", "pvpanic"})));
    }
  }
  if (!devices.virtio_serial && !devices.serial) {
    root.complain("devices",
                  "must hold 'virtio-serial', 'serial' or both: the guest's records come over one "
                  "of them");
  }
  return devices;
}

}  // namespace

int MachineSpec::cpus() const {
  return std::accumulate(nodes.begin(), nodes.end(), 0,
                         [](int sum, const NodeSpec& node) { return sum + node.cpus; });
}

std::uint64_t MachineSpec::memory_mib() const {
  std::uint64_t sum = 0;
  for (const NodeSpec& node : nodes) sum += node.memory_mib;
  for (const DimmSpec& dimm : dimms) sum += dimm.memory_mib;
  return sum;
}

std::vector<std::string> read_boot_args(ConfigTable& table) {
  std::vector<std::string> out = table.texts("boot_args");
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].find_first_of(" \"") == std::string::npos) continue;
    table.complain_element(
        "boot_args", i,
        fmt::format("holds '{}'; one entry is one argument, without space and quotes", out[i]));
  }
  return out;
}

Result<MachineSpec> read_machine_spec(const std::filesystem::path& file) {
  auto config = ConfigFile::read(file);
  if (!config) return tl::make_unexpected(config.error());
  ConfigTable table = (*config)->root();
  table.allow({"summary", "boot_args", "devices", "dimm", "distances", "node"});
  MachineSpec spec;
  spec.name = file.stem().string();
  spec.summary = table.text("summary");
  spec.nodes = read_nodes(table);
  spec.dimms = read_dimms(table, spec.nodes.size());
  spec.distances = read_distances(table, spec.nodes.size());
  spec.devices = read_devices(table);
  spec.boot_args = read_boot_args(table);
  if (auto fine = (*config)->result(); !fine) return tl::make_unexpected(fine.error());
  return spec;
}

std::string machine_text(const MachineSpec& machine) {
  const MachineDevices& devices = machine.devices;
  std::vector<std::string> names;
  for (const auto& [is_there, name] :
       {std::pair(devices.virtio_serial, "\"virtio-serial\""),
        std::pair(devices.serial, "\"serial\""), std::pair(devices.pvpanic, "\"pvpanic\"")}) {
    if (is_there) names.emplace_back(name);
  }
  std::vector<std::string> args;
  for (const std::string& arg : machine.boot_args) args.push_back(fmt::format("\"{}\"", arg));
  std::vector<std::string> rows;
  for (const auto& row : machine.distances)
    rows.push_back(fmt::format("[{}]", fmt::join(row, ", ")));
  std::string out = fmt::format(
      "# SPDX-License-Identifier: GPL-2.0-or-later\nsummary = \"{}\"\ndistances = [{}]\n"
      "boot_args = [{}]\ndevices = [{}]\n",
      machine.summary, fmt::join(rows, ", "), fmt::join(args, ", "), fmt::join(names, ", "));
  for (const NodeSpec& node : machine.nodes) {
    out += fmt::format("\n[[node]]\ncpus = {}\nmemory = \"{}M\"\n", node.cpus, node.memory_mib);
  }
  for (const DimmSpec& dimm : machine.dimms) {
    out += fmt::format("\n[[dimm]]\nnode = {}\nmemory = \"{}M\"\n", dimm.node, dimm.memory_mib);
  }
  return out;
}

std::uint64_t host_available_mib() {
  std::ifstream meminfo("/proc/meminfo");
  std::uint64_t kib = 0;
  for (std::string word; meminfo >> word;) {
    if (word == "MemAvailable:" && meminfo >> kib) return kib / 1024;
  }
  return 0;
}

Result<> fits_host(const MachineSpec& machine, std::uint64_t available_mib) {
  const std::uint64_t room = available_mib > kHostReserveMib ? available_mib - kHostReserveMib : 0;
  if (machine.memory_mib() <= room) return {};
  return usage(fmt::format(
      "machine '{}' has {} MiB of memory; on this host it must be at most {} MiB ({} MiB are "
      "available, {} MiB stay with the host): take a smaller machine or free memory",
      printable(machine.name), machine.memory_mib(), room, available_mib, kHostReserveMib));
}

}  // namespace mmquake
