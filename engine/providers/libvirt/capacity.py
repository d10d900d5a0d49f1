"""What the host has in use, and what its machines may read."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import shlex
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

ROUTES = Path("/proc/net/route")
"""The kernel's IPv4 routes: also what libvirt looks at when it refuses a subnet that is taken."""
QEMU_CONF = Path("/etc/libvirt/qemu.conf")
_QEMU_USERS = ("libvirt-qemu", "qemu")
"""Debian's and Fedora's names; what qemu.conf says comes first, but that file is root's on most machines."""
_ACL = "system.posix_acl_access"
_ACL_USER, _ACL_MASK = 0x02, 0x10
_EXECUTE = 1


def subnets_in_routes(text: str, except_bridges: frozenset[str]) -> frozenset[str]:
    """Return the networks in a `/proc/net/route`, leaving out the default route and what goes through our bridges."""
    subnets = set()
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 8 or words[0] in except_bridges or int(words[7], 16) == 0:
            continue
        address, mask = (ipaddress.IPv4Address(struct.pack("<I", int(word, 16))) for word in (words[1], words[7]))
        subnets.add(str(ipaddress.IPv4Network(f"{address}/{mask}", strict=False)))
    return frozenset(subnets)


def qemu_user(conf: Path = QEMU_CONF) -> str:
    """Return the user that the system's machines run as; "" when it cannot be told."""
    try:
        match = re.search(r'^\s*user\s*=\s*"\+?([^"]+)"', conf.read_text(), re.MULTILINE)
    except OSError:
        match = None
    if match:
        return match.group(1)
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _QEMU_USERS if name in known), "")


def command_to_let_in(folder: Path, user: str) -> str:
    """Return the command that lets `user` pass every folder down to `folder`; "" when it already can."""
    entry = _account(user)
    if entry is None or entry.pw_uid == 0:
        return ""
    closed = [str(each) for each in _folders_down_to(folder) if not _may_pass(each, entry)]
    return shlex.join(["setfacl", "-m", f"u:{entry.pw_name}:x", *closed]) if closed else ""


def _account(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return None


def _folders_down_to(folder: Path) -> list[Path]:
    """Return the folders from the root down to `folder`, of which the last ones may not be made yet."""
    whole = folder.resolve()
    return [each for each in (*reversed(whole.parents), whole) if each.is_dir()]


def _may_pass(folder: Path, entry: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == entry.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    named = _named_in_acl(folder, entry.pw_uid)
    if named is not None:
        return named
    if status.st_gid in os.getgrouplist(entry.pw_name, entry.pw_gid):
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _named_in_acl(folder: Path, uid: int) -> bool | None:
    """Return what the folder's ACL says of a user by name; None when it does not name them."""
    try:
        entries = list(_acl_entries(os.getxattr(folder, _ACL)))
    except OSError:
        return None
    mask = next((perm for tag, perm, _ in entries if tag == _ACL_MASK), _EXECUTE)
    return next((bool(perm & mask & _EXECUTE) for tag, perm, who in entries if tag == _ACL_USER and who == uid), None)


def _acl_entries(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, permissions, id) of the kernel's form of an ACL: a version, then 8 bytes an entry (linux/posix_acl_xattr.h)."""
    return struct.iter_unpack("<HHI", raw[4:])
