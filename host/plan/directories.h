// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>

namespace mmquake {

// Absolute paths, none of which need exist. As the XDG specification wants it, a variable that
// holds a relative path counts as unset; without HOME the account's home directory is taken.

// $XDG_CACHE_HOME/mmquake (~/.cache/mmquake): kernel sources, artifacts, probe answers.
std::filesystem::path cache_dir();

// $XDG_STATE_HOME/mmquake (~/.local/state/mmquake): runs.
std::filesystem::path state_dir();

// $XDG_RUNTIME_DIR, or /tmp where there is none: short paths for sockets.
std::filesystem::path runtime_dir();

}  // namespace mmquake
