// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/domain_xml.h"

#include <gtest/gtest.h>

#include <pugixml.hpp>

namespace mmquake {
namespace {

BootRequest two_nodes() {
  BootRequest request;
  request.name = "t1";
  request.machine.name = "numa2";
  request.machine.nodes = {{2, 1024}, {2, 1024}};
  request.machine.distances = {{10, 20}, {20, 10}};
  request.bzimage = "/k/bzImage";
  request.initramfs = "/k/initramfs";
  return request;
}

DomainPaths paths() {
  return {"/run/c.log", "/run/s", "/run/v"};
}

class Domain {
 public:
  explicit Domain(const BootRequest& request, const DomainPaths& where = paths()) {
    auto xml = domain_xml(request, where);
    EXPECT_TRUE(xml) << xml.error().message;
    EXPECT_TRUE(document_.load_string(xml ? xml->c_str() : ""));
  }
  std::string text(const char* xpath) const {
    return document_.select_node(xpath).node().text().get();
  }
  std::string attribute(const char* xpath) const {
    return document_.select_node(xpath).attribute().value();
  }
  std::size_t count(const char* xpath) const { return document_.select_nodes(xpath).size(); }

 private:
  pugi::xml_document document_;
};

TEST(DomainXml, BootsTheKernelDirectly) {
  const Domain domain(two_nodes());
  EXPECT_EQ(domain.text("/domain/name"), "t1");
  EXPECT_EQ(domain.text("/domain/os/kernel"), "/k/bzImage");
  EXPECT_EQ(domain.text("/domain/os/initrd"), "/k/initramfs");
  EXPECT_EQ(domain.attribute("/domain/os/type/@machine"), "q35");
  EXPECT_EQ(domain.text("/domain/on_crash"), "preserve");
  EXPECT_EQ(domain.text("/domain/on_reboot"), "destroy");
  EXPECT_EQ(domain.count("/domain/devices/interface"), 0U);
  EXPECT_EQ(domain.count("/domain/devices/disk"), 0U);
}

TEST(DomainXml, HasAGdbStubOnlyWhenAskedFor) {
  BootRequest request = two_nodes();
  EXPECT_EQ(Domain(request).count("//*[@value='-gdb']"), 0U);
  request.gdb_socket = "/run/gdb";
  request.machine.devices.pvpanic = false;
  const Domain domain(request);
  EXPECT_EQ(domain.attribute("//*[@value='-gdb']/following-sibling::*/@value"),
            "unix:/run/gdb,server=on,wait=off");
}

TEST(DomainXml, AddsUpNodes) {
  const Domain domain(two_nodes());
  EXPECT_EQ(domain.text("/domain/memory"), "2048");
  EXPECT_EQ(domain.attribute("/domain/memory/@unit"), "MiB");
  EXPECT_EQ(domain.text("/domain/vcpu"), "4");
  EXPECT_EQ(domain.attribute("//cell[@id=0]/@cpus"), "0-1");
  EXPECT_EQ(domain.attribute("//cell[@id=1]/@cpus"), "2-3");
  EXPECT_EQ(domain.attribute("//cell[@id=1]/@memory"), "1024");
  EXPECT_EQ(domain.attribute("//cell[@id=0]/distances/sibling[@id=1]/@value"), "20");
  EXPECT_EQ(domain.attribute("//cell[@id=1]/distances/sibling[@id=1]/@value"), "10");
}

TEST(DomainXml, GivesEachNodeWithCpusItsOwnSocket) {
  const Domain domain(two_nodes());
  EXPECT_EQ(domain.attribute("//topology/@sockets"), "2");
  EXPECT_EQ(domain.attribute("//topology/@cores"), "2");
}

TEST(DomainXml, LeavesMemoryOnlyNodesWithoutCpus) {
  BootRequest request = two_nodes();
  request.machine.nodes = {{2, 512}, {2, 512}, {0, 256}, {0, 256}};
  request.machine.distances = {
      {10, 20, 17, 28}, {20, 10, 28, 17}, {17, 28, 10, 28}, {28, 17, 28, 10}};
  const Domain domain(request);
  EXPECT_EQ(domain.count("//cell"), 4U);
  EXPECT_EQ(domain.count("//cell[@id=2]/@cpus"), 0U);
  EXPECT_EQ(domain.count("//cell[@id=3]/@cpus"), 0U);
  EXPECT_EQ(domain.attribute("//topology/@sockets"), "2");
  EXPECT_EQ(domain.attribute("//cell[@id=3]/distances/sibling[@id=1]/@value"), "17");
  EXPECT_EQ(domain.text("/domain/memory"), "1536");
}

TEST(DomainXml, PutsDimmsIntoSlots) {
  EXPECT_EQ(Domain(two_nodes()).count("/domain/maxMemory"), 0U);
  BootRequest request = two_nodes();
  request.machine.dimms = {{1, 3072}, {0, 128}};
  const Domain domain(request);
  EXPECT_EQ(domain.text("/domain/maxMemory"), "5248");
  EXPECT_EQ(domain.attribute("/domain/maxMemory/@slots"), "2");
  EXPECT_EQ(domain.attribute("/domain/maxMemory/@unit"), "MiB");
  EXPECT_EQ(domain.text("/domain/memory"), "5248") << "libvirt counts DIMMs, too";
  EXPECT_EQ(domain.attribute("//cell[@id=1]/@memory"), "1024") << "the node without its DIMM";
  EXPECT_EQ(domain.text("//devices/memory[@model='dimm'][1]/target/size[@unit='MiB']"), "3072");
  EXPECT_EQ(domain.text("//devices/memory[@model='dimm'][1]/target/node"), "1");
  EXPECT_EQ(domain.text("//devices/memory[@model='dimm'][2]/target/node"), "0");

  request.machine.dimms = {{2, 1024}};
  auto nowhere = domain_xml(request, paths());
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("node 2; it has nodes 0 to 1"), std::string::npos);
}

TEST(DomainXml, SplitsUnequalNodesIntoOneSocketACpu) {
  BootRequest request = two_nodes();
  request.machine.nodes = {{1, 512}, {3, 512}};
  const Domain domain(request);
  EXPECT_EQ(domain.attribute("//topology/@sockets"), "4");
  EXPECT_EQ(domain.attribute("//topology/@cores"), "1");
  EXPECT_EQ(domain.attribute("//cell[@id=1]/@cpus"), "1-3");
}

TEST(DomainXml, ChoosesTheCpuByAccelerator) {
  BootRequest request = two_nodes();
  EXPECT_EQ(Domain(request).attribute("/domain/@type"), "qemu");
  EXPECT_EQ(Domain(request).attribute("/domain/cpu/@mode"), "maximum");
  request.accelerator = Accelerator::kKvm;
  EXPECT_EQ(Domain(request).attribute("/domain/@type"), "kvm");
  EXPECT_EQ(Domain(request).attribute("/domain/cpu/@mode"), "host-passthrough");
}

TEST(DomainXml, HasTheThreeChannels) {
  const Domain domain(two_nodes());
  EXPECT_EQ(domain.attribute("//serial[target/@port=0]/@type"), "file");
  EXPECT_EQ(domain.attribute("//serial[target/@port=0]/source/@path"), "/run/c.log");
  EXPECT_EQ(domain.attribute("//serial[target/@port=0]/source/@append"), "on");
  EXPECT_EQ(domain.attribute("//serial[target/@port=1]/source/@path"), "/run/s");
  EXPECT_EQ(domain.attribute("//serial[target/@port=1]/source/@mode"), "bind");
  EXPECT_EQ(domain.attribute("//channel/source/@path"), "/run/v");
  EXPECT_EQ(domain.attribute("//channel/target/@name"), "mmquake.records");
  EXPECT_EQ(domain.count("//*[contains(@value,'pvpanic-pci')]"), 1U);
}

TEST(DomainXml, HasOnlyTheDevicesOfItsMachine) {
  BootRequest request = two_nodes();
  request.machine.devices = {false, true, true};
  const Domain serial(request);
  EXPECT_EQ(serial.count("//channel"), 0U);
  EXPECT_EQ(serial.count("//controller[@type='virtio-serial']"), 0U);
  EXPECT_EQ(serial.count("//serial"), 2U);
  EXPECT_EQ(serial.count("//*[contains(@value,'pvpanic-pci')]"), 1U);

  request.machine.devices = {true, false, false};
  const Domain virtio(request);
  EXPECT_EQ(virtio.attribute("//channel/source/@path"), "/run/v");
  EXPECT_EQ(virtio.count("//serial"), 1U) << "ttyS0 is the console";
  EXPECT_EQ(virtio.count("//*[contains(@value,'pvpanic-pci')]"), 0U);
}

TEST(DomainXml, HasAUuidWhenItIsGivenOne) {
  EXPECT_EQ(domain_xml(two_nodes(), paths())->find("<uuid>"), std::string::npos);
  EXPECT_NE(domain_xml(two_nodes(), paths(), "u-1")->find("<uuid>u-1</uuid>"), std::string::npos);
}

TEST(DomainXml, OrdersBootArgumentsSoThatTheRequestWins) {
  BootRequest request = two_nodes();
  request.machine.boot_args = {"movable_node"};
  request.boot_args = {"panic=-1", "mmquake_bugs=a,b"};
  EXPECT_EQ(kernel_command_line(request),
            "console=ttyS0 panic=1 nokaslr no_timer_check movable_node panic=-1 mmquake_bugs=a,b");
}

TEST(DomainXml, EscapesWhatXmlWouldTrip) {
  BootRequest request = two_nodes();
  request.boot_args = {"a=\"<&>'\""};
  request.bzimage = "/k/<&\">";
  const Domain domain(request);
  EXPECT_EQ(domain.text("/domain/os/kernel"), "/k/<&\">");
  EXPECT_NE(domain.text("/domain/os/cmdline").find("a=\"<&>'\""), std::string::npos);
}

TEST(DomainXml, RefusesWhatCannotWork) {
  BootRequest request = two_nodes();
  request.boot_args = {std::string(2100, 'x')};
  auto too_long = domain_xml(request, paths());
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().kind, ErrorKind::kUsage);
  EXPECT_NE(too_long.error().message.find("2047"), std::string::npos);

  request = two_nodes();
  request.machine.nodes = {{0, 512}};
  request.machine.distances = {{10}};
  EXPECT_FALSE(domain_xml(request, paths()));

  request = two_nodes();
  request.machine.distances = {{10, 20}};
  EXPECT_FALSE(domain_xml(request, paths()));

  request = two_nodes();
  request.machine.devices = {false, false, true};
  auto mute = domain_xml(request, paths());
  ASSERT_FALSE(mute);
  EXPECT_NE(mute.error().message.find("virtio-serial"), std::string::npos);

  DomainPaths far = paths();
  far.virtio_socket = "/" + std::string(120, 'd');
  EXPECT_FALSE(domain_xml(two_nodes(), far));

  for (const std::string& socket : {"/" + std::string(120, 'd'), std::string("/a,b")}) {
    request = two_nodes();
    request.gdb_socket = socket;
    auto refused = domain_xml(request, paths());
    ASSERT_FALSE(refused) << socket;
    EXPECT_NE(refused.error().message.find("--out"), std::string::npos);
  }
}

}  // namespace
}  // namespace mmquake
