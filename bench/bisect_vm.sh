#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Finds a culprit that few trials show, in real history and real VMs, with three seeds: all must name it.
#
#   bench/bisect_vm.sh [DIR [SECONDS [SEEDS...]]]
#
# DIR holds the history (bench/bisect_history.sh) and is made if it is not there. SECONDS of guest time are a trial;
# the fewer, the rarer the bug: with two CPUs and 7 s it is about three trials in ten. Takes an hour.
set -eu
cd "$(dirname "$0")/.."
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/mmquake-history}
seconds=${2:-7}
seeds=("${@:3}")
[ ${#seeds[@]} -gt 0 ] || seeds=(1 2 3)
[ -d "$dir/.git" ] || bench/bisect_history.sh "$dir"
culprit=$(git -C "$dir" rev-parse culprit)
results=$(mktemp -d)
wrong=0
for seed in "${seeds[@]}"; do
  build/mmquake bisect --repo "$dir" --good good --bad bad --case hugetlb-no-unshare \
    --machine numa2-movable-2cpu --seconds "$seconds" --seed "$seed" --json > "$results/$seed.json" || { echo "seed $seed: exit code $?"; wrong=1; continue; }
  answer=$(sed -n '/"first_bad"/,/]/s/.*"id": "\([^"]*\)".*/\1/p' "$results/$seed.json")
  if [ "$answer" = "$culprit" ]; then
    echo "seed $seed: right"
  else
    echo "seed $seed: wrong: $answer, and not $culprit"
    wrong=1
  fi
done
rm -rf "$results"
exit $wrong
