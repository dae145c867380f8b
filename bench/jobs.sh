#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Trials a minute with so many VMs at a time, for one campaign of short trials: which --jobs is best here?
#
#   bench/jobs.sh [TRIALS [JOBS...]]        default: 12 trials with 1, 2 and 3
set -eu
trials=${1:-12}
shift || true
jobs=("$@")
[ $# -gt 0 ] || jobs=(1 2 3)
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat > "$scratch/jobs.toml" <<'TOML'
summary = "short trials, to count them"
trials = 12
trial_seconds = 10
kernels = ["clean"]
machines = ["numa2-small"]

[[workload]]
name = "zap-vs-move"

[[workload]]
name = "migrate-verify"
params = { backing = "anon-thp" }
TOML
for j in "${jobs[@]}"; do
  began=$(date +%s.%N)
  build/mmquake soak "$scratch/jobs.toml" --trials "$trials" --jobs "$j" --seed 1 --out "$scratch/$j" \
    > "$scratch/$j.log" 2>&1 || { tail -5 "$scratch/$j.log"; exit 3; }
  rounds=$(grep -o '[0-9,]* rounds' "$scratch/$j.log" | tail -1)
  awk -v j="$j" -v t="$trials" -v b="$began" -v e="$(date +%s.%N)" -v r="$rounds" \
    'BEGIN { printf "--jobs %d: %.1f trials a minute, %s\n", j, t / (e - b) * 60, r }'
done
