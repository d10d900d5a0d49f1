"""The Debian template: the release of this machine's own package sources, with systemd, sshd and the guest agent, on a bootable disk.

Built by an ordinary user: nothing is mounted, no loop device is used. It boots as the tiny template does, by syslinux and an initramfs of
ours, which finds the disk in a second where Debian's own takes ten without KVM. The seed is taken in by a small service instead of by
cloud-init: that spares 60 MB and, without KVM, half a minute of each first boot; it understands the same keys as the tiny template's.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, DiskFull, TemplateBuildFailed
from ..process import run
from ..spec import Json
from ..state.atomic import FULL
from .debian_root import Owned, find_mmdebstrap, host_sources, install, unpack
from .tiny_disk import DiskLayout, convert_to_qcow2, write_disk
from .tiny_initramfs import BOOT_MODULES, KernelModules, initramfs
from .tiny_packages import fetch_packages
from .tiny_packages import unpack as unpack_packages
from .tiny_tools import find_tools
from .tiny_tree import GUEST_DIR as TINY_DIR
from .tiny_tree import busybox_of

MACHINE = "x86_64"
GUEST_DIR = Path(__file__).parent / "guest_debian"
LAYOUT = DiskLayout(4096, "debianfs", "deb1a000-0000-4000-8000-646562697373", inodes=131072, journal_mib=32)
BUILD_MAX_S = 86400.0
"""No build takes longer: what is older was left by one that was killed."""
KERNEL_PACKAGES = ("busybox-static",)
"""Beside the kernel: what the initramfs runs on."""

METADATA: Mapping[str, Json] = {
    "distro": "debian",
    "arch": MACHINE,
    "root-partition": "/dev/sda2",
    "cloud-init": True,
    "ssh-user": "root",
    "virtual_size": 4096 * 2**20,
}
"""What is known of the image before it is built."""

FILES = {
    "etc/fstab": ("fstab", 0o644),
    "etc/systemd/system/lagotui-seed.service": ("lagotui-seed.service", 0o644),
    "etc/systemd/system/lagotui-seed-finish.service": ("lagotui-seed-finish.service", 0o644),
    "etc/systemd/system/ssh.service.d/host-keys.conf": ("ssh-host-keys.conf", 0o644),
    "etc/systemd/network/60-first-nic.network": ("first-nic.network", 0o644),
    "etc/systemd/network/80-nics.network": ("nics.network", 0o644),
    "usr/lib/lagotui/seed.sh": ("seed.sh", 0o755),
    "usr/lib/lagotui/grow-root": ("grow-root", 0o755),
    "usr/lib/lagotui/host-keys": ("host-keys", 0o755),
}
"""Path in the guest → file beside this module, and its mode."""

TINY_FILES = {"usr/lib/tiny/seed.sh": "seed.sh", "usr/lib/tiny/seed.awk": "seed.awk"}
"""Path in the guest → file of the tiny template."""

ENABLED = {
    "sysinit.target": ("lagotui-seed.service",),
    "multi-user.target": ("lagotui-seed-finish.service", "systemd-networkd.service", "systemd-resolved.service", "ssh.service"),
}
"""Target → units of /etc/systemd/system, else of /usr/lib/systemd/system."""

MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "systemd-networkd-wait-online.service", "systemd-firstboot.service", "systemd-pstore.service", "systemd-timesyncd.service",
)  # fmt: skip
"""Of no use to a machine that lives for a day; each costs boot time."""

EMPTIED = ("etc/machine-id", "etc/hostname", "etc/resolv.conf")
"""What differs from machine to machine."""


def build_debian(ctx: TaskContext, out: Path, work: Path) -> dict[str, Json]:
    """Build the Debian template.

    Args:
        ctx: the task that the build belongs to.
        out: the qcow2 image to write; it is there whole or not at all.
        work: directory for downloaded kernels, kept between builds, and for what is thrown away at the end (about 1 GB).

    Returns:
        The template's metadata.

    Raises:
        TemplateBuildFailed: a program or a package is missing, or one of the programs failed.
        DiskFull: there is no room under `work`, beside `out` or under /var/tmp.
    """
    if platform.machine() != MACHINE:
        raise TemplateBuildFailed(f"the Debian template is made for {MACHINE}, and this machine is {platform.machine()}", hint="")
    mmdebstrap, tools = find_mmdebstrap(), find_tools()
    work.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    _clear_old(work)
    try:
        with tempfile.TemporaryDirectory(prefix="build-", dir=work, ignore_cleanup_errors=True) as scratch:
            found = _build(ctx, mmdebstrap, tools, out, work / "packages", Path(scratch))
    except CommandFailed as failed:
        raise TemplateBuildFailed(f"the Debian template cannot be built: {failed.message}", hint=failed.hint) from failed
    except OSError as failure:
        if failure.errno in FULL:
            raise DiskFull(f"the Debian template cannot be built: there is no room under '{work}' or beside '{out}'") from failure
        raise
    return {**METADATA, **found}


def _clear_old(work: Path) -> None:
    """Remove what killed builds left."""
    for left in work.glob("build-*"):
        if left.stat().st_mtime < time.time() - BUILD_MAX_S:
            shutil.rmtree(left, ignore_errors=True)


def _build(ctx: TaskContext, mmdebstrap: str, tools: dict[str, str], out: Path, cache: Path, scratch: Path) -> dict[str, Json]:
    archive, root, unpacked = scratch / "root.tar", scratch / "root", scratch / "packages"
    sources = host_sources(ctx)
    with ctx.child("Fetch the kernel"):
        unpack_packages(ctx, tools, fetch_packages(ctx, tools, cache, KERNEL_PACKAGES), unpacked)
        modules = KernelModules(unpacked)
    with ctx.child(f"Install Debian {sources.suite}"):
        install(ctx, mmdebstrap, sources, archive)
    with ctx.child("Lay out the guest"):
        owned = unpack(ctx, archive, root)
        archive.unlink()
        at_s = int(modules.kernel.stat().st_mtime)
        boot_files = _boot_files(ctx, unpacked, modules, scratch)
        lay_out(root)
        _put_modules(ctx, modules, unpacked, root)
    with ctx.child("Write the disk"):
        raw = scratch / "disk.raw"
        write_disk(ctx, tools, boot_files, root, raw, at_s=at_s, layout=LAYOUT, owners=_owners(root, owned))
        convert_to_qcow2(ctx, tools, raw, out)
    return {"kernel": modules.release, "release": sources.suite, "version": _version(root)}


def lay_out(root: Path) -> None:
    """Make of a Debian that was just installed the one that every machine begins with."""
    for path, (name, mode) in FILES.items():
        _put(root / path, (GUEST_DIR / name).read_bytes(), mode)
    for path, name in TINY_FILES.items():
        _put(root / path, (TINY_DIR / name).read_bytes(), 0o644)
    units = root / "etc/systemd/system"
    for target, names in ENABLED.items():
        for name in names:
            unit = f"/etc/systemd/system/{name}" if (units / name).exists() else f"/usr/lib/systemd/system/{name}"
            _link(units / f"{target}.wants" / name, unit)
    for name in MASKED:
        _link(units / name, "/dev/null")
    for path in EMPTIED:
        (root / path).unlink(missing_ok=True)
        _put(root / path, b"", 0o644)
    _link(root / "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder / "partial").mkdir(parents=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)


def _put(target: Path, content: bytes, mode: int) -> None:
    _folder(target.parent)
    target.write_bytes(content)
    target.chmod(mode)


def _link(target: Path, to: str) -> None:
    _folder(target.parent)
    target.unlink(missing_ok=True)
    target.symlink_to(to)


def _folder(path: Path) -> None:
    """Make a folder that everybody in the guest may read, whatever the builder's umask is."""
    if not path.is_dir():
        _folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


