"""The root file system of the Debian template: installed from packages by mmdebstrap, as any user, and unpacked with its owners noted.

An ordinary user's mmdebstrap works in a user namespace; what comes out of it is an archive, since outside of the namespace nobody could
own the files as they must be. So they are unpacked as the builder's own, and the disk is told whose each is.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, TemplateBuildFailed
from ..process import run

PACKAGES = (
    "systemd-sysv", "systemd-resolved", "udev", "dbus", "kmod", "openssh-server", "openssh-sftp-server", "qemu-guest-agent", "iproute2",
    "iputils-ping", "netbase", "procps", "sudo", "fdisk", "e2fsprogs", "ca-certificates", "less", "nano", "curl",
)  # fmt: skip
"""Beside what every Debian has; their dependencies come along, their recommendations do not."""

DEFAULT_SUITE = "stable"
"""Where the host is no Debian."""

UNWANTED = ("man", "doc", "locale", "info", "lintian", "bug")
"""Folders of /usr/share whose content stays out: nobody reads it in a machine that lives for a day."""

QUERY_TIMEOUT_S = 60.0
INSTALL_TIMEOUT_S = 1800.0
CLEAR_TIMEOUT_S = 120.0

_TARGETS = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(COMPONENT)|$(SIGNED_BY)"
_WORK = "lagotui-debian-"
_INSTALL = "sudo apt-get install mmdebstrap uidmap"


@dataclass(frozen=True, slots=True)
class Sources:
    suite: str
    """Codename of the release, or `stable`."""
    lines: tuple[str, ...]
    """As in sources.list; none: Debian's own servers."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A file of the root file system whose owner is not root, or whose kind of owner no builder could give it."""

    path: str
    """Below the root, without a slash before it."""
    uid: int
    gid: int


def find_mmdebstrap() -> str:
    """Return the path of mmdebstrap.

    Raises:
        TemplateBuildFailed: it, or what an ordinary user's namespace needs, is not installed.
    """
    wanted = ["mmdebstrap"] + ([] if os.geteuid() == 0 else ["newuidmap"])
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing and shutil.which("apt-get") is None:
        raise TemplateBuildFailed(
            "the Debian template is made from Debian packages, and this machine has no apt",
            hint="take Debian's own cloud image: template_name: debian-13",
        )
    if missing:
        raise TemplateBuildFailed(f"the Debian template cannot be built: '{missing[0]}' is not installed", hint=_INSTALL)
    found = shutil.which("mmdebstrap")
    assert found is not None
    return found


def host_sources(ctx: TaskContext) -> Sources:
    """Return where this machine's apt gets Debian from; on another system than Debian, what its publisher offers."""
    targets = run(
        ctx, ["apt-get", "indextargets", "--format", _TARGETS, "Created-By: Packages"], timeout_s=QUERY_TIMEOUT_S, check=False
    ).text.splitlines()
    return parse_sources(targets, _own_codename())


def parse_sources(targets: list[str], codename: str | None) -> Sources:
    """Make sources.list lines of what `apt-get indextargets` knows, those of Debian's release `codename` only."""
    lines: list[str] = []
    for target in targets:
        origin, suite, uri, component, signed_by = target.split("|", 4)
        if origin == "Debian" and codename and re.fullmatch(rf"{re.escape(codename)}(-updates|-security)?", suite):
            key = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            lines.append(f"deb {key}{uri} {suite} {component}")
    return Sources(codename, tuple(dict.fromkeys(lines))) if codename and lines else Sources(DEFAULT_SUITE, ())


def _own_codename() -> str | None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    return release.get("VERSION_CODENAME") if release.get("ID") == "debian" else None


def install(ctx: TaskContext, mmdebstrap: str, sources: Sources, archive: Path) -> None:
    """Install Debian into a tar archive.

    Raises:
        TemplateBuildFailed: a package cannot be had, or no user namespace.
        Cancelled: the user asked to stop; nothing is left.
    """
    with _work_folder(ctx, mmdebstrap) as folder:
        lists = folder / "sources.list"
        lists.write_text("".join(f"{line}\n" for line in sources.lines))
        argv: list[str | Path] = [mmdebstrap, *mmdebstrap_options(_proxies(ctx)), sources.suite, archive]
        argv += [lists] if sources.lines else []
        try:
            run(ctx, argv, timeout_s=INSTALL_TIMEOUT_S, env={"TMPDIR": str(folder)})
        except CommandFailed as failed:
            raise _install_failed(failed) from failed


