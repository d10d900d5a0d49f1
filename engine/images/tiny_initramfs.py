"""The first file system of the tiny template: busybox, the kernel modules that find the disk, and an init, as a newc archive."""

from __future__ import annotations

import gzip
import lzma
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateBuildFailed
from ..process import run

BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ext4", "virtio_net", "virtio_rng", "virtio_console", "isofs")
"""Loaded before the root file system is mounted: disks, NICs, entropy, the agent's port, the seed's file system."""

LATE_MODULES = ("button", "evdev", "virtio_balloon", "sr_mod")
"""Loaded when ssh already answers: the power button, memory figures for the host, CD drives."""

DECOMPRESS_TIMEOUT_S = 30.0


class KernelModules:
    """The modules of an unpacked kernel package, in the order in which they must be loaded."""

    def __init__(self, tree: Path) -> None:
        releases = sorted((tree / "boot").glob("vmlinuz-*"))
        if not releases:
            raise TemplateBuildFailed("the kernel package holds no /boot/vmlinuz", hint="sudo apt-get update, then try again")
        self.kernel = releases[-1]
        self.release = self.kernel.name.removeprefix("vmlinuz-")
        roots = (tree / "lib/modules" / self.release, tree / "usr/lib/modules" / self.release)
        files = [file for root in roots for file in root.rglob("*.ko*")]
        self._files = {_module_name(file.name.partition(".ko")[0]): file for file in files}
        lists = [root / "modules.builtin" for root in roots if (root / "modules.builtin").is_file()]
        self._builtin = {_module_name(Path(line).stem) for file in lists for line in file.read_text().splitlines()}

    def load_order(self, ctx: TaskContext, names: Iterable[str]) -> dict[str, bytes]:
        """Return file name → plain module for `names` and what they depend on; dependencies come first, built-in ones not at all."""
        ordered: dict[str, bytes] = {}
        for name in names:
            self._add(ctx, _module_name(name), ordered)
        return ordered

    def _add(self, ctx: TaskContext, name: str, ordered: dict[str, bytes]) -> None:
        if name in ordered or name in self._builtin:
            return
        file = self._files.get(name)
        if file is None:
            raise TemplateBuildFailed(f"the kernel {self.release} has no module '{name}'", hint="please report this kernel")
        code = _plain(ctx, file)
        for dependency in module_depends(code):
            self._add(ctx, dependency, ordered)
        ordered[name] = code


def numbered(modules: dict[str, bytes]) -> dict[str, bytes]:
    """Return the modules under names that sort in load order: `00-virtio.ko`."""
    return {f"{number:02d}-{name}.ko": code for number, (name, code) in enumerate(modules.items())}


def module_depends(code: bytes) -> list[str]:
    """Return the names that a module's `.modinfo` section lists as its dependencies."""
    found = re.search(rb"\0depends=([^\0]*)\0", code)
    return [_module_name(name) for name in found[1].decode().split(",") if name] if found else []


def initramfs(busybox: bytes, init: bytes, modules: dict[str, bytes]) -> bytes:
    """Return the compressed archive; the same parts give the same bytes."""
    directories = ("bin", "dev", "modules", "proc", "root", "sys")
    entries = [_entry(name, stat.S_IFDIR | 0o755, b"") for name in directories]
    entries.append(_entry("bin/busybox", stat.S_IFREG | 0o755, busybox))
    entries.append(_entry("init", stat.S_IFREG | 0o755, init))
    entries += [_entry(f"modules/{name}", stat.S_IFREG | 0o644, code) for name, code in numbered(modules).items()]
    entries.append(_entry("TRAILER!!!", 0, b""))
    numbered_entries = (entry.replace(b"INODE___", b"%08X" % number, 1) for number, entry in enumerate(entries, 1))
    return gzip.compress(b"".join(numbered_entries), compresslevel=9, mtime=0)


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """Return one newc record (the kernel's buffer-format.rst): a header of hex fields, name and content, padded to four bytes."""
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701INODE___" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(record: bytes) -> bytes:
    return record + b"\0" * (-len(record) % 4)


def _module_name(name: str) -> str:
    return name.replace("-", "_")


def _plain(ctx: TaskContext, file: Path) -> bytes:
    if file.suffix == ".xz":
        return lzma.decompress(file.read_bytes())
    if file.suffix == ".zst":
        return run(ctx, ["zstd", "-dc", file], timeout_s=DECOMPRESS_TIMEOUT_S).stdout
    return file.read_bytes()