def _put_modules(ctx: TaskContext, modules: KernelModules, unpacked: Path, root: Path) -> None:
    source = next(tree for tree in (unpacked / "lib/modules", unpacked / "usr/lib/modules") if (tree / modules.release).is_dir())
    target = root / "usr/lib/modules"
    _folder(target)
    (source / modules.release).rename(target / modules.release)
    depmod = shutil.which("depmod", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if depmod is None:
        raise TemplateBuildFailed("the Debian template cannot be built: 'depmod' is not installed", hint="sudo apt-get install kmod")
    run(ctx, [depmod, "--basedir", root, modules.release], timeout_s=120.0)


def _boot_files(ctx: TaskContext, unpacked: Path, modules: KernelModules, scratch: Path) -> list[Path]:
    kernel, archive, config = scratch / "vmlinuz", scratch / "initrd.gz", scratch / "syslinux.cfg"
    init = (TINY_DIR / "initramfs-init").read_bytes().replace(b"tinyroot", LAYOUT.root_label.encode())
    archive.write_bytes(initramfs(busybox_of(unpacked).read_bytes(), init, modules.load_order(ctx, BOOT_MODULES)))
    modules.kernel.rename(kernel)
    config.write_bytes((GUEST_DIR / config.name).read_bytes())
    return [kernel, archive, config]


def _owners(root: Path, owned: Iterable[Owned]) -> dict[str, tuple[int, int]]:
    """Return path → user and group of what does not belong to root, as far as it is still there."""
    return {f"/{each.path}": (each.uid, each.gid) for each in owned if (root / each.path).exists() or (root / each.path).is_symlink()}


def _version(root: Path) -> str:
    try:
        return (root / "etc/debian_version").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
