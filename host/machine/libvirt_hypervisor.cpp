// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/libvirt_hypervisor.h"

#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <system_error>

#include "host/machine/domain_xml.h"
#include "host/machine/event_loop.h"
#include "host/machine/libvirt_machine.h"
#include "host/machine/qemu_watch.h"
#include "host/machine/reaper.h"
#include "host/machine/virt_error.h"
#include "host/machine/vm_root.h"
#include "host/plan/directories.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// PLATFORM: with libvirt's defaults root waits 12 to 80 s in capability probing and finds its
// files given to another user; an ordinary user's libvirt refuses these keys.
// Without the filter libvirt asks QEMU for each of 300 properties of the CPU at every start,
// 0.2 s that nothing here needs.
constexpr const char* kConfForAll =
    "stdio_handler = \"file\"\n"
    "capability_filters = [ \"cpu-unavailable-features\" ]\n";
constexpr const char* kConfForRoot =
    "user = \"root\"\n"
    "group = \"root\"\n"
    "dynamic_ownership = 0\n"
    "remember_owner = 0\n"
    "security_driver = \"none\"\n"
    "namespaces = [ ]\n"
    "cgroup_controllers = [ ]\n";

Result<> write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    return broken("cannot write '" + path.string() + "': is the disk full?");
  }
  return {};
}

Result<> make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return broken("cannot make '" + path.string() + "': " + error.message());
  return {};
}

// DIR of "qemu:///embed?root=DIR", or nothing.
std::string root_of_uri(const std::string& uri) {
  const std::size_t at = uri.find("?root=");
  if (uri.rfind(kEmbeddedUri, 0) != 0 || at == std::string::npos) return "";
  const std::size_t begin = at + std::strlen("?root=");
  return uri.substr(begin, uri.find('&', begin) - begin);
}

Result<> write_configuration(const fs::path& root) {
  const fs::path file = root / "etc" / "qemu.conf";
  std::error_code error;
  if (fs::exists(file, error)) return {};
  if (auto made = make_directory(file.parent_path()); !made) return made;
  return write_file(file, geteuid() == 0 ? std::string(kConfForAll) + kConfForRoot : kConfForAll);
}

// libvirt probes QEMU's capabilities for 0.5 s and keeps the answer in its root, which is ours
// for one process only. It checks what it kept against QEMU, kernel and /dev/kvm by itself.
Result<> share_capabilities(const fs::path& root) {
  const fs::path shared = cache_dir() / "libvirt";
  if (auto made = make_directory(shared); !made) return made;
  std::error_code error;
  fs::create_directory_symlink(shared, root / "cache", error);
  if (error) return broken("cannot make '" + (root / "cache").string() + "': " + error.message());
  return {};
}

std::vector<fs::path> root_parents() {
  const fs::path runtime = runtime_dir();
  if (runtime == "/tmp") return {runtime};
  return {runtime, "/tmp"};
}

Result<> readable(const char* what, const fs::path& path) {
  if (access(path.c_str(), R_OK) == 0) return {};
  return broken(
      fmt::format("cannot read the {} '{}': {}", what, path.string(), std::strerror(errno)));
}

tl::unexpected<Error> connect_error(const std::string& uri) {
  tl::unexpected<Error> error = virt_error(fmt::format("connect to libvirt at '{}'", uri));
  std::string& message = error.value().message;
  // The package that makes this user (libvirt-daemon-system) also starts a service that nobody
  // here needs, so it may be missing. libvirt looks it up whatever its configuration says.
  if (geteuid() == 0 && message.find("Failed to parse user") != std::string::npos) {
    message += fmt::format("; as root, libvirt needs that user to exist: {}", kMakeLibvirtUser);
  } else {
    message += "; 'mmquake doctor' says what is missing";
  }
  return error;
}

// A version 4 UUID, as libvirt prints it.
std::string random_uuid() {
  std::random_device device;
  const auto word = [&](unsigned mask, unsigned set) { return (device() & mask) | set; };
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", word(0xffffffff, 0),
                     word(0xffff, 0), word(0x0fff, 0x4000), word(0x3fff, 0x8000), word(0xffff, 0),
                     word(0xffffffff, 0));
}

