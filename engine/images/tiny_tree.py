"""The root file system of the tiny template as a tree of files: programs with their libraries, and the guest's own scripts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, TemplateBuildFailed
from ..process import run
from .tiny_initramfs import numbered

GUEST_DIR = Path(__file__).parent / "guest"

PROGRAM_TIMEOUT_S = 30.0

PROGRAMS = (
    "bin/bash",
    "usr/sbin/dropbear",
    "usr/bin/dropbearkey",
    "usr/bin/dropbearconvert",
    "usr/lib/openssh/sftp-server",
    "usr/bin/scp",
    "usr/sbin/qemu-ga",
)
"""Taken from the packages; busybox gives the rest."""

LINKS = {
    "usr/bin/bash": "/bin/bash",
    "usr/lib/sftp-server": "openssh/sftp-server",
    "sbin/init": "/bin/busybox",
    "etc/init.d/sshd": "ssh",
    "etc/init.d/dropbear": "ssh",
    "etc/init.d/qemu-ga": "qemu-guest-agent",
    "etc/mtab": "/proc/mounts",
    "var/run": "/run",
}

DIRECTORIES = {
    "dev": 0o755, "proc": 0o755, "sys": 0o755, "run": 0o755, "mnt": 0o755, "home": 0o755, "opt": 0o755, "root": 0o700,
    "root/.ssh": 0o700, "tmp": 0o1777, "var/tmp": 0o1777, "var/log": 0o755, "var/lib/tiny": 0o700, "etc/dropbear": 0o755,
}  # fmt: skip

GUEST_FILES = {
    "etc/inittab": ("inittab", 0o644),
    "etc/fstab": ("fstab", 0o644),
    "etc/passwd": ("passwd", 0o644),
    "etc/group": ("group", 0o644),
    "etc/shadow": ("shadow", 0o600),
    "etc/shells": ("shells", 0o644),
    "etc/nsswitch.conf": ("nsswitch.conf", 0o644),
    "etc/hosts": ("hosts", 0o644),
    "etc/hostname": ("hostname", 0o644),
    "etc/profile": ("profile", 0o644),
    "etc/issue": ("issue", 0o644),
    "etc/os-release": ("os-release", 0o644),
    "etc/init.d/rcS": ("rcS", 0o755),
    "etc/init.d/rcK": ("rcK", 0o755),
    "etc/init.d/ssh": ("service-ssh", 0o755),
    "etc/init.d/qemu-guest-agent": ("service-qemu-guest-agent", 0o755),
    "etc/acpi/PWRF/00000080": ("acpi-power-button", 0o755),
    "lib/tiny/seed.sh": ("seed.sh", 0o644),
    "lib/tiny/seed.awk": ("seed.awk", 0o644),
    "lib/tiny/dhcp-start": ("dhcp-start", 0o755),
    "lib/tiny/dhcp-script": ("dhcp-script", 0o755),
    "lib/tiny/service-functions": ("service-functions", 0o644),
    "lib/tiny/console-getty": ("console-getty", 0o755),
    "sbin/service": ("service", 0o755),
}
"""Path in the guest → file beside this module, and its mode."""

_OWN_APPLETS = frozenset(("bash", "init", "linuxrc", "service"))
"""Names that busybox may offer and that the guest takes from elsewhere."""


class Tree:
    """A tree of files with exact modes, whatever the builder's umask is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._make_directory(root, 0o755)

    def put(self, path: str, content: bytes, mode: int) -> None:
        target = self._target(path)
        target.write_bytes(content)
        target.chmod(mode)

    def link(self, path: str, to: str) -> None:
        self._target(path).symlink_to(to)

    def directory(self, path: str, mode: int) -> None:
        self._make_directory(self.root / path, mode)
        (self.root / path).chmod(mode)

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def stamp(self, at_s: int) -> None:
        """Give everything the same time, so that the same packages make the same image."""
        for path in (self.root, *self.root.rglob("*")):
            os.utime(path, (at_s, at_s), follow_symlinks=False)

    def _target(self, path: str) -> Path:
        target = self.root / path
        self._make_directory(target.parent, 0o755)
        return target

    def _make_directory(self, path: Path, mode: int) -> None:
        if not path.is_dir():
            self._make_directory(path.parent, 0o755)
            path.mkdir()
            path.chmod(mode)


def build_tree(ctx: TaskContext, packages: Path, root: Path, late_modules: Mapping[str, bytes]) -> Tree:
    """Lay out the guest's root file system under `root`, from the unpacked `packages`."""
    tree = Tree(root)
    for directory, mode in DIRECTORIES.items():
        tree.directory(directory, mode)
    for path, to in LINKS.items():
        tree.link(path, to)
    for path, (name, mode) in GUEST_FILES.items():
        tree.put(path, (GUEST_DIR / name).read_bytes(), mode)
    for name, code in numbered(dict(late_modules)).items():
        tree.put(f"lib/modules/tiny/{name}", code, 0o644)
    _put_programs(ctx, tree, packages)
    _put_busybox(ctx, tree, packages)
    return tree


def busybox_of(packages: Path) -> Path:
    return _found(packages, "bin/busybox")


def _put_programs(ctx: TaskContext, tree: Tree, packages: Path) -> None:
    loader = _found(packages, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    tree.put("lib64/ld-linux-x86-64.so.2", loader.read_bytes(), 0o755)
    for path in PROGRAMS:
        program = _found(packages, path)
        tree.put(path, program.read_bytes(), 0o755)
        for library in _libraries(ctx, loader, packages, program):
            target = f"lib/x86_64-linux-gnu/{library.name}"
            if not tree.has(target):
                tree.put(target, library.read_bytes(), 0o644)


def _libraries(ctx: TaskContext, loader: Path, packages: Path, program: Path) -> list[Path]:
    """Ask the packages' own dynamic loader what `program` needs, libraries of libraries included."""
    folders = [packages / "lib/x86_64-linux-gnu", packages / "usr/lib/x86_64-linux-gnu"]
    argv: list[str | Path] = [loader, "--inhibit-cache", "--library-path", ":".join(map(str, folders)), "--list", program]
    try:
        listing = run(ctx, argv, timeout_s=PROGRAM_TIMEOUT_S).text
    except CommandFailed as failed:
        raise TemplateBuildFailed(f"the packages lack a library of '{program.name}': {failed.message}") from failed
    paths = [Path(path) for path in re.findall(r"=> (/\S+) \(", listing)]
    return [path for path in paths if path.is_relative_to(packages) and not path.name.startswith("ld-linux")]


def _put_busybox(ctx: TaskContext, tree: Tree, packages: Path) -> None:
    busybox = busybox_of(packages)
    tree.put("bin/busybox", busybox.read_bytes(), 0o755)
    for applet in run(ctx, [busybox, "--list-full"], timeout_s=PROGRAM_TIMEOUT_S).text.split():
        if Path(applet).name not in _OWN_APPLETS and not tree.has(applet):
            tree.link(applet, "/bin/busybox")


def _found(packages: Path, path: str) -> Path:
    """Find a program of the packages whether or not its distribution has merged /bin into /usr/bin."""
    for candidate in (packages / path, packages / "usr" / path, packages / path.removeprefix("usr/")):
        if candidate.is_file():
            return candidate
    raise TemplateBuildFailed(f"no package of the tiny template brings '/{path}'", hint="sudo apt-get update, then try again")
