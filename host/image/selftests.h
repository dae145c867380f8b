// SPDX-License-Identifier: GPL-2.0-or-later
//
// A built collection of kernel selftests on its way into the guest: which tests it has, how long
// each may take, and what it needs beside itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/image/initramfs.h"

namespace mmquake {

struct Selftest {
  std::string collection;      // "mm", "drivers/dma-buf"
  std::string name;            // "compaction_test"
  std::filesystem::path file;  // on this host
  int timeout_seconds = 45;    // of the collection's `settings`, else kselftest's; 0: none
  bool listed = true;          // false: a program beside the tests of a list
  std::string lack = {};       // why the guest cannot run it; empty: it can

  std::string id() const { return collection + ":" + name; }
};

// DIR is what `make -C tools/testing/selftests install` leaves (kselftest-list.txt), or one
// collection's folder. What may be executed there and is in no list comes after the list: mm has
// its tests as programs, and lists a script that runs them all. In one collection's folder all are
// tests. Usage errors name the file and the line.
Result<std::vector<Selftest>> list_selftests(const std::filesystem::path& directory);

// Those that one of the patterns names, "mm:compaction_test" or "compaction_*", in the order of
// `all`; without a pattern all that are listed. A pattern that names none is a usage error with the
// nearest names.
Result<std::vector<Selftest>> choose_selftests(const std::vector<Selftest>& all,
                                               const std::vector<std::string>& patterns);

// The timeout in the text of a `settings` file. Lines are FIELD=VALUE or "# comment"; other fields
// are not ours.
Result<int> timeout_in(const std::string& settings);

struct SelftestImage {
  std::vector<ImageFile> files;  // collections below payload/kselftest, the list, what they need
  std::vector<Selftest> tests;   // with their lacks; the n-th is the n-th line of the list
};

// Puts together what the guest needs: the whole folders of the tests' collections, with their
// permissions; the shared libraries and the loader that their programs name, from this host, as
// its loader finds them; busybox for scripts, and this host's bash for those that ask for it.
// What cannot be had becomes the lack of the test that needs it. More than `limit_mib` in all is a
// usage error that says what to do.
Result<SelftestImage> selftest_image(const std::filesystem::path& directory,
                                     std::vector<Selftest> tests, std::uint64_t limit_mib);

}  // namespace mmquake
