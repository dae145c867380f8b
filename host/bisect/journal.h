// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a bisection was told, a line of JSON for each: all that it knows comes from here, so whoever
// is killed at any moment goes on from its last whole line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "guest/protocol/result.h"
#include "host/bisect/history.h"
#include "host/bisect/search.h"
#include "host/bisect/vm_trial.h"
#include "host/kernel/files.h"

namespace mmquake::bisect {

// The question. A later one replaces it but for the range: a bisection that goes on with another
// confidence, say.
struct Question {
  Range range;
  double confidence = 0.95;
  std::string signature;  // as it was asked for; may be empty
  std::uint64_t seed = 1;
  std::string build;  // commands of --build and --run
  std::string run;
  std::optional<VmTrial>
      vm;  // instead of the commands; its kernel's recipe lies beside the journal
};

struct BuildRecord {
  std::string commit;
  BuildResult result;
};

struct TrialRecord {
  std::string commit;
  std::uint64_t seed = 0;
  TrialOutcome outcome;
};

using Record = std::variant<Question, BuildRecord, TrialRecord>;

class Journal {
 public:
  // Makes the file if need be. Takes off its end what a killed process left of a line. A line
  // before it that cannot be read is an error, as are records without a question.
  static Result<Journal> open(const std::filesystem::path& file);

  // On disk when this returns.
  Result<> append(const Record& record);

  const std::vector<Record>& records() const { return records_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  Journal(std::filesystem::path file, kernel::OwnedFd fd)
      : file_(std::move(file)), fd_(std::move(fd)) {}

  std::filesystem::path file_;
  kernel::OwnedFd fd_;
  std::vector<Record> records_;
};

// The newest question among them; there is one unless the list is empty.
Question question_of(const std::vector<Record>& records);

}  // namespace mmquake::bisect
