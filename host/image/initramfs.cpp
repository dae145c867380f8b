// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <system_error>
#include <vector>

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// Part of the key: change it when the layout of the archive changes.
constexpr std::uint64_t kLayoutVersion = 2;
constexpr std::chrono::hours kKeepUnused{24 * 30};
constexpr std::size_t kReadBlock = std::size_t{64} * 1024;

struct File {
  std::string name;  // in the archive
  std::string bytes;
  unsigned mode = 0;
};

struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using Writer = std::unique_ptr<archive, FreeWriter>;

Result<std::string> read_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.is_open() || in.bad()) {
    return broken(fmt::format("cannot read '{}': {}", path.string(), std::strerror(errno)));
  }
  return bytes;
}

struct FreeReader {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeReader>;

// The content of a file that may be compressed; libarchive tells by its first bytes. Decompressed
// here, since not every kernel can do it (MODULE_DECOMPRESS, 5.17).
Result<std::string> read_decompressed(const fs::path& path) {
  const Reader reader(archive_read_new());
  archive_entry* entry = nullptr;
  const auto failed = [&]() {
    const char* text = archive_error_string(reader.get());
    return broken(fmt::format("cannot read '{}': {}", path.string(),
                              text != nullptr ? text : std::strerror(errno)));
  };
  if (archive_read_support_filter_all(reader.get()) < ARCHIVE_WARN ||
      archive_read_support_format_raw(reader.get()) != ARCHIVE_OK ||
      archive_read_open_filename(reader.get(), path.c_str(), kReadBlock) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return failed();
  }
  std::string bytes;
  std::string block(kReadBlock, '\0');
  la_ssize_t got = 0;
  while ((got = archive_read_data(reader.get(), block.data(), block.size())) > 0) {
    bytes.append(block, 0, static_cast<std::size_t>(got));
  }
  if (got < 0) return failed();
  return bytes;
}

// "modules/03-kvm.ko" for 03-kvm.ko.xz.
std::string name_of_module(const fs::path& path) {
  const std::string name = path.filename();
  return "modules/" + name.substr(0, name.find('.')) + ".ko";
}

Result<> add_payload(const Payload& payload, std::vector<File>& files) {
  auto program = read_whole(payload.program);
  if (!program) return tl::make_unexpected(program.error());
  files.push_back({"payload", "", S_IFDIR | 0755});
  files.push_back({"payload/run", std::move(*program), S_IFREG | 0755});
  if (!payload.busybox) return {};
  auto busybox = read_whole(*payload.busybox);
  if (!busybox) return tl::make_unexpected(busybox.error());
  files.push_back({"bin", "", S_IFDIR | 0755});
  files.push_back({"bin/busybox", std::move(*busybox), S_IFREG | 0755});
  // What a link holds is its target.
  files.push_back({"bin/sh", "busybox", S_IFLNK | 0777});
  return {};
}

Result<std::vector<File>> files_of(const InitramfsContents& contents) {
  std::vector<File> files;
  auto init = read_whole(contents.init);
  if (!init) return tl::make_unexpected(init.error());
  files.push_back({"init", std::move(*init), S_IFREG | 0755});
  if (contents.widener) {
    auto widener = read_whole(*contents.widener);
    if (!widener) return tl::make_unexpected(widener.error());
    files.push_back({"mmquake_widener.ko", std::move(*widener), S_IFREG | 0644});
  }
  // cpio makes no folders by itself.
  if (!contents.modules.empty()) files.push_back({"modules", "", S_IFDIR | 0755});
  for (const fs::path& path : contents.modules) {
    auto module = read_decompressed(path);
    if (!module) return tl::make_unexpected(module.error());
    files.push_back({name_of_module(path), std::move(*module), S_IFREG | 0644});
  }
  if (contents.payload) {
    if (auto added = add_payload(*contents.payload, files); !added) {
      return tl::make_unexpected(added.error());
    }
  }
  return files;
}

tl::unexpected<Error> archive_error(archive* writer, const fs::path& out) {
  const char* text = archive_error_string(writer);
  return broken(fmt::format("write '{}': {}", out.string(), text != nullptr ? text : "unknown"));
}

Result<> add(archive* writer, const File& file, std::int64_t inode, const fs::path& out) {
  const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), file.name.c_str());
  archive_entry_set_mode(entry.get(), file.mode);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(file.bytes.size()));
  archive_entry_set_uid(entry.get(), 0);
  archive_entry_set_gid(entry.get(), 0);
  archive_entry_set_mtime(entry.get(), 0, 0);
  archive_entry_set_ino64(entry.get(), inode);
  archive_entry_set_nlink(entry.get(), 1);
  if (S_ISLNK(file.mode)) {
    archive_entry_set_symlink(entry.get(), file.bytes.c_str());
    return archive_write_header(writer, entry.get()) == ARCHIVE_OK ? Result<>()
                                                                   : archive_error(writer, out);
  }
  if (archive_write_header(writer, entry.get()) != ARCHIVE_OK ||
      archive_write_data(writer, file.bytes.data(), file.bytes.size()) !=
          static_cast<la_ssize_t>(file.bytes.size())) {
    return archive_error(writer, out);
  }
  return {};
}

