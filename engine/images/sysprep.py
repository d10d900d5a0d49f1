"""What a machine is told from outside, by distribution: the part that all machines of an image share, and the part of each machine. Pure.

The shared part is a command line of virt-sysprep(1). It also makes, empty, every file that the other part writes: so each has its owner,
its mode and its SELinux label before the labels are set, and keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

PLACEHOLDER = "lagotui-name-of-the-machine"
"""Stands for the host name in the shared part; virt-sysprep knows where each distribution keeps that."""

NAMED_FILES = ("/etc/hostname", "/etc/HOSTNAME", "/etc/hosts", "/etc/sysconfig/network", "/etc/conf.d/hostname")
"""Where virt-sysprep may have put it."""

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

_GRUB2, _GRUB = "/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"
_SLOW_UNITS = ("kdump.service", "postfix.service")
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_ISCSI = "/etc/iscsi/initiatorname.iscsi"


class Network(StrEnum):
    """How a distribution is told to ask for an address, by the MAC of each NIC."""

    NONE = "none"
    """It asks by itself."""
    EL = "el"
    DEBIAN = "debian"


@dataclass(frozen=True, slots=True)
class Profile:
    """What is done to a distribution, beyond what is done to all."""

    name: str
    iscsi: bool = False
    network: Network = Network.NONE
    grub: str = ""
    """Its configuration, whose timeout is set to 0; "": it is left alone."""
    slow_units: bool = False
    """Services that only cost boot time are not started."""
    host_key: bool = True
    """Its sshd takes an ed25519 host key from OpenSSH's folder."""


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("base"),
        Profile("el6", iscsi=True, network=Network.EL, host_key=False),
        Profile("el7", iscsi=True, network=Network.EL, grub=_GRUB2, slow_units=True),
        Profile("fc24", iscsi=True, grub=_GRUB2, slow_units=True),
        Profile("fc25", iscsi=True, grub=_GRUB2, slow_units=True),
        Profile("fc26", iscsi=True, grub=_GRUB2, slow_units=True),
        Profile("debian", network=Network.DEBIAN, grub=_GRUB),
        Profile("cirros", host_key=False),
    )
}
"""The predecessor's table; cirros is told apart since its sshd is dropbear."""


def profile_of(distro: str | None) -> Profile:
    return PROFILES.get(distro or "", PROFILES["base"])


@dataclass(frozen=True, slots=True)
class Shared:
    """What all machines have in common that share one prepared image."""

    profile: str
    nics: int = 1
    ssh_user: str = "root"
    has_root_password: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What one machine is told."""

    name: str
    distro: str | None
    authorized_key: str
    """One line."""
    macs: tuple[str, ...] = ()
    ssh_user: str = "root"
    host_key: tuple[str, str] | None = None
    """Private and public, as files hold them; None lets the machine make its own."""


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What was found in an image once its shared part was done."""

    mounts: tuple[tuple[str, str, str], ...] = ()
    """Device, where it belongs, type of its file system; the shortest place first."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Files with the placeholder in them → their text."""
    passwd: str = ""
    """/etc/passwd."""

    @property
    def mixes(self) -> bool:
        """Whether disks like this one may be in one session: what names its volumes by an id finds two of the same."""
        return bool(self.mounts) and all(
            re.fullmatch(r"/dev/sda\d*", device) and kind in ("ext2", "ext3", "ext4", "xfs") for device, _, kind in self.mounts
        )


# the shared part


def sysprep_options(shared: Shared, password_file: str | None = None) -> list[str]:
    """Return the options of virt-sysprep that do the shared part; none is read by a shell.

    Args:
        shared: of the machines.
        password_file: with root's password in its first line; None leaves it as it is.
    """
    profile = profile_of(shared.profile)
    options = ["--hostname", PLACEHOLDER]
    options += ["--root-password", f"file:{password_file}"] if password_file else []
    options += ["--mkdir", "/root/.ssh", "--chmod", "0700:/root/.ssh", *_empty("/root/.ssh/authorized_keys", "0600")]
    options += ["--run-command", _user_script(shared.ssh_user)] if shared.ssh_user != "root" else []
    if profile.host_key:
        options += ["--mkdir", "/etc/ssh", *_empty(HOST_KEY, "0600"), *_empty(f"{HOST_KEY}.pub", "0644")]
    options += ["--mkdir", "/etc/iscsi", "--chmod", "0755:/etc/iscsi", *_empty(_ISCSI, "0644")] if profile.iscsi else []
    folders = dict.fromkeys(str(PurePosixPath(path).parent) for path in _network_files(profile, [""] * shared.nics))
    for folder in folders:
        options += ["--mkdir", folder, "--chmod", f"0755:{folder}"]
    for path in _network_files(profile, [""] * shared.nics):
        options += _empty(path, "0644")
    options += ["--run-command", _grub_script(profile.grub)] if profile.grub else []
    if profile.slow_units:
        for unit in _SLOW_UNITS:
            options += ["--delete", f"{_WANTS}/{unit}"]
    return [*options, "--selinux-relabel"]


