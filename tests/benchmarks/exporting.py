"""Export of four machines whose disks hold data, against qemu-img convert of the same disks, all at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import Figure, Place, init_file

MACHINES = 4
DATA_MIB = 256
"""That each machine has written: what the time is spent on should be the disks, not the start of the program."""
ROUNDS = 3


def measure(place: Place) -> list[Figure]:
    place.lagotui("--run", "template", "build", "tiny")
    folder = place.work("export", init_file(MACHINES).replace("dev: vda}", "dev: vda, size: 2G}"))
    place.lagotui("--run", "init", cwd=folder)
    disks = [folder / ".lago/default/images" / f"vm{number}_root.qcow2" for number in range(MACHINES)]
    noise = place.folder / "noise"
    noise.write_bytes(os.urandom(DATA_MIB * 1024 * 1024))
    for disk in disks:
        fill = f"write -s {noise} 256M {DATA_MIB}M"
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", fill, disk], check=True, stdout=subprocess.DEVNULL)
    figures = [
        _figure(place, folder, disks, "export -s of 4 machines, 256 MiB each", "≤ 1.2 ×", synced=False),
        _figure(place, folder, disks, "the same, qemu-img's output brought to the disk as well", "≤ 1.2 ×", synced=True),
        _figure(place, folder, disks, "the same, and sha1sum of each as well", "≤ 1.2 ×", synced=True, hashed=True),
    ]
    place.lagotui("--run", "destroy", "-y", cwd=folder)
    return figures


def _figure(place: Place, folder: Path, disks: Sequence[Path], what: str, goal: str, *, synced: bool, hashed: bool = False) -> Figure:
    rounds = [(_export(place, folder), _convert(place, disks, synced=synced, hashed=hashed)) for _ in range(ROUNDS)]
    seconds, raw_s = sorted(rounds, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
    return Figure(what, seconds, goal, raw_s)


def _export(place: Place, folder: Path) -> float:
    os.sync()
    seconds = place.lagotui("--run", "export", "-s", "-d", str(place.folder / "exported"), cwd=folder)
    shutil.rmtree(place.folder / "exported")
    return seconds


def _convert(place: Place, disks: Sequence[Path], *, synced: bool, hashed: bool) -> float:
    out = place.folder / "converted"
    out.mkdir()
    cache = ["-t", "writeback"] if synced else []
    os.sync()
    started_s = time.perf_counter()
    running = [subprocess.Popen(["qemu-img", "convert", *cache, "-O", "qcow2", disk, out / disk.name]) for disk in disks]
    assert [process.wait() for process in running] == [0] * len(disks)
    if hashed:
        hashing = [subprocess.Popen(["sha1sum", out / disk.name], stdout=subprocess.DEVNULL) for disk in disks]
        assert [process.wait() for process in hashing] == [0] * len(disks)
    seconds = time.perf_counter() - started_s
    shutil.rmtree(out)
    return seconds