struct ConnectDeleter {
  void operator()(virConnectPtr connection) const { virConnectClose(connection); }
};

}  // namespace

// Shared by the hypervisor and its machines, so that either may go first.
class LibvirtHypervisor::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(VmRoot root, Companion reaper) : reaper_(std::move(reaper)), root_(std::move(root)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  Result<> open(const std::string& uri);
  Result<std::unique_ptr<Machine>> start(const BootRequest& request);
  std::string version() const;

 private:
  static void on_domain_event(virConnectPtr, virDomainPtr domain, int event, int detail,
                              void* opaque);
  static void on_closed(virConnectPtr, int reason, void* opaque);
  void on_exit(const std::string& vm, const siginfo_t& info);
  Result<> watch_events();
  DomainPaths paths(const BootRequest& request) const;
  Result<std::unique_ptr<Machine>> create(const BootRequest& request, const std::string& xml,
                                          const std::string& uuid, const DomainPaths& where,
                                          std::shared_ptr<VmStatus> status);
  void end_namesake(const std::string& vm);
  std::shared_ptr<VmStatus> find(const std::string& vm, const std::string& uuid = "");
  void forget(const std::string& vm, const DomainPaths& where);

  // In this order: the reaper, which ends last, finds the root gone and has nothing to do.
  Companion reaper_;
  VmRoot root_;
  EventLoop* loop_ = nullptr;
  fs::path embedded_root_;  // empty: libvirt is another process
  std::unique_ptr<virConnect, ConnectDeleter> connection_;
  std::unique_ptr<QemuWatch> watch_;
  int callback_ = -1;
  std::mutex mutex_;
  struct Vm {
    std::string uuid;
    std::shared_ptr<VmStatus> status;
  };
  std::map<std::string, Vm> vms_;  // by name
};

LibvirtHypervisor::Connection::~Connection() {
  if (connection_) {
    // On the loop's thread, so that no handler of ours is running or comes later.
    loop_->call([this] {
      if (callback_ >= 0) virConnectDomainEventDeregisterAny(connection_.get(), callback_);
      if (embedded_root_.empty()) virConnectUnregisterCloseCallback(connection_.get(), on_closed);
      watch_.reset();
    });
    connection_.reset();
  }
  kill_vms_of(root_.path());  // one that could not be destroyed
}

Result<> LibvirtHypervisor::Connection::open(const std::string& uri) {
  auto loop = EventLoop::instance();
  if (!loop) return tl::make_unexpected(loop.error());
  loop_ = *loop;
  std::string full = uri;
  if (uri.rfind(kEmbeddedUri, 0) == 0) {
    embedded_root_ = root_of_uri(uri);
    if (embedded_root_.empty()) {
      embedded_root_ = root_.path();
      full = fmt::format("{}?root={}", kEmbeddedUri, root_.path().string());
      if (auto shared = share_capabilities(root_.path()); !shared) return shared;
    }
    if (auto written = write_configuration(embedded_root_); !written) return written;
  } else if (geteuid() == 0) {
    // QEMU of another user has to reach its sockets.
    chmod(root_.path().c_str(), 0711);
  }
  connection_.reset(virConnectOpen(full.c_str()));
  if (!connection_) return connect_error(full);
  if (!embedded_root_.empty()) {
    auto watch = QemuWatch::start(
        *loop_, embedded_root_ / "run" / "qemu", embedded_root_ / "lib" / "qemu",
        [this](const std::string& vm, const siginfo_t& info) { on_exit(vm, info); });
    if (!watch) return tl::make_unexpected(watch.error());
    watch_ = std::move(*watch);
  }
  return watch_events();
}