def _empty(path: str, mode: str) -> list[str]:
    return ["--touch", path, "--chmod", f"{mode}:{path}"]


def _grub_script(path: str) -> str:
    """Return what the guest's shell does: an image may boot otherwise, so that the file need not be there."""
    return f"if [ -f {path} ]; then sed -i 's/set timeout=5/set timeout=0/g' {path}; fi"


def _user_script(name: str) -> str:
    """Return what the guest's shell does so that a user is there, with a place for our key, and may do what root may."""
    if not USER_NAME.fullmatch(name):
        raise ValueError(f"'{name}' is no name of a user")
    return "\n".join(
        (
            f"id -u {name} >/dev/null 2>&1 || useradd -m -s /bin/bash {name}",
            f"install -d -m 700 ~{name}/.ssh",
            f"touch ~{name}/.ssh/authorized_keys",
            f"chown -R {name}: ~{name}/.ssh",
            "if [ -d /etc/sudoers.d ]; then",
            f"  echo '{name} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-{name}",
            f"  chmod 440 /etc/sudoers.d/90-{name}",
            "fi",
        )
    )


# the part of each machine


def machine_commands(told: Told, facts: GuestFacts, device: str | None) -> list[list[str]]:
    """Return the commands of guestfish that tell one machine what it is.

    Args:
        told: the machine.
        facts: of its image.
        device: of its disk in the session; None when its file systems are mounted already.
    """
    files = machine_files(told, facts)
    mounts = _needed(facts.mounts, files) if device is not None else []
    commands = [["mount-options", "nouuid" if kind == "xfs" else "", f"{device}{name[8:]}", place] for name, place, kind in mounts]
    for path, (content, mode) in files.items():
        commands += [["mkdir-p", str(PurePosixPath(path).parent)], ["write", path, content], ["chmod", mode, path]]
    if told.ssh_user != "root":
        home, owner = _home(facts.passwd, told.ssh_user)
        commands += [["chown", *owner, path] for path in (f"{home}/.ssh", f"{home}/.ssh/authorized_keys")]
    return commands + ([["umount-all"]] if device is not None else [["sync"]])


def machine_files(told: Told, facts: GuestFacts) -> dict[str, tuple[str, str]]:
    """Return path → content and mode of what only this machine has."""
    profile = profile_of(told.distro)
    files = {path: (text.replace(PLACEHOLDER, told.name), "0644") for path, text in facts.named.items()}
    homes = ["/root"] + ([_home(facts.passwd, told.ssh_user)[0]] if told.ssh_user != "root" else [])
    for home in homes:
        files[f"{home}/.ssh/authorized_keys"] = (f"{told.authorized_key.strip()}\n", "0600")
    if told.host_key is not None and profile.host_key:
        private, public = told.host_key
        files |= {HOST_KEY: (private, "0600"), f"{HOST_KEY}.pub": (f"{public.strip()}\n", "0644")}
    if profile.iscsi:
        files[_ISCSI] = (f"InitiatorName=iqn.2014-07.org.lago:{told.name}:{told.name}\n", "0644")
    return files | {path: (text, "0644") for path, text in _network_files(profile, told.macs).items()}


def _network_files(profile: Profile, macs: Sequence[str]) -> dict[str, str]:
    match profile.network:
        case Network.EL:
            return {f"/etc/sysconfig/network-scripts/ifcfg-eth{number}": _el_nic(number, mac) for number, mac in enumerate(macs)}
        case Network.DEBIAN:
            nics = {f"/etc/network/interfaces.d/ifcfg-eth{number}.cfg": _debian_nic(number, mac) for number, mac in enumerate(macs)}
            return {"/etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*.cfg\n", **nics}
        case Network.NONE:
            return {}


def _el_nic(number: int, mac: str) -> str:
    return f'HWADDR="{mac}"\nBOOTPROTO="dhcp"\nONBOOT="yes"\nTYPE="Ethernet"\nNAME="eth{number}"\n'


def _debian_nic(number: int, mac: str) -> str:
    name = f"eth{number}"
    return f"auto {name}\niface {name} inet6 auto\niface {name} inet dhcp\n    hwaddress ether {mac}\n"


def _needed(mounts: Iterable[tuple[str, str, str]], files: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return the file systems that the files are on, the outer first."""
    paths = [PurePosixPath(path) for path in files]
    return [mount for mount in mounts if any(path.is_relative_to(mount[1]) for path in paths)]


def _home(passwd: str, user: str) -> tuple[str, tuple[str, str]]:
    """Return a user's home, and its user and group by number."""
    for line in passwd.splitlines():
        name, *rest = line.split(":")
        if name == user and len(rest) >= 5:
            return rest[4], (rest[1], rest[2])
    return f"/home/{user}", ("0", "0")
