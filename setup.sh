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
    # Python, and libvirt's binding, which is compiled here
    python3 python3-venv python3-dev libvirt-dev pkg-config gcc libc6-dev ca-certificates
)
DNF_PACKAGES=(
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-driver-network libvirt-daemon-log libvirt-client qemu-system-x86 qemu-img
    dnsmasq iptables-nft nftables iproute shadow-utils slirp4netns acl openssh-clients
    syslinux mtools e2fsprogs util-linux
    python3 python3-devel libvirt-devel pkgconf-pkg-config gcc
)
# The private host mounts its own folders on these; only libvirt-daemon-system would make them.
MOUNT_POINTS=(/etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt)

usage() {
    cat <<EOF
usage: ./setup.sh COMMAND

  packages  install the system packages that lagotui needs (asks for sudo, only when some are missing)
  install   the packages, and a virtual environment with the 'lagotui' command in $VENV
  demo      install; then make two virtual machines and their network from sample_initfiles/hello.yaml
            in $DEMO, show their state, and open the UI when there is a terminal
  test      install; then check style and types, and run all tests, those on real virtual machines too
  check     the same without those on real virtual machines

Every command may be repeated; the second time is quick. Nothing is started or changed on the host beyond the packages.

variables:
  LAGOTUI_VENV   where the virtual environment goes      ($VENV)
  LAGOTUI_DEMO   where the demo's environment goes       ($DEMO)
  PYTHON         a Python from 3.11 on to use            (/usr/bin/python3, else the one on PATH)

Run by root, 'test' makes the ordinary user 'lagotui-test' for its virtual machines, and removes it at the end.
EOF
}

say() { printf '\033[1m==>\033[0m %s\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
stop() { printf 'setup.sh: %s\n' "$1" >&2; shift; printf '  %s\n' "$@" >&2; exit 2; }

# --- system packages ---------------------------------------------------------------------------------------------------------

install_packages() {
    if command -v dpkg-query >/dev/null; then
        install_debian
    elif command -v rpm >/dev/null; then
        require_fedora
    else
        say "this is neither Debian, Ubuntu nor Fedora: please see to the packages yourself (README.md lists them)"
    fi
}

install_debian() {
    local missing=() name
    for name in "${APT_PACKAGES[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    local folders=()
    for name in "${MOUNT_POINTS[@]}"; do [ -d "$name" ] || folders+=("$name"); done
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${#missing[@]} Debian packages: ${missing[*]}"
        as_root apt-get -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}"
        folders=() # packages have made some of them
        for name in "${MOUNT_POINTS[@]}"; do [ -d "$name" ] || folders+=("$name"); done
    fi
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
        sudo "$@" || stop "'sudo $1' failed; run this as root, then run ./setup.sh again:" "$*"
    else
        stop "there is no sudo here; run this as root, then run ./setup.sh again:" "$PWD/setup.sh packages"
    fi
}

# --- Python ------------------------------------------------------------------------------------------------------------------

pick_python() {
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    stop "no Python from 3.11 on is here; Debian 12, Ubuntu 24.04 and newer have one"
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
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".$1"
    printf '%s' "$wanted" >"$stamp"
}

install_all() {
    install_packages
    open_tun
    make_venv "${1:-}"
}

# --- demo --------------------------------------------------------------------------------------------------------------------

demo() {
    local hello=$PWD/sample_initfiles/hello.yaml lagotui=$VENV/bin/lagotui
    install_all
    say "lagotui --run -w $DEMO up $hello"
    mkdir -p "$(dirname "$DEMO")"
    "$lagotui" --run -w "$DEMO" up "$hello"
    say "lagotui --run -w $DEMO status"
    "$lagotui" --run -w "$DEMO" status
    say "it is yours: cd $DEMO; alias lago='$lagotui --run'; lago shell alice; lago snapshot clean; lago destroy"
    if [ -t 0 ] && [ -t 1 ]; then
        cd "$DEMO"
        exec "$lagotui"
    fi
}

# --- test --------------------------------------------------------------------------------------------------------------------

check() {
    install_all '[dev]'
    say "style"
    "$VENV/bin/ruff" format --check .
    "$VENV/bin/ruff" check .
    say "types"
    "$VENV/bin/mypy"
    say "tests"
    "$VENV/bin/python" -m pytest -q -n auto -m 'not live'
}

test_all() {
    check
    say "tests on real virtual machines (a quarter of an hour where there is no KVM)"
    if [ "$(id -u)" = 0 ] && ! as_nobody "$VENV/bin/python" -c 'import textual' 2>/dev/null; then
        live_from_a_copy
    else
        "$VENV/bin/python" -m pytest -q -m live
    fi
    say "all tests have passed"
}

as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all -- env -C "$PWD" "$@"
}

# Run by root the tests use an ordinary user, who cannot see into root's folders: here the checkout is in one.
live_from_a_copy() {
    local copy code=0
    copy=$(mktemp -d /var/tmp/lagotui-test.XXXXXX)
    chmod 755 "$copy"
    tar -c --exclude=./.git --exclude=./.venv . | tar -x -C "$copy"
    cp -r "$VENV" "$copy/.venv"
    (cd "$copy" && PYTHONPATH=$copy .venv/bin/python -m pytest -q -m live) || code=$?
    rm -rf "$copy"
    [ "$code" = 0 ] || exit "$code"
}

case ${1:-} in
    packages) install_packages ;;
    install) install_all && say "ready: $VENV/bin/lagotui" ;;
    demo) demo ;;
    test) test_all ;;
    check) check ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
