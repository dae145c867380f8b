// SPDX-License-Identifier: GPL-2.0-or-later
//
// Result<T>: how a recoverable error travels. Each layer adds what it was doing, so that the
// message reads "boot machine 'numa2': start domain: ...". Exceptions do not cross a module.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace mmquake {

// Who has to act. The kinds decide the exit code and never blur (LTP's TBROK and TCONF).
enum class ErrorKind {
  kUsage,    // the person asked for something that does not exist or is out of range: exit 2
  kBroken,   // the harness or the host failed: exit 3
  kSkipped,  // the kernel or machine lacks something: exit 4
};

// What failed, on which input, and what to do now.
struct Error {
  ErrorKind kind = ErrorKind::kBroken;
  std::string message;
};

// A class and not an alias, so that a dropped result is a compiler error.
template <typename T = void>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result() = default;
  Result(tl::expected<T, Error> other) : tl::expected<T, Error>(std::move(other)) {}
};

inline tl::unexpected<Error> broken(std::string message) {
  return tl::make_unexpected(Error{ErrorKind::kBroken, std::move(message)});
}
inline tl::unexpected<Error> usage(std::string message) {
  return tl::make_unexpected(Error{ErrorKind::kUsage, std::move(message)});
}
inline tl::unexpected<Error> skipped(std::string message) {
  return tl::make_unexpected(Error{ErrorKind::kSkipped, std::move(message)});
}
// The same error with "doing: " put before its message.
inline tl::unexpected<Error> context(std::string_view doing, Error error) {
  error.message = std::string(doing) + ": " + error.message;
  return tl::make_unexpected(std::move(error));
}

}  // namespace mmquake
