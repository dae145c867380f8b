#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs with apt what is missing, and only that. Says what it does; asks for sudo only when
# something is missing and you are not root.
set -eu

# to build mmquake and its tests
build="g++ cmake ninja-build make pkg-config libvirt-dev libcli11-dev libtomlplusplus-dev
 nlohmann-json3-dev libspdlog-dev libfmt-dev libboost-dev libboost-filesystem-dev libexpected-dev
 libpugixml-dev liburing-dev libibverbs-dev libnl-3-dev libnl-route-3-dev libarchive-dev
 libdw-dev libelf-dev libnuma-dev libxxhash-dev libsqlitecpp-dev libsqlite3-dev
 libkainjow-mustache-dev libgtest-dev libgmock-dev"
# to boot VMs
machines="libvirt0 libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86"
# to fetch and build kernels
kernels="gcc flex bison bc xz-utils patch dpkg-dev kmod cpio libssl-dev git ccache procps"
# for make lint and the fuzz targets
lint="clang clang-format clang-tidy libclang-rt-14-dev"

# for tests that are skipped without: of the HTML report in a browser (122 MB to fetch), of scripts in the guest
browser="chromium busybox-static"
# for tests that are skipped without: of dumps and of gdb on a guest
debuggers="crash gdb"

wanted="$build $machines $kernels"
[ "${1:-}" = lint ] && wanted="$wanted $lint"
[ "${1:-}" = browser ] && wanted="$wanted $browser"
[ "${1:-}" = debuggers ] && wanted="$wanted $debuggers"

missing=""
for package in $wanted; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
# As root, libvirt looks this user up before it reads its configuration, which then does not use it.
# Its package would be libvirt-daemon-system, with a service that nobody needs here.
user=""
if [ "$(id -u)" -eq 0 ] && ! getent passwd libvirt-qemu >/dev/null; then
  user="useradd --system --user-group --no-create-home --home-dir /var/lib/libvirt
 --shell /usr/sbin/nologin libvirt-qemu"
fi
if [ -z "$missing$user" ]; then
  echo "deps: everything is installed"
  exit 0
fi

if [ -n "$missing" ]; then
  root=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "deps: missing:$missing" >&2
      echo "deps: you are not root and there is no sudo; as root, run: apt-get install --no-install-recommends$missing" >&2
      exit 3
    fi
    root="sudo"
  fi
  echo "deps: missing:$missing"
  echo "deps: running ${root:+$root }apt-get update, then ${root:+$root }apt-get install"
  $root apt-get update
  # Recommends would bring a libvirtd service, a desktop display and more that is never used.
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi
if [ -n "$user" ]; then
  echo "deps: running" $user
  $user
fi
