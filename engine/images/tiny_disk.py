"""The disk of the tiny template: boot partition and root file system in one image, written by any user, with nothing mounted."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateBuildFailed
from ..process import run

MIB = 2**20
SECTOR_BYTES = 512

BOOT_START_MIB = 1
BOOT_SLACK_MIB = 2
"""Room in the boot partition beyond its files, for the FAT itself and for the boot loader."""

TOOL_TIMEOUT_S = 120.0

_FAT16_LBA, _LINUX = 0x0E, 0x83
_BOOT_CODE_BYTES = 440


@dataclass(frozen=True, slots=True)
class Partition:
    start_mib: int
    size_mib: int
    type: int
    bootable: bool = False


@dataclass(frozen=True, slots=True)
class DiskLayout:
    disk_mib: int
    root_label: str
    """Eight characters: the initramfs finds the root file system by it."""
    root_uuid: str
    """The same in every image, as is the hash seed: the same packages make the same bytes."""
    inodes: int | None = None
    """None: as many as mke2fs thinks right."""
    journal_mib: int = 4
    """A file system that shall grow while it is mounted needs 32: the kernel refuses what does not fit into a quarter of its journal."""


TINY = DiskLayout(256, "tinyroot", "7a1e7075-0000-4000-8000-74696e797274")


def write_disk(
    ctx: TaskContext,
    tools: Mapping[str, str],
    boot_files: Iterable[Path],
    root: Path,
    image: Path,
    *,
    at_s: int,
    layout: DiskLayout = TINY,
    owners: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Write a raw, sparse disk image: MBR, FAT with syslinux and `boot_files`, ext4 with what is under `root`.

    Everything belongs to root, but for the paths in `owners`, which have a user and a group.
    """
    files = list(boot_files)
    boot_mib = sum(-(-file.stat().st_size // MIB) for file in files) + BOOT_SLACK_MIB
    root_start_mib = BOOT_START_MIB + boot_mib
    boot = Partition(BOOT_START_MIB, boot_mib, _FAT16_LBA, bootable=True)
    system = Partition(root_start_mib, layout.disk_mib - root_start_mib, _LINUX)
    with image.open("wb") as disk:
        disk.write(master_boot_record(Path(tools["mbr.bin"]).read_bytes(), (boot, system)))
        disk.truncate(layout.disk_mib * MIB)
    _write_boot_partition(ctx, tools, image, boot, files, at_s)
    root_image = image.with_suffix(".root")
    _write_root_file_system(ctx, tools, root, root_image, system.size_mib, at_s, layout, owners or {})
    _copy_into(root_image, image, root_start_mib * MIB)
    root_image.unlink()


def master_boot_record(code: bytes, partitions: Iterable[Partition]) -> bytes:
    """Return sector 0: boot code, disk id, partition table; CHS fields say "too far", as LBA is what counts."""
    too_far = b"\xfe\xff\xff"
    table = b""
    for partition in partitions:
        start, size = (mib * MIB // SECTOR_BYTES for mib in (partition.start_mib, partition.size_mib))
        status = 0x80 if partition.bootable else 0
        table += struct.pack("<B3sB3sII", status, too_far, partition.type, too_far, start, size)
    return code[:_BOOT_CODE_BYTES].ljust(_BOOT_CODE_BYTES, b"\0") + b"tiny\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"


def convert_to_qcow2(ctx: TaskContext, tools: Mapping[str, str], image: Path, out: Path) -> None:
    """Convert the raw image; `out` is there whole or not at all."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        run(ctx, [tools["qemu-img"], "convert", "-f", "raw", "-O", "qcow2", image, partial], timeout_s=TOOL_TIMEOUT_S)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write_boot_partition(ctx: TaskContext, tools: Mapping[str, str], image: Path, boot: Partition, files: list[Path], at_s: int) -> None:
    drive = f"{image}@@{boot.start_mib}M"
    environment = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": os.devnull, "SOURCE_DATE_EPOCH": str(at_s), "TZ": "UTC"}
    sectors = boot.size_mib * MIB // SECTOR_BYTES
    hidden = boot.start_mib * MIB // SECTOR_BYTES
    geometry = ["-T", str(sectors), "-h", "64", "-s", "32", "-H", str(hidden), "-N", "74696e79", "-v", "TINYBOOT"]
    run(ctx, [tools["mformat"], "-i", drive, *geometry, "::"], timeout_s=TOOL_TIMEOUT_S, env=environment)
    for file in files:
        os.utime(file, (at_s, at_s))
        run(ctx, [tools["mcopy"], "-m", "-i", drive, file, f"::/{file.name}"], timeout_s=TOOL_TIMEOUT_S, env=environment)
    offset = str(boot.start_mib * MIB)
    search_path = os.pathsep.join((str(Path(tools["mcopy"]).parent), os.environ.get("PATH", os.defpath)))
    install: list[str | Path] = [tools["syslinux"], "--install", "--offset", offset, image]
    run(ctx, install, timeout_s=TOOL_TIMEOUT_S, env={**environment, "PATH": search_path})


def _write_root_file_system(
    ctx: TaskContext,
    tools: Mapping[str, str],
    root: Path,
    image: Path,
    size_mib: int,
    at_s: int,
    layout: DiskLayout,
    owners: Mapping[str, tuple[int, int]],
) -> None:
    features = "^metadata_csum_seed,^orphan_file,^64bit"
    geometry = ["-b", "4096", "-I", "256", "-J", f"size={layout.journal_mib}", "-m", "0", "-L", layout.root_label, "-U", layout.root_uuid]
    geometry += ["-N", str(layout.inodes)] if layout.inodes else []
    extended = f"root_owner=0:0,nodiscard,hash_seed={layout.root_uuid},lazy_itable_init=0"
    environment = {"E2FSPROGS_FAKE_TIME": str(at_s), "SOURCE_DATE_EPOCH": str(at_s)}
    image.unlink(missing_ok=True)
    make: list[str | Path] = [tools["mke2fs"], "-q", "-t", "ext4", "-O", features, *geometry, "-E", extended, "-d", root]
    run(ctx, [*make, image, f"{size_mib}M"], timeout_s=TOOL_TIMEOUT_S, env=environment)
    commands = inode_commands(root, at_s, owners).encode()
    edited = run(ctx, [tools["debugfs"], "-w", "-f", "-", image], timeout_s=TOOL_TIMEOUT_S, stdin=commands, env=environment)
    complaints = [line for line in edited.stderr.decode(errors="replace").splitlines() if not line.startswith("debugfs ")]
    if complaints:  # it exits 0 whatever happened
        raise TemplateBuildFailed(f"debugfs cannot give the guest's files to root: {complaints[0]}")


def inode_commands(root: Path, at_s: int, owners: Mapping[str, tuple[int, int]] | None = None) -> str:
    """Return debugfs commands that give everything under `root` to its owner, else to root: mke2fs copies the builder's own ids.

    It also copies the time of the last change, which no one can set in a source tree.
    """
    paths = ["/", *sorted(f"/{path.relative_to(root)}" for path in root.rglob("*"))]
    lines = []
    for path in paths:
        uid, gid = (owners or {}).get(path, (0, 0))
        lines += [f'set_inode_field "{path}" {field}\n' for field in (f"uid {uid}", f"gid {gid}", f"ctime @{at_s}")]
    return "".join(lines)


def _copy_into(source: Path, target: Path, offset: int) -> None:
    """Copy what is not a hole of `source` to `offset` of `target`."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        size, position = source.stat().st_size, 0
        while position < size:
            try:
                start = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            reader.seek(start)
            writer.seek(offset + start)
            while start < position:
                chunk = reader.read(min(MIB, position - start))
                writer.write(chunk)
                start += len(chunk)
