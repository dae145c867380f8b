// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/image/payload.h"

namespace mmquake {

struct InitramfsContents {
  std::filesystem::path init;                    // the static guest binary, as /init
  std::optional<std::filesystem::path> widener;  // as /mmquake_widener.ko
  // As /modules/NAME.ko, decompressed, to be loaded in the order of their names.
  std::vector<std::filesystem::path> modules = {};
  std::optional<Payload> payload = std::nullopt;  // as /payload/run
};

// Writes a gzip-compressed newc cpio with libarchive: the same bytes for the same inputs (fixed
// order, owners, inode numbers and times). Replaces `out` by a rename.
Result<> write_initramfs(const InitramfsContents& contents, const std::filesystem::path& out);

// One more file of an image; the folders above it are made.
struct ImageFile {
  std::string name;              // in the archive, without a leading '/'
  std::filesystem::path source;  // empty: `text` is what it holds
  std::string text = {};
  bool is_link = false;  // `text` is its target
  bool executable = true;
};

// Writes `base` to `out`, and behind it an archive of `files`: the kernel unpacks one after the
// other. Replaces `out` by a rename.
Result<> extend_initramfs(const std::filesystem::path& base, const std::vector<ImageFile>& files,
                          const std::filesystem::path& out);

// The initramfs of these contents in the folder `cache`, written if it is not there. Takes away
// what nobody has asked for in 30 days: each build of the guest leaves one of some MB.
Result<std::filesystem::path> cached_initramfs(const InitramfsContents& contents,
                                               const std::filesystem::path& cache);

// Hex hash of the contents: equal keys mean equal initramfs files.
Result<std::string> initramfs_key(const InitramfsContents& contents);

}  // namespace mmquake