Result<> write_archive(const std::vector<File>& files, const fs::path& out,
                       const std::string& level = "6") {
  const Writer writer(archive_write_new());
  // gzip: every kernel of interest reads it (CONFIG_RD_GZIP). Without its own timestamp.
  if (archive_write_set_format_cpio_newc(writer.get()) != ARCHIVE_OK ||
      archive_write_add_filter_gzip(writer.get()) != ARCHIVE_OK ||
      archive_write_set_options(writer.get(),
                                ("gzip:!timestamp,gzip:compression-level=" + level).c_str()) !=
          ARCHIVE_OK ||
      archive_write_open_filename(writer.get(), out.c_str()) != ARCHIVE_OK) {
    return archive_error(writer.get(), out);
  }
  std::int64_t inode = 1;
  for (const File& file : files) {
    if (auto added = add(writer.get(), file, inode++, out); !added) return added;
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return archive_error(writer.get(), out);
  return {};
}

// The folders above a file that are not yet in `folders`, the outermost first.
void add_folders_above(const fs::path& name, std::set<std::string>& folders,
                       std::vector<File>& files) {
  const fs::path parent = name.parent_path();
  if (parent.empty() || !folders.insert(parent.string()).second) return;
  add_folders_above(parent, folders, files);
  files.push_back({parent.string(), "", S_IFDIR | 0755});
}

Result<std::vector<File>> files_of(const std::vector<ImageFile>& images) {
  std::vector<File> files;
  std::set<std::string> folders;
  for (const ImageFile& image : images) {
    add_folders_above(image.name, folders, files);
    auto bytes = image.source.empty() ? Result<std::string>(image.text) : read_whole(image.source);
    if (!bytes) return tl::make_unexpected(bytes.error());
    const unsigned mode = image.is_link      ? S_IFLNK | 0777U
                          : image.executable ? S_IFREG | 0755U
                                             : S_IFREG | 0644U;
    files.push_back({image.name, std::move(*bytes), mode});
  }
  return files;
}

Result<> append_file(const fs::path& from, const fs::path& to) {
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary | std::ios::app);
  out << in.rdbuf();
  out.close();
  return in && out ? Result<>()
                   : broken(fmt::format("cannot append '{}' to '{}': is the disk full?",
                                        from.string(), to.string()));
}

// A file's time is that of its last use.
void remove_unused(const fs::path& cache) {
  const auto oldest = fs::file_time_type::clock::now() - kKeepUnused;
  std::error_code error;  // what cannot be removed costs room and nothing else
  for (fs::directory_iterator at(cache, error), end; !error && at != end; at.increment(error)) {
    std::error_code unknown;
    const auto used = fs::last_write_time(at->path(), unknown);
    if (!unknown && used < oldest) fs::remove(at->path(), unknown);
  }
}

}  // namespace

Result<> write_initramfs(const InitramfsContents& contents, const fs::path& out) {
  auto files = files_of(contents);
  if (!files) return context("make the initramfs", files.error());
  // Several processes may write the same one: each its own file, and the last rename stays.
  const fs::path part = out.string() + fmt::format(".{}.part", getpid());
  std::error_code error;
  Result<> written = write_archive(*files, part);
  if (written) fs::rename(part, out, error);
  if (error) written = broken(fmt::format("rename '{}': {}", part.string(), error.message()));
  if (!written) {
    std::error_code ignored;  // the first error tells more
    fs::remove(part, ignored);
    return context("make the initramfs", written.error());
  }
  return {};
}

Result<> extend_initramfs(const fs::path& base, const std::vector<ImageFile>& files,
                          const fs::path& out) {
  auto contents = files_of(files);
  if (!contents) return context("make the initramfs", contents.error());
  const fs::path archive = out.string() + fmt::format(".{}.archive", getpid());
  const fs::path part = out.string() + fmt::format(".{}.part", getpid());
  std::error_code error;
  fs::copy_file(base, part, fs::copy_options::overwrite_existing, error);
  Result<> done =
      error ? broken(fmt::format("copy '{}': {}", base.string(), error.message())) : Result<>();
  // It is used once, and large: not worth much of this host's time.
  if (done) done = write_archive(*contents, archive, "1");
  if (done) done = append_file(archive, part);
  if (done) fs::rename(part, out, error);
  if (done && error) done = broken(fmt::format("rename '{}': {}", part.string(), error.message()));
  std::error_code ignored;  // the first error tells more
  fs::remove(archive, ignored);
  fs::remove(part, ignored);
  return done ? done : context("make the initramfs", done.error());
}

Result<fs::path> cached_initramfs(const InitramfsContents& contents, const fs::path& cache) {
  auto key = initramfs_key(contents);
  if (!key) return tl::make_unexpected(key.error());
  std::error_code error;
  fs::create_directories(cache, error);
  if (error) return broken(fmt::format("cannot make '{}': {}", cache.string(), error.message()));
  const fs::path path = cache / (*key + ".cpio.gz");
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  if (!error) return path;
  remove_unused(cache);
  if (auto written = write_initramfs(contents, path); !written) {
    return tl::make_unexpected(written.error());
  }
  return path;
}

Result<std::string> initramfs_key(const InitramfsContents& contents) {
  auto files = files_of(contents);
  if (!files) return context("make the initramfs", files.error());
  std::uint64_t hash = kLayoutVersion;
  for (const File& file : *files) {
    hash = XXH3_64bits_withSeed(file.name.data(), file.name.size(), hash);
    hash = XXH3_64bits_withSeed(file.bytes.data(), file.bytes.size(), hash);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace mmquake
