#!/usr/bin/env bash
# Sets up, shows and tests lagotui from a checkout. `./setup.sh --help` explains.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

VENV=${LAGOTUI_VENV:-$PWD/.venv}
DEMO=${LAGOTUI_DEMO:-${XDG_DATA_HOME:-$HOME/.local/share}/lagotui/demo}

# What a fresh Debian 12 or Ubuntu 24.04 lacks. No package here brings a service, so nothing is started on the host:
# libvirt-daemon-system (the system's daemon) stays out, the private host needs only the programs.
APT_PACKAGES=(
    # virtual machines and their networks
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils
    dnsmasq-base iptables nftables iproute2 uidmap slirp4netns acl openssh-client
    # the tiny guest template
    syslinux syslinux-common mtools e2fsprogs
    # the tests run the guest's scripts as the guest does
    busybox-static
    # Python, and libvirt's binding, which is compiled here
    python3 python3-venv python3-dev libvirt-dev pkg-config gcc libc6-dev ca-certificates
)
DNF_PACKAGES=(
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-network libvirt-daemon-log libvirt-client qemu-system-x86 qemu-img
    dnsmasq iptables-nft nftables iproute shadow-utils slirp4netns acl openssh-clients
    syslinux mtools e2fsprogs util-linux
    python3 python3-devel libvirt-devel pkgconf-pkg-config gcc
)
# For tests of the system's libvirt and of ssh. They bring services, so only CI gets them: root, where no init system would start any.
SERVICE_PACKAGES=(libvirt-daemon-system openssh-server)
# For images that do not speak cloud-init, for build commands, and for `template build debian` (docs/bootstrap.md). libguestfs takes its
# kernel from /boot. Users who need them install them; the tests that do are skipped elsewhere than in CI.
GUESTFS_PACKAGES=(libguestfs-tools linux-image-cloud-amd64 mmdebstrap)
TEST_USER='lagotui-test'

# The private host mounts its own folders on these; only libvirt-daemon-system would make them.
MOUNT_POINTS=(/etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt)

usage() {
    cat <<EOF
usage: ./setup.sh COMMAND

  packages  install the system packages that lagotui needs (by sudo, and only when some are missing)
  install   packages; then a virtual environment with the 'lagotui' command in $VENV
  demo      install; then make two virtual machines and their network from sample_initfiles/hello.yaml
            in $DEMO, show their state, and open the UI when there is a terminal
  test      install; then check style and types, and run all tests, those on real virtual machines too
  check     the same without those on real virtual machines

Every command may be repeated; the second time is quick. Beyond the packages nothing is started or changed on the machine.

variables:
  LAGOTUI_VENV   where the virtual environment goes      ($VENV)
  LAGOTUI_DEMO   where the demo's environment goes       ($DEMO)
  PYTHON         a Python from 3.11 on to use            (/usr/bin/python3, else the one on PATH)

Run by root, 'test' and 'check' run the tests as the ordinary user '$TEST_USER', made for them and removed at the end. Run by root on a
machine without systemd (CI), they also install what starts daemons elsewhere, and what libguestfs needs:
${SERVICE_PACKAGES[*]} ${GUESTFS_PACKAGES[*]}.
EOF
}

