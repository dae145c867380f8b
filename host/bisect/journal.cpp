// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace mmquake::bisect {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kVersion = 1;

constexpr std::array<std::pair<BuildEnd, const char*>, 2> kBuildEnds = {{
    {BuildEnd::kBuilt, "built"},
    {BuildEnd::kSkipped, "skipped"},
}};
constexpr std::array<std::pair<TrialEnd, const char*>, 4> kTrialEnds = {{
    {TrialEnd::kFound, "found"},
    {TrialEnd::kPassed, "passed"},
    {TrialEnd::kBroken, "broken"},
    {TrialEnd::kSkipped, "skipped"},
}};

template <typename Names, typename End>
const char* name_of(const Names& names, End end) {
  for (const auto& [value, name] : names) {
    if (value == end) return name;
  }
  return "?";
}

template <typename End, std::size_t kCount>
std::optional<End> end_of(const std::array<std::pair<End, const char*>, kCount>& names,
                          const std::string& text) {
  for (const auto& [value, name] : names) {
    if (text == name) return value;
  }
  return std::nullopt;
}

json to_json(const Commit& commit) {
  return {{"id", commit.id}, {"subject", commit.subject}};
}

json to_json(const Question& question) {
  json good = json::array();
  for (const Commit& commit : question.range.good) good.push_back(to_json(commit));
  json out = {{"type", "question"},
              {"version", kVersion},
              {"repository", question.range.repository.string()},
              {"good", good},
              {"bad", to_json(question.range.bad)},
              {"confidence", question.confidence},
              {"signature", question.signature},
              {"seed", question.seed},
              {"build", question.build},
              {"run", question.run}};
  if (question.vm) out["vm"] = to_json(*question.vm);
  return out;
}

json to_json(const BuildRecord& record) {
  return {{"type", "build"},
          {"commit", record.commit},
          {"end", name_of(kBuildEnds, record.result.end)},
          {"reason", record.result.reason},
          {"seconds", record.result.seconds},
          {"from_cache", record.result.from_cache}};
}

json to_json(const TrialRecord& record) {
  return {{"type", "trial"},
          {"commit", record.commit},
          {"seed", record.seed},
          {"end", name_of(kTrialEnds, record.outcome.end)},
          {"signature", record.outcome.signature},
          {"reason", record.outcome.reason},
          {"seconds", record.outcome.seconds}};
}

// Values of a line, by name; `is_whole` tells whether all that were asked for are there.
class Reader {
 public:
  explicit Reader(const json& line) : line_(line) {}

  template <typename T>
  T get(const char* name) {
    const auto found = line_.find(name);
    bool fits = found != line_.end();
    if constexpr (std::is_same_v<T, std::string>) fits = fits && found->is_string();
    if constexpr (std::is_same_v<T, bool>) fits = fits && found->is_boolean();
    if constexpr (std::is_same_v<T, double>) fits = fits && found->is_number();
    if constexpr (std::is_same_v<T, std::uint64_t>) fits = fits && found->is_number_unsigned();
    is_whole = is_whole && fits;
    return fits ? found->template get<T>() : T{};
  }
  Commit commit(const json& value) {
    Reader inner(value);
    Commit out{inner.get<std::string>("id"), inner.get<std::string>("subject"), {}};
    is_whole = is_whole && inner.is_whole;
    return out;
  }

  bool is_whole = true;

 private:
  const json& line_;
};

std::optional<Record> question(const json& line) {
  Reader reader(line);
  Question out;
  if (line.value("version", json()) != kVersion) return std::nullopt;
  out.range.repository = reader.get<std::string>("repository");
  if (!line.contains("good") || !line["good"].is_array() || !line.contains("bad")) {
    return std::nullopt;
  }
  for (const json& good : line["good"]) out.range.good.push_back(reader.commit(good));
  out.range.bad = reader.commit(line["bad"]);
  out.confidence = reader.get<double>("confidence");
  out.signature = reader.get<std::string>("signature");
  out.seed = reader.get<std::uint64_t>("seed");
  out.build = reader.get<std::string>("build");
  out.run = reader.get<std::string>("run");
  if (const auto vm = line.find("vm"); vm != line.end()) {
    out.vm = vm_trial_of(*vm);
    if (!out.vm) return std::nullopt;
  }
  if (!reader.is_whole) return std::nullopt;
  return out;
}

