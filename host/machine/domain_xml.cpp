// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/domain_xml.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <pugixml.hpp>
#include <sstream>

namespace mmquake {
namespace {

// x86's COMMAND_LINE_SIZE, with its NUL. The kernel cuts what is longer without a word.
constexpr std::size_t kMaxCommandLine = 2047;
constexpr const char* kQemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0";
// Slots of the root bus that libvirt's own choices (1, 0x1f) leave free.
constexpr const char* kVirtioSlot = "0x10";
constexpr const char* kPanicSlot = "0x11";

pugi::xml_node text_child(pugi::xml_node parent, const char* name, const std::string& text) {
  pugi::xml_node node = parent.append_child(name);
  node.text().set(text.c_str());
  return node;
}

void attribute(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(value.c_str());
}

int total_cpus(const MachineSpec& machine) {
  int sum = 0;
  for (const NodeSpec& node : machine.nodes) sum += node.cpus;
  return sum;
}

// One socket a node: CPUs of one package on two nodes make the guest warn in topology_sane().
// With nodes of different sizes only one socket a CPU keeps the packages within their nodes.
int sockets(const MachineSpec& machine) {
  int with_cpus = 0;
  int first = 0;
  for (const NodeSpec& node : machine.nodes) {
    if (node.cpus == 0) continue;
    if (first == 0) first = node.cpus;
    if (node.cpus != first) return total_cpus(machine);
    ++with_cpus;
  }
  return with_cpus;
}

void add_numa(pugi::xml_node cpu, const MachineSpec& machine) {
  pugi::xml_node numa = cpu.append_child("numa");
  int next_cpu = 0;
  for (std::size_t id = 0; id < machine.nodes.size(); ++id) {
    const NodeSpec& node = machine.nodes[id];
    pugi::xml_node cell = numa.append_child("cell");
    attribute(cell, "id", std::to_string(id));
    if (node.cpus > 0) {
      attribute(cell, "cpus", fmt::format("{}-{}", next_cpu, next_cpu + node.cpus - 1));
      next_cpu += node.cpus;
    }
    attribute(cell, "memory", std::to_string(node.memory_mib));
    attribute(cell, "unit", "MiB");
    if (machine.distances.empty()) continue;
    pugi::xml_node distances = cell.append_child("distances");
    for (std::size_t to = 0; to < machine.nodes.size(); ++to) {
      pugi::xml_node sibling = distances.append_child("sibling");
      attribute(sibling, "id", std::to_string(to));
      attribute(sibling, "value", std::to_string(machine.distances[id][to]));
    }
  }
}

void add_cpu(pugi::xml_node domain, const BootRequest& request) {
  const MachineSpec& machine = request.machine;
  pugi::xml_node cpu = domain.append_child("cpu");
  if (request.accelerator == Accelerator::kKvm) {
    attribute(cpu, "mode", "host-passthrough");
    attribute(cpu, "migratable", "off");
  } else {
    attribute(cpu, "mode", "maximum");
  }
  attribute(cpu, "check", "none");
  pugi::xml_node topology = cpu.append_child("topology");
  const int packages = sockets(machine);
  attribute(topology, "sockets", std::to_string(packages));
  attribute(topology, "dies", "1");
  attribute(topology, "cores", std::to_string(total_cpus(machine) / packages));
  attribute(topology, "threads", "1");
  add_numa(cpu, machine);
}

void add_boot(pugi::xml_node domain, const BootRequest& request) {
  pugi::xml_node os = domain.append_child("os");
  pugi::xml_node type = text_child(os, "type", "hvm");
  attribute(type, "arch", "x86_64");
  attribute(type, "machine", "q35");
  text_child(os, "kernel", request.bzimage.string());
  text_child(os, "initrd", request.initramfs.string());
  text_child(os, "cmdline", kernel_command_line(request));
}

pugi::xml_node add_character_device(pugi::xml_node devices, const char* element,
                                    const char* backend, const std::filesystem::path& path) {
  pugi::xml_node node = devices.append_child(element);
  attribute(node, "type", backend);
  pugi::xml_node source = node.append_child("source");
  if (std::string_view(backend) == "unix") attribute(source, "mode", "bind");
  attribute(source, "path", path.string());
  return node;
}

void add_record_port(pugi::xml_node devices, const DomainPaths& paths) {
  pugi::xml_node virtio = devices.append_child("controller");
  attribute(virtio, "type", "virtio-serial");
  attribute(virtio, "index", "0");
  // On the root bus: a root port costs the guest a bridge scan at boot.
  pugi::xml_node address = virtio.append_child("address");
  attribute(address, "type", "pci");
  attribute(address, "bus", "0x00");
  attribute(address, "slot", kVirtioSlot);
  pugi::xml_node port = add_character_device(devices, "channel", "unix", paths.virtio_socket);
  pugi::xml_node target = port.append_child("target");
  attribute(target, "type", "virtio");
  attribute(target, "name", kRecordPort);
}

void add_memory(pugi::xml_node domain, const MachineSpec& machine) {
  const std::string total = std::to_string(machine.memory_mib());
  if (!machine.dimms.empty()) {
    pugi::xml_node most = text_child(domain, "maxMemory", total);
    attribute(most, "slots", std::to_string(machine.dimms.size()));
    attribute(most, "unit", "MiB");
  }
  attribute(text_child(domain, "memory", total), "unit", "MiB");
}

void add_dimms(pugi::xml_node devices, const MachineSpec& machine) {
  for (const DimmSpec& dimm : machine.dimms) {
    pugi::xml_node memory = devices.append_child("memory");
    attribute(memory, "model", "dimm");
    pugi::xml_node target = memory.append_child("target");
    attribute(text_child(target, "size", std::to_string(dimm.memory_mib)), "unit", "MiB");
    text_child(target, "node", std::to_string(dimm.node));
  }
}

void add_devices(pugi::xml_node domain, const MachineSpec& machine, const DomainPaths& paths) {
  const MachineDevices& wanted = machine.devices;
  pugi::xml_node devices = domain.append_child("devices");
  pugi::xml_node usb = devices.append_child("controller");
  attribute(usb, "type", "usb");
  attribute(usb, "model", "none");
  pugi::xml_node console = add_character_device(devices, "serial", "file", paths.console);
  // The file is there, empty and watched. libvirt's log daemon would replace it otherwise.
  attribute(console.child("source"), "append", "on");
  attribute(console.append_child("target"), "port", "0");
  if (wanted.serial) {
    pugi::xml_node serial = add_character_device(devices, "serial", "unix", paths.serial_socket);
    attribute(serial.append_child("target"), "port", "1");
  }
  add_dimms(devices, machine);
  if (wanted.virtio_serial) add_record_port(devices, paths);
  attribute(devices.append_child("memballoon"), "model", "none");
}

// What libvirt has no words for.
void add_qemu_arguments(pugi::xml_node domain, const BootRequest& request) {
  std::vector<std::string> words;
  if (request.machine.devices.pvpanic) {
    // libvirt 9.0 knows only the ISA pvpanic, whose driver needs ACPI's platform bus; the guest
    // kernels have the PCI one. libvirt handles its event all the same.
    words.insert(words.end(),
                 {"-device", fmt::format("pvpanic-pci,bus=pcie.0,addr={}", kPanicSlot)});
  }
  if (!request.gdb_socket.empty()) {
    words.insert(words.end(),
                 {"-gdb", fmt::format("unix:{},server=on,wait=off", request.gdb_socket.string())});
  }
  if (words.empty()) return;
  pugi::xml_node command = domain.append_child("qemu:commandline");
  for (const std::string& word : words) {
    attribute(command.append_child("qemu:arg"), "value", word);
  }
}

Result<> check_gdb_socket(const std::string& socket) {
  if (socket.find(',') == std::string::npos && socket.size() < sizeof(sockaddr_un{}.sun_path)) {
    return {};
  }
  return usage(
      fmt::format("gdb's socket would be '{}', and it can have no comma and at most {} "
                  "characters: give --out a shorter path",
                  socket, sizeof(sockaddr_un{}.sun_path) - 1));
}

Result<> check(const BootRequest& request, const DomainPaths& paths) {
  const MachineSpec& machine = request.machine;
  if (total_cpus(machine) < 1) {
    return usage("machine '" + machine.name + "' has no CPU; give at least one node cpus >= 1");
  }
  if (!machine.distances.empty()) {
    bool square = machine.distances.size() == machine.nodes.size();
    for (const auto& row : machine.distances) square &= row.size() == machine.nodes.size();
    if (!square) {
      return usage(fmt::format("machine '{0}': the distance table must have {1} rows of {1}",
                               machine.name, machine.nodes.size()));
    }
  }
  if (!machine.devices.virtio_serial && !machine.devices.serial) {
    return usage("machine '" + machine.name + "' has no device for records: give it " +
                 "virtio-serial, serial or both");
  }
  for (const DimmSpec& dimm : machine.dimms) {
    if (dimm.node < 0 || static_cast<std::size_t>(dimm.node) >= machine.nodes.size()) {
      return usage(fmt::format("machine '{}': a DIMM is on node {}; it has nodes 0 to {}",
                               machine.name, dimm.node, machine.nodes.size() - 1));
    }
  }
  if (auto fits = check_gdb_socket(request.gdb_socket.string()); !fits) return fits;
  const std::size_t length = kernel_command_line(request).size();
  if (length > kMaxCommandLine) {
    return usage(
        fmt::format("the kernel command line has {} characters; the kernel reads {}: "
                    "give fewer boot arguments",
                    length, kMaxCommandLine));
  }
  for (const auto& socket : {paths.serial_socket, paths.virtio_socket}) {
    if (socket.string().size() >= sizeof(sockaddr_un{}.sun_path)) {
      return usage(
          fmt::format("socket path '{}' is longer than {} characters: set "
                      "XDG_RUNTIME_DIR to a shorter directory",
                      socket.string(), sizeof(sockaddr_un{}.sun_path) - 1));
    }
  }
  return {};
}

}  // namespace

std::string kernel_command_line(const BootRequest& request) {
  // panic=1: after its last words a panicked guest restarts, which ends the VM, so nobody has
  // to guess when the words are complete. no_timer_check: on a host that is busy enough an emulated
  // timer is late, and the kernel would panic ("IO-APIC + timer doesn't work!"). KVM guests do
  // without that check by themselves.
  std::string line = "console=ttyS0 panic=1 nokaslr no_timer_check";
  for (const auto* args : {&request.machine.boot_args, &request.boot_args}) {
    for (const std::string& arg : *args) line += " " + arg;
  }
  return line;
}

Result<std::string> domain_xml(const BootRequest& request, const DomainPaths& paths,
                               const std::string& uuid) {
  if (auto checked = check(request, paths); !checked) {
    return tl::make_unexpected(checked.error());
  }
  pugi::xml_document document;
  pugi::xml_node domain = document.append_child("domain");
  attribute(domain, "type", request.accelerator == Accelerator::kKvm ? "kvm" : "qemu");
  attribute(domain, "xmlns:qemu", kQemuNamespace);
  text_child(domain, "name", request.name);
  if (!uuid.empty()) text_child(domain, "uuid", uuid);
  add_memory(domain, request.machine);
  text_child(domain, "vcpu", std::to_string(total_cpus(request.machine)));
  add_boot(domain, request);
  pugi::xml_node features = domain.append_child("features");
  features.append_child("acpi");
  features.append_child("apic");
  add_cpu(domain, request);
  text_child(domain, "on_poweroff", "destroy");
  text_child(domain, "on_reboot", "destroy");
  // The crashed guest stays, paused: its console and memory are the evidence.
  text_child(domain, "on_crash", "preserve");
  add_devices(domain, request.machine, paths);
  add_qemu_arguments(domain, request);
  std::ostringstream out;
  document.save(out, "  ", pugi::format_indent | pugi::format_no_declaration);
  return out.str();
}

}  // namespace mmquake