def mmdebstrap_options(apt_options: Mapping[str, str]) -> list[str]:
    """Return the options that say what is installed, and how."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]
    return [
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=minbase",
        "--format=tar",
        "--quiet",
        "--architectures=amd64",
        '--aptopt=Apt::Install-Recommends "false"',
        *(f'--aptopt={name} "{value}"' for name, value in apt_options.items()),
        *excluded,
        "--dpkgopt=path-include=/usr/share/locale/locale.alias",
        "--dpkgopt=force-unsafe-io",
        "--include=" + ",".join(PACKAGES),
    ]


def _proxies(ctx: TaskContext) -> dict[str, str]:
    """Return how this machine's apt reaches its servers: what is installed there must come the same way."""
    dump = run(ctx, ["apt-config", "dump"], timeout_s=QUERY_TIMEOUT_S, check=False).text
    found = re.findall(r'^(Acquire::https?::[A-Za-z0-9.:_-]+) "([^"\n]*)";$', dump, re.MULTILINE)
    return {name: value for name, value in found if value and "User-Agent" not in name}


def _install_failed(failed: CommandFailed) -> TemplateBuildFailed:
    said = [line for line in failed.stderr.splitlines() if line.startswith(("E:", "W: Failed", "dpkg: error"))]
    why = said[0] if said else failed.message
    if "newuidmap" in failed.stderr or "subuid" in failed.stderr or "unshare" in why:
        hint = (
            "as an ordinary user this needs user namespaces and a line of yours in /etc/subuid: sudo usermod --add-subuids 100000-165535 …"
        )
    elif "Unable to locate package" in why or "has no installation candidate" in why:
        hint = "sudo apt-get update, then run the same command again"
    else:
        hint = "see what it says with: mmdebstrap --simulate " + DEFAULT_SUITE
    return TemplateBuildFailed(f"Debian cannot be installed: {why.removeprefix('E: ')}", hint=hint)


@contextmanager
def _work_folder(ctx: TaskContext, mmdebstrap: str) -> Iterator[Path]:
    """A folder that the users of the namespace may pass through, as a home may not be; what killed builds left beside it goes too."""
    base = Path(os.environ.get("TMPDIR") or "/var/tmp")
    for left in base.glob(f"{_WORK}*"):
        if left.stat().st_uid == os.geteuid() and not _is_in_use(left):
            _clear(ctx, mmdebstrap, left)
    folder = Path(tempfile.mkdtemp(prefix=_WORK, dir=base))
    folder.chmod(0o755)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(held)
        _clear(ctx, mmdebstrap, folder)


def _is_in_use(folder: Path) -> bool:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(held)
    return False


def _clear(ctx: TaskContext, mmdebstrap: str, folder: Path) -> None:
    left = [path for path in folder.iterdir() if path.is_dir()]
    if left and os.geteuid() != 0:  # what a killed mmdebstrap leaves belongs to users of the namespace
        run(ctx.shielded(), [mmdebstrap, "--unshare-helper", "rm", "-rf", *left], timeout_s=CLEAR_TIMEOUT_S, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def unpack(ctx: TaskContext, archive: Path, root: Path) -> list[Owned]:
    """Unpack the archive into `root`, everything as the builder's own; return what does not belong to root.

    Devices are left out: the guest's kernel makes its own.

    Raises:
        TemplateBuildFailed: the archive names a path outside of itself.
    """
    owned: list[Owned] = []
    folders: list[tuple[Path, int]] = []
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            if number % 500 == 0:
                ctx.raise_if_cancelled()
            name = member.name.removeprefix("./").strip("/")
            if ".." in Path(name).parts or name.startswith("dev/"):
                if name.startswith("dev/"):
                    continue
                raise TemplateBuildFailed(f"'{archive}' holds '{member.name}', which is outside of it")
            target = root / name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                folders.append((target, member.mode))
            elif member.issym():
                target.symlink_to(member.linkname)
            elif member.islnk():
                os.link(root / member.linkname.removeprefix("./"), target)
            elif member.isfile():
                _write_file(tar, member, target)
            else:
                continue
            if (member.uid, member.gid) != (0, 0) and not member.islnk():
                owned.append(Owned(name, member.uid, member.gid))
    for folder, mode in reversed(folders):
        folder.chmod(mode)
    return owned


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
    target.chmod(member.mode)