Result<> LibvirtHypervisor::Connection::watch_events() {
  callback_ =
      virConnectDomainEventRegisterAny(connection_.get(), nullptr, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK(on_domain_event), this, nullptr);
  if (callback_ < 0) return virt_error("ask libvirt for events");
  if (embedded_root_.empty() &&
      virConnectRegisterCloseCallback(connection_.get(), on_closed, this, nullptr) < 0) {
    return virt_error("ask libvirt for the end of the connection");
  }
  return {};
}

// A VM of this name has ended, as far as we know; libvirt may still be busy with its end.
void LibvirtHypervisor::Connection::end_namesake(const std::string& vm) {
  const DomainHandle old(virDomainLookupByName(connection_.get(), vm.c_str()));
  // Should this fail, the start after it says why.
  if (old) virDomainDestroy(old.get());
}

std::shared_ptr<VmStatus> LibvirtHypervisor::Connection::find(const std::string& vm,
                                                              const std::string& uuid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = vms_.find(vm);
  if (found == vms_.end() || (!uuid.empty() && found->second.uuid != uuid)) return nullptr;
  return found->second.status;
}

void LibvirtHypervisor::Connection::on_domain_event(virConnectPtr, virDomainPtr domain, int event,
                                                    int detail, void* opaque) {
  auto* self = static_cast<Connection*>(opaque);
  const std::string vm = virDomainGetName(domain);
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (virDomainGetUUIDString(domain, uuid.data()) < 0) return;
  // How QEMU ended says more than that it did: let that come first.
  if (event == VIR_DOMAIN_EVENT_STOPPED && self->watch_) {
    self->watch_->collect(vm, std::chrono::seconds(1));
  }
  // The last event of an earlier VM may come when one of the same name has started.
  if (auto status = self->find(vm, uuid.data())) status->on_lifecycle(event, detail);
}

void LibvirtHypervisor::Connection::on_closed(virConnectPtr, int, void* opaque) {
  auto* self = static_cast<Connection*>(opaque);
  const std::lock_guard<std::mutex> lock(self->mutex_);
  for (auto& entry : self->vms_) entry.second.status->fail("the connection to libvirt broke");
}

void LibvirtHypervisor::Connection::on_exit(const std::string& vm, const siginfo_t& info) {
  if (auto status = find(vm)) status->on_exit(info);
}

DomainPaths LibvirtHypervisor::Connection::paths(const BootRequest& request) const {
  DomainPaths where;
  where.console = fs::absolute(request.directory) / "console.log";
  where.serial_socket = root_.path() / (request.name + ".s1");
  where.virtio_socket = root_.path() / (request.name + ".vs");
  return where;
}

void LibvirtHypervisor::Connection::forget(const std::string& vm, const DomainPaths& where) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    vms_.erase(vm);
  }
  std::error_code ignored;  // the root goes with everything in it
  fs::remove(where.serial_socket, ignored);
  fs::remove(where.virtio_socket, ignored);
}

Result<std::unique_ptr<Machine>> LibvirtHypervisor::Connection::start(const BootRequest& request) {
  for (const auto& [what, path] :
       {std::pair{"kernel", request.bzimage}, std::pair{"initramfs", request.initramfs}}) {
    if (auto checked = readable(what, path); !checked) {
      return tl::make_unexpected(checked.error());
    }
  }
  BootRequest absolute = request;
  absolute.bzimage = fs::absolute(request.bzimage);
  absolute.initramfs = fs::absolute(request.initramfs);
  const DomainPaths where = paths(request);
  const std::string uuid = random_uuid();
  auto xml = domain_xml(absolute, where, uuid);
  if (!xml) return tl::make_unexpected(xml.error());
  if (auto written = write_file(request.directory / "domain.xml", *xml); !written) {
    return tl::make_unexpected(written.error());
  }
  loop_->call([] {});  // what is left to be said of an earlier VM of this name has been said
  // Before libvirt has it: STARTED and more can arrive before virDomainCreateXML returns.
  auto status = std::make_shared<VmStatus>();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!vms_.emplace(request.name, Vm{uuid, status}).second) {
      return broken("a VM named '" + request.name + "' runs already");
    }
  }
  auto machine = create(absolute, *xml, uuid, where, std::move(status));
  if (!machine) forget(request.name, where);
  return machine;
}