std::optional<Record> build(const json& line) {
  Reader reader(line);
  BuildRecord out;
  const auto end = end_of(kBuildEnds, reader.get<std::string>("end"));
  out.commit = reader.get<std::string>("commit");
  out.result.reason = reader.get<std::string>("reason");
  out.result.seconds = reader.get<double>("seconds");
  out.result.from_cache = reader.get<bool>("from_cache");
  if (!end || !reader.is_whole) return std::nullopt;
  out.result.end = *end;
  return out;
}

std::optional<Record> trial(const json& line) {
  Reader reader(line);
  TrialRecord out;
  const auto end = end_of(kTrialEnds, reader.get<std::string>("end"));
  out.commit = reader.get<std::string>("commit");
  out.seed = reader.get<std::uint64_t>("seed");
  out.outcome.signature = reader.get<std::string>("signature");
  out.outcome.reason = reader.get<std::string>("reason");
  out.outcome.seconds = reader.get<double>("seconds");
  if (!end || !reader.is_whole) return std::nullopt;
  out.outcome.end = *end;
  return out;
}

std::optional<Record> record_of(std::string_view text) {
  const json line = json::parse(text, nullptr, false);
  if (!line.is_object()) return std::nullopt;
  const json type = line.value("type", json());
  if (type == "question") return question(line);
  if (type == "build") return build(line);
  if (type == "trial") return trial(line);
  return std::nullopt;
}

std::string errno_text() {
  return std::strerror(errno);
}

// A new file's name is on disk only when its folder is.
void sync_folder(const fs::path& folder) {
  const kernel::OwnedFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) fsync(fd.get());
}

}  // namespace

Result<Journal> Journal::open(const fs::path& file) {
  kernel::OwnedFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return broken(fmt::format("open journal '{}': {}", file.string(), errno_text()));
  sync_folder(file.parent_path());
  auto text = kernel::read_text(file);
  if (!text) return tl::make_unexpected(text.error());
  Journal out(file, std::move(fd));
  std::size_t whole = 0;
  for (std::size_t at = 0, line = 1; at < text->size(); ++line) {
    const std::size_t end = text->find('\n', at);
    if (end == std::string::npos) break;
    auto record = record_of(std::string_view(*text).substr(at, end - at));
    at = end + 1;
    // A power failure may leave a last line of zeros.
    if (!record && at == text->size()) break;
    if (!record || (out.records_.empty() && !std::holds_alternative<Question>(*record))) {
      return broken(
          fmt::format("line {} of journal '{}' cannot be read; the lines before it are "
                      "worth keeping: cut the file there and resume",
                      line, file.string()));
    }
    out.records_.push_back(std::move(*record));
    whole = at;
  }
  if (whole < text->size() && ftruncate(out.fd_.get(), static_cast<off_t>(whole)) != 0) {
    return broken(fmt::format("mend journal '{}': {}", file.string(), errno_text()));
  }
  return out;
}

Result<> Journal::append(const Record& record) {
  const json line = std::visit([](const auto& one) { return to_json(one); }, record);
  const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t wrote = write(fd_.get(), text.data() + at, text.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      return broken(fmt::format("write journal '{}': {}", file_.string(), errno_text()));
    }
    at += static_cast<std::size_t>(wrote);
  }
  if (fsync(fd_.get()) != 0) {
    return broken(fmt::format("write journal '{}': {}", file_.string(), errno_text()));
  }
  records_.push_back(record);
  return {};
}

Question question_of(const std::vector<Record>& records) {
  for (auto at = records.rbegin(); at != records.rend(); ++at) {
    if (const auto* found = std::get_if<Question>(&*at)) return *found;
  }
  return {};
}

}  // namespace mmquake::bisect
