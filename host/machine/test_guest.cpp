// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/test_guest.h"

#include <unistd.h>

#include <cstdlib>
#include <system_error>

#include "host/image/initramfs.h"
#ifdef MMQUAKE_HAS_KERNEL_STORE
#include "host/kernel/kernel_store.h"
#include "host/plan/directories.h"
#endif

namespace mmquake {

Result<std::filesystem::path> test_kernel() {
  const char* named = std::getenv("MMQUAKE_TEST_KERNEL");
  if (named != nullptr) {
    if (access(named, R_OK) == 0) return std::filesystem::path(named);
    return broken(std::string("MMQUAKE_TEST_KERNEL names '") + named + "', which cannot be read");
  }
#ifdef MMQUAKE_HAS_KERNEL_STORE
  if (const auto spec = Catalogue(data_dir() / "configs").kernel("clean")) {
    if (auto built = KernelStore(cache_dir()).find(*spec)) return built->bzimage;
  }
#endif
  return skipped(
      "no kernel: build one with 'mmquake kernel build clean', or name a bzImage in "
      "MMQUAKE_TEST_KERNEL");
}

Result<BootRequest> test_boot(const std::string& name, const std::string& word,
                              const std::filesystem::path& directory) {
  auto kernel = test_kernel();
  if (!kernel) return tl::make_unexpected(kernel.error());
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return broken("cannot make '" + directory.string() + "': " + error.message());
  BootRequest request;
  request.name = name;
  request.machine.name = "test";
  request.machine.nodes = {{1, 128}, {1, 128}};
  request.machine.distances = {{10, 20}, {20, 10}};
  request.bzimage = *kernel;
  request.initramfs = directory / "initramfs.gz";
  request.boot_args = {"test=" + word};
  request.directory = directory;
  if (auto written = write_initramfs({MMQUAKE_TEST_GUEST, {}}, request.initramfs); !written) {
    return tl::make_unexpected(written.error());
  }
  return request;
}

}  // namespace mmquake