Result<std::unique_ptr<Machine>> LibvirtHypervisor::Connection::create(
    const BootRequest& request, const std::string& xml, const std::string& uuid,
    const DomainPaths& where, std::shared_ptr<VmStatus> status) {
  auto console = ConsoleTail::create(where.console);
  if (!console) return tl::make_unexpected(console.error());
  // The embedded driver refuses AUTODESTROY; there the reaper does the same.
  unsigned flags = embedded_root_.empty() ? VIR_DOMAIN_START_AUTODESTROY : 0;
  if (!request.gdb_socket.empty()) flags |= VIR_DOMAIN_START_PAUSED;
  if (!embedded_root_.empty()) end_namesake(request.name);
  DomainHandle domain(virDomainCreateXML(connection_.get(), xml.c_str(), flags));
  if (!domain) return virt_error("libvirt");
  const MachineDevices& devices = request.machine.devices;
  Result<Channel> serial = Channel::none();
  Result<Channel> virtio = Channel::none();
  if (devices.serial) serial = Channel::connect(where.serial_socket);
  if (devices.virtio_serial) virtio = Channel::connect(where.virtio_socket);
  if (!serial || !virtio) {
    virDomainDestroy(domain.get());
    return tl::make_unexpected(serial ? virtio.error() : serial.error());
  }
  fs::path log;
  if (!embedded_root_.empty()) {
    log = embedded_root_ / "log" / "qemu" / (request.name + ".log");
  }
  return std::make_unique<LibvirtMachine>(LibvirtMachine::Parts{
      std::move(domain), std::move(status), std::move(*console), std::move(*serial),
      std::move(*virtio), !embedded_root_.empty(), std::move(log), uuid, request.monitor_limit,
      [self = shared_from_this(), vm = request.name, where] { self->forget(vm, where); }});
}

std::string LibvirtHypervisor::Connection::version() const {
  const auto dotted = [](unsigned long number) {
    return fmt::format("{}.{}.{}", number / 1000000, number / 1000 % 1000, number % 1000);
  };
  unsigned long qemu = 0;
  unsigned long libvirt = 0;
  std::string text = "QEMU ";
  text += virConnectGetVersion(connection_.get(), &qemu) == 0 ? dotted(qemu) : "of unknown version";
  if (virConnectGetLibVersion(connection_.get(), &libvirt) == 0) {
    text += ", libvirt " + dotted(libvirt);
  }
  return text;
}

LibvirtHypervisor::LibvirtHypervisor(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

LibvirtHypervisor::~LibvirtHypervisor() = default;

Result<std::unique_ptr<LibvirtHypervisor>> LibvirtHypervisor::open(const std::string& uri) {
  // libvirt's first open is not safe against a second one at the same time.
  static std::mutex opening;
  const std::lock_guard<std::mutex> lock(opening);
  // QEMU daemonizes. Unless it becomes our child, each start and stop waits for PID 1 to notice.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return broken(std::string("become a subreaper: ") + std::strerror(errno));
  }
  sweep_stale_roots(root_parents());
  auto root = VmRoot::create(root_parents());
  if (!root) return context("make a directory for VMs", root.error());
  auto reaper = start_reaper(root->path());
  if (!reaper) return tl::make_unexpected(reaper.error());
  auto connection = std::make_shared<Connection>(std::move(*root), std::move(*reaper));
  if (auto opened = connection->open(uri); !opened) return tl::make_unexpected(opened.error());
  return std::unique_ptr<LibvirtHypervisor>(new LibvirtHypervisor(std::move(connection)));
}

Result<std::unique_ptr<Machine>> LibvirtHypervisor::start(const BootRequest& request) {
  auto machine = connection_->start(request);
  if (!machine) {
    return context(fmt::format("boot machine '{}'", request.machine.name), machine.error());
  }
  return machine;
}

std::string LibvirtHypervisor::version() const {
  return connection_->version();
}

}  // namespace mmquake
