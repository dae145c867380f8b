#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A git history of the kernel to bisect: Debian's 6.1 as it lies in mmquake's cache, and commits on top of it.
#
#   bench/bisect_history.sh DIR [small]
#
# DIR must not be there. It gets a repository with the tags good, bad and culprit. The culprit brings the bug
# of the case hugetlb-no-unshare, without a switch. Of the others most change nothing that matters, some do not
# compile, and one is a merge: the culprit came on the branch. `small` makes 7 commits in one line, of which one does
# not compile. The same source gives the same hashes, so kernels that were built once are found in the cache.
set -eu
dir=$1
size=${2:-large}
[ ! -e "$dir" ] || { echo "$dir is there already" >&2; exit 2; }
program=${MMQUAKE:-$(dirname "$0")/../build/mmquake}

kernel=$(dirname "$("$program" kernel path clean)")
source=$(sed -n 's/.*"source": "debian:\([^"]*\)".*/\1/p' "$kernel/artifact.json")
tree=$(dirname "$(dirname "$kernel")")/trees/${source/=/_}
[ -d "$tree/source" ] || { echo "no $tree/source; run: mmquake kernel build clean" >&2; exit 3; }

# What base.config never compiles is left out: a third of the size, and git is faster. Kconfig and Makefiles stay.
unused=('--exclude=./Documentation/*/*' --exclude=./tools/testing --exclude=./tools/perf)
for part in 'arch/[a-w]*' arch/xtensa drivers/gpu/drm drivers/media drivers/staging drivers/net/ethernet \
            drivers/net/wireless sound; do
  unused+=("--exclude=./$part/*.[chS]" "--exclude=./$part/*.dts*")
done
mkdir -p "$dir"
copy() {
  tar -C "$tree/source" "${unused[@]}" -cf - . | tar -C "$dir" -xf -
  # Files that a patch touches are as the kernel that was built last has them.
  for file in $(sed -n '/"touched"/,/]/s/^ *"\([^"]*\/[^"]*\)".*/\1/p' "$tree/state.json"); do
    rm -f "$dir/$file"
    [ ! -e "$tree/originals/$file" ] || cp "$tree/originals/$file" "$dir/$file"
  done
}
exec 9>>"$tree.lock"
flock 9
copy
exec 9>&-

cd "$dir"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=history GIT_AUTHOR_EMAIL=history@localhost
export GIT_COMMITTER_NAME=history GIT_COMMITTER_EMAIL=history@localhost
number=0
commit() {
  number=$((number + 1))
  export GIT_AUTHOR_DATE="$((1700000000 + number)) +0000" GIT_COMMITTER_DATE="$((1700000000 + number)) +0000"
  git commit -q -a -m "$1"
}
git init -q -b master
git config core.compression 1
git config gc.auto 0
# Debian's .gitignore names everything.
git add -A -f
commit "Linux ${source#*=}"
git tag good

files=(mm/mlock.c mm/migrate.c mm/rmap.c mm/gup.c mm/hugetlb.c mm/memory.c mm/mprotect.c mm/swap.c mm/vmscan.c)
harmless() {
  local file=${files[$((number % ${#files[@]}))]}
  printf '\nstatic int __maybe_unused history_%d(void)\n{\n\treturn %d;\n}\n' $number $number >> "$file"
  commit "mm: harmless change $number in ${file#mm/}"
}
several() { for ((i = 0; i < $1; i++)); do harmless; done; }
# Until mended() nothing compiles.
breaks() {
  printf '\nstatic int history_broken(void)\n{\n\treturn nowhere;\n}\n' >> mm/mincore.c
  commit "mm: use a name that is not there yet"
}
mended() {
  head -n -5 mm/mincore.c > mm/mincore.c.new
  mv mm/mincore.c.new mm/mincore.c
  commit "mm: mend the build"
}
culprit() {
  local before after
  before=$(grep -c '^			if (!anon) {$' mm/rmap.c)
  sed -i 's/^			if (!anon) {$/			if (!anon \&\& !hugetlb_pmd_shared(pvmw.pte)) {/' mm/rmap.c
  after=$(grep -c 'if (!anon && !hugetlb_pmd_shared(pvmw.pte)) {' mm/rmap.c)
  [ "$before" = 2 ] && [ "$after" = 2 ] || { echo "mm/rmap.c is not as expected" >&2; exit 3; }
  commit "mm/rmap: do not unshare PMDs that others use"
  git tag culprit
}

if [ "$size" = small ]; then
  several 2; breaks; mended; culprit; several 2
else
  several 6
  breaks; several 2; mended
  several 4
  git checkout -q -b topic
  # Apart from those of the other side, so that the merge has no conflict.
  files=(mm/migrate.c mm/gup.c mm/memory.c)
  several 5; culprit; several 3; breaks; mended
  git checkout -q master
  files=(mm/mlock.c mm/mprotect.c mm/swap.c)
  several 5
  number=$((number + 1))
  export GIT_AUTHOR_DATE="$((1700000000 + number)) +0000" GIT_COMMITTER_DATE="$((1700000000 + number)) +0000"
  git merge -q --no-ff -m "Merge branch 'topic'" topic
  several 6
  breaks; mended
  several 2
fi
git tag bad
echo "$(git rev-list --count good..bad) commits, the culprit is $(git rev-parse culprit)"
