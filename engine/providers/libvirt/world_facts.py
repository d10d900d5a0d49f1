"""Why a private world cannot be made here: facts read from the system, and the error with its fix; the second part is pure."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from ...errors import WorldUnavailable

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Added to PATH: ordinary users on Debian do not have them, and libvirtd, dnsmasq and ip live there."""

PROGRAMS = ("unshare", "mount", "ip", "virtlogd", "libvirtd", "dnsmasq", "qemu-system-x86_64")
USER_PROGRAMS = ("newuidmap", "newgidmap")
"""Needed by everybody but root."""

TUN = "/dev/net/tun"
USE_SYSTEM = "or use the system's libvirt: --libvirt_url qemu:///system"


@dataclass(frozen=True, slots=True)
class WorldFacts:
    """What decides whether a world can be made; None where the system has no such switch."""

    user: str
    is_root: bool
    missing: tuple[str, ...]
    """Programs that are not installed."""
    tun_error: str
    """Why /dev/net/tun does not open, "" when it does: guests' NICs are made with it."""
    has_subids: bool
    """Whether the user has ranges in both subuid and subgid."""
    unprivileged_userns_clone: int | None
    """Debian's old switch, kernel.unprivileged_userns_clone."""
    max_user_namespaces: int | None
    apparmor_restricts: int | None
    """Ubuntu's switch, kernel.apparmor_restrict_unprivileged_userns."""

    @property
    def blocked(self) -> bool:
        """Whether there is no use in trying: a world would start, but could not run guests."""
        return bool(self.missing or self.tun_error)


def search_path() -> str:
    """Return the PATH on which the world's programs are looked for."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN))


def missing_programs(is_root: bool, path: str) -> tuple[str, ...]:
    """Return those of the programs a world needs that are not on `path`."""
    return tuple(name for name in (*PROGRAMS, *(() if is_root else USER_PROGRAMS)) if shutil.which(name, path=path) is None)


def gather_facts() -> WorldFacts:
    """Read the facts of this machine and user."""
    is_root = os.geteuid() == 0
    user = _login_name()
    return WorldFacts(
        user=user,
        is_root=is_root,
        missing=missing_programs(is_root, search_path()),
        tun_error=_open_error(TUN),
        has_subids=all(_has_range(Path("/etc") / name, user) for name in ("subuid", "subgid")),
        unprivileged_userns_clone=_switch("kernel/unprivileged_userns_clone"),
        max_user_namespaces=_switch("user/max_user_namespaces"),
        apparmor_restricts=_switch("kernel/apparmor_restrict_unprivileged_userns"),
    )


def explain(facts: WorldFacts, said: str, log: Path) -> WorldUnavailable:
    """Return the error for a world that did not start.

    Args:
        facts: of this machine and user.
        said: the last line the start left in its log, "" when it left none.
        log: that log.
    """
    if facts.missing:
        names = ", ".join(f"'{name}'" for name in facts.missing)
        return WorldUnavailable(f"cannot make a private host: {names} not installed", hint=_install_hint(facts.missing))
    if facts.tun_error:
        fix = "sudo chmod 666" if "denied" in facts.tun_error else "sudo modprobe tun; ls -l"
        return WorldUnavailable(f"cannot make a private host: '{TUN}' does not open: {facts.tun_error}", hint=f"{fix} {TUN}")
    if not facts.is_root:
        reason = _forbidden(facts)
        if reason is not None:
            return reason
    return WorldUnavailable(
        f"cannot make a private host: {said or 'its first process ended without a word'}", hint=f"see {log}, {USE_SYSTEM}"
    )


def _forbidden(facts: WorldFacts) -> WorldUnavailable | None:
    if facts.unprivileged_userns_clone == 0:
        return _switched_off("kernel.unprivileged_userns_clone=0", "kernel.unprivileged_userns_clone=1")
    if facts.max_user_namespaces == 0:
        return _switched_off("user.max_user_namespaces=0", "user.max_user_namespaces=15000")
    if not facts.has_subids:
        return WorldUnavailable(
            f"cannot make a private host: user '{facts.user}' has no subordinate ids in /etc/subuid and /etc/subgid",
            hint=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {facts.user}",
        )
    if facts.apparmor_restricts == 1:
        return _switched_off("kernel.apparmor_restrict_unprivileged_userns=1", "kernel.apparmor_restrict_unprivileged_userns=0")
    return None


def _switched_off(found: str, wanted: str) -> WorldUnavailable:
    return WorldUnavailable(
        f"cannot make a private host: this system forbids user namespaces to ordinary users ({found})",
        hint=f"sudo sysctl -w {wanted}, {USE_SYSTEM}",
    )


def _install_hint(missing: tuple[str, ...]) -> str:
    if set(missing) <= set(USER_PROGRAMS):
        return "sudo apt-get install uidmap; ./setup.sh does"
    return "./setup.sh installs what is needed"


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _open_error(device: str) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _has_range(file: Path, user: str) -> bool:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in (user, str(os.getuid())) for line in lines)


def _switch(name: str) -> int | None:
    try:
        return int((Path("/proc/sys") / name).read_text())
    except (OSError, ValueError):
        return None
