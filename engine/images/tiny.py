"""The tiny template: a Debian cloud kernel, busybox, bash and dropbear on a small bootable disk that speaks cloud-init.

Built from Debian packages by an ordinary user: nothing is installed, mounted or chrooted into. It is what the demo and the live tests boot.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, DiskFull, TemplateBuildFailed
from ..spec import Json
from ..state.atomic import FULL
from .tiny_disk import convert_to_qcow2, write_disk
from .tiny_initramfs import BOOT_MODULES, LATE_MODULES, KernelModules, initramfs
from .tiny_packages import fetch_packages, unpack
from .tiny_tools import find_tools
from .tiny_tree import GUEST_DIR, build_tree, busybox_of

MACHINE = "x86_64"

METADATA: Mapping[str, Json] = {
    "distro": "debian",
    "arch": MACHINE,
    "root-partition": "/dev/sda2",
    "cloud-init": True,
    "ssh-user": "root",
}
"""What is known of the image before it is built."""


def build_tiny(ctx: TaskContext, out: Path, work: Path) -> dict[str, Json]:
    """Build the tiny template.

    Args:
        ctx: the task that the build belongs to.
        out: the qcow2 image to write; it is there whole or not at all.
        work: directory for downloaded packages, kept between builds, and for what is thrown away at the end (about 450 MB).

    Returns:
        The template's metadata.

    Raises:
        TemplateBuildFailed: a program or a package is missing, or one of the programs failed.
        DiskFull: there is no room under `work` or beside `out`.
    """
    if platform.machine() != MACHINE:
        raise TemplateBuildFailed(f"the tiny template is made for {MACHINE}, and this machine is {platform.machine()}", hint="")
    tools = find_tools()
    work.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="build-", dir=work, ignore_cleanup_errors=True) as scratch:
            kernel_release = _build(ctx, tools, out, work / "packages", Path(scratch))
    except CommandFailed as failed:
        raise TemplateBuildFailed(f"the tiny template cannot be built: {failed.message}", hint=failed.hint) from failed
    except OSError as failure:
        if failure.errno in FULL:
            raise DiskFull(f"the tiny template cannot be built: there is no room under '{work}' or beside '{out}'") from failure
        raise
    return {**METADATA, "kernel": kernel_release}


def _build(ctx: TaskContext, tools: dict[str, str], out: Path, cache: Path, scratch: Path) -> str:
    unpacked, root = scratch / "packages", scratch / "root"
    with ctx.child("Fetch packages"):
        files = fetch_packages(ctx, tools, cache)
    with ctx.child("Unpack packages"):
        unpack(ctx, tools, files, unpacked)
    with ctx.child("Lay out the guest"):
        modules = KernelModules(unpacked)
        at_s = int(modules.kernel.stat().st_mtime)
        tree = build_tree(ctx, unpacked, root, _late_modules(ctx, modules))
        tree.stamp(at_s)
        boot_files = _boot_files(ctx, unpacked, modules, scratch)
    with ctx.child("Write the disk"):
        raw = scratch / "disk.raw"
        write_disk(ctx, tools, boot_files, root, raw, at_s=at_s)
        convert_to_qcow2(ctx, tools, raw, out)
    return modules.release


def _late_modules(ctx: TaskContext, modules: KernelModules) -> dict[str, bytes]:
    """Return the modules that are not needed for booting, without those that are loaded by then."""
    booted = modules.load_order(ctx, BOOT_MODULES)
    return {name: code for name, code in modules.load_order(ctx, LATE_MODULES).items() if name not in booted}


def _boot_files(ctx: TaskContext, unpacked: Path, modules: KernelModules, scratch: Path) -> list[Path]:
    kernel, archive, config = scratch / "vmlinuz", scratch / "initrd.gz", scratch / "syslinux.cfg"
    modules.kernel.rename(kernel)
    init = (GUEST_DIR / "initramfs-init").read_bytes()
    archive.write_bytes(initramfs(busybox_of(unpacked).read_bytes(), init, modules.load_order(ctx, BOOT_MODULES)))
    config.write_bytes((GUEST_DIR / config.name).read_bytes())
    return [kernel, archive, config]