say() { printf '\033[1m==>\033[0m %s\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
stop() { printf 'setup.sh: %s\n' "$1" >&2; shift; printf '  %s\n' "$@" >&2; exit 2; }

# --- system packages ---------------------------------------------------------------------------------------------------------

install_packages() { # install_packages [NAME…]: more packages, of Debian
    if command -v dpkg-query >/dev/null; then
        install_debian "${APT_PACKAGES[@]}" "$@"
    elif command -v rpm >/dev/null; then
        require_fedora
    else
        say "this is neither Debian, Ubuntu nor Fedora: please see to the packages yourself (README.md lists them)"
    fi
    open_tun
}

install_debian() {
    local missing=() folders=() name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${#missing[@]} Debian packages: ${missing[*]}"
        as_root apt-get -qq update || say "apt-get update failed; going on with the lists of packages that are there"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}" ||
            stop "the packages could not be installed; the lines above say why. Where sudo is not for you, have root run:" "$(self packages)"
    fi
    for name in "${MOUNT_POINTS[@]}"; do [ -d "$name" ] || folders+=("$name"); done
    if [ ${#folders[@]} -gt 0 ]; then
        say "making empty folders: ${folders[*]}"
        as_root mkdir -p "${folders[@]}"
    fi
}

require_fedora() {
    local missing=() name
    for name in "${DNF_PACKAGES[@]}"; do rpm -q --quiet --whatprovides "$name" || missing+=("$name"); done
    [ ${#missing[@]} -eq 0 ] || stop "these packages are missing; install them and run this again:" "sudo dnf install ${missing[*]}"
}

# Guests' network cards need this device. Where udev runs it is open to all; without udev (containers, small VMs) nobody opens it.
open_tun() {
    if [ -c /dev/net/tun ] && [ "$(stat -c %a /dev/net/tun)" != 666 ]; then
        say "opening /dev/net/tun to all users, as udev does where it runs"
        as_root chmod 666 /dev/net/tun
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        stop "there is no sudo here; have root run this, then run ./setup.sh again:" "$(self packages)"
    fi
}

self() { quote "$PWD/setup.sh" "$1"; }

quote() { # words as a shell reads them
    local words
    printf -v words '%q ' "$@"
    printf '%s' "${words% }"
}

# --- Python ------------------------------------------------------------------------------------------------------------------

pick_python() {
    local candidate candidates=(/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    stop "lagotui needs Python 3.11 or newer; here: $("${candidates[0]}" --version 2>/dev/null || echo "no ${candidates[0]}")" \
        "Debian 12, Ubuntu 24.04 and newer have one; for one that is elsewhere: PYTHON=/path/to/python3 ./setup.sh …"
}

make_venv() { # make_venv EXTRAS: "" or "[dev]"
    local stamp=$VENV/.lagotui-installed$1 wanted python
    wanted="$PWD $(cat pyproject.toml lagotui/__init__.py | sha256sum)"
    if [ -x "$VENV/bin/lagotui" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$VENV/bin/python" -c '' 2>/dev/null; then
        return
    fi
    python=$(pick_python)
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        say "making a virtual environment in $VENV with $python"
        "$python" -m venv --clear "$VENV"
    fi
    say "installing the Python packages (a minute or two the first time)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".$1" ||
        stop "the Python packages could not be installed; the lines above say why" \
            "behind a proxy: https_proxy=… ./setup.sh …; with a package index of your own: PIP_INDEX_URL=… ./setup.sh …"
    printf '%s' "$wanted" >"$stamp"
}

install_all() { # install_all EXTRAS [NAME…]: of pip and of Debian
    if [ -n "${PYTHON:-}" ] || command -v python3 >/dev/null; then pick_python >/dev/null; fi # before anything is installed
    install_packages "${@:2}"
    make_venv "$1"
}

# --- demo --------------------------------------------------------------------------------------------------------------------

demo() {
    local lago=("$VENV/bin/lagotui" --run -w "$DEMO") hello=$PWD/sample_initfiles/hello.yaml
    install_all ''
    mkdir -p "$(dirname "$DEMO")"
    show "${lago[@]}" up "$hello"
    show "${lago[@]}" status
    say "it is yours:"
    printf '  %s\n' "cd $(quote "$DEMO")" "alias lago='$(quote "$VENV/bin/lagotui") --run'" \
        'lago shell alice; lago snapshot clean; lago destroy'
    if [ -t 0 ] && [ -t 1 ]; then
        cd "$DEMO"
        "$VENV/bin/lagotui"
    fi
}

show() {
    say "$(quote "$@")"
    "$@"
}

# --- test --------------------------------------------------------------------------------------------------------------------

check() {
    install_for_tests
    say "style"
    "$VENV/bin/ruff" format --check .
    "$VENV/bin/ruff" check .
    say "types"
    "$VENV/bin/mypy"
    say "tests"
    prepare_tests
    as_test_user "$TEST_PYTHON" -m pytest -q -n auto --durations=5 -m 'not live' "${TEST_OPTIONS[@]}"
}

test_all() {
    check
    say "tests on real virtual machines (about ten minutes where there is no KVM)"
    (cd "$TEST_TREE" && "$TEST_PYTHON" -m pytest -q --durations=10 -m live)
    say "all tests have passed"
}

install_for_tests() {
    local more=()
    if [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ]; then
        more+=("${SERVICE_PACKAGES[@]}" "${GUESTFS_PACKAGES[@]}")
        forbid_services
    fi
    install_all '[dev]' "${more[@]}"
}

# Packages ask this file whether they may start what they bring; containers have it, a bare root has not.
forbid_services() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    AT_END+=("rm -f /usr/sbin/policy-rc.d")
}

# Tests are an ordinary user's. Root's folders may be closed to that user: root's tests run in a copy.
prepare_tests() {
    TEST_TREE=$PWD TEST_PYTHON=$VENV/bin/python TEST_OPTIONS=()
    [ "$(id -u)" = 0 ] || return 0
    TEST_TREE=$(mktemp -d /var/tmp/lagotui-test.XXXXXX)
    AT_END+=("rm -rf $TEST_TREE")
    if ! id "$TEST_USER" >/dev/null 2>&1; then
        useradd --no-create-home --home-dir "$TEST_TREE" --shell /bin/sh "$TEST_USER"
    else # left by a run that was killed
        usermod --home "$TEST_TREE" "$TEST_USER"
    fi
    AT_END+=(remove_test_user)
    tar -c --exclude=./.git --exclude=./.venv . | tar -x -C "$TEST_TREE"
    cp -r "$VENV" "$TEST_TREE/.venv"
    chmod 755 "$TEST_TREE"
    chown -R "$TEST_USER:" "$TEST_TREE"
    TEST_PYTHON=$TEST_TREE/.venv/bin/python TEST_OPTIONS=("--basetemp=$TEST_TREE/t")
    export PYTHONPATH=$TEST_TREE
}

remove_test_user() {
    local process
    for process in /proc/[0-9]*; do
        [ "$(stat -c %U "$process" 2>/dev/null)" != "$TEST_USER" ] || kill -KILL "${process#/proc/}"
    done
    userdel "$TEST_USER"
}

as_test_user() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$TEST_USER" --regid="$TEST_USER" --init-groups --inh-caps=-all -- \
            env -C "$TEST_TREE" HOME="$TEST_TREE" USER="$TEST_USER" LOGNAME="$TEST_USER" "$@"
    else
        "$@"
    fi
}

AT_END=()
clean_up() {
    local index
    for ((index = ${#AT_END[@]} - 1; index >= 0; index--)); do ${AT_END[index]} || true; done
}
trap clean_up EXIT

case ${1:-} in
    packages) install_packages ;;
    install) install_all '' && say "ready: $VENV/bin/lagotui" ;;
    demo) demo ;;
    test) test_all ;;
    check) check ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
