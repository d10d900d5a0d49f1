"""Checkpoints with memory and the way back, against `virsh save` and `virsh restore` of the same machines, all at once."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.measure import Figure, Place, init_file

MACHINES = 4
ROUNDS = 5


def measure(place: Place) -> list[Figure]:
    place.lagotui("--run", "template", "build", "tiny")
    folder = place.work("checkpoint", init_file(MACHINES))
    place.lagotui("--run", "up", cwd=folder)
    names = [f"vm{number}" for number in range(MACHINES)]
    try:
        taken = _median(lambda: place.lagotui("--run", "snapshot", "--memory", "--force", "cp", cwd=folder))
        alone = _median(lambda: _back(place, folder, names[:1]))
        everything = _median(lambda: _back(place, folder, names))
        saved, restored = _raw(place)
    finally:
        place.lagotui("--run", "destroy", "-y", cwd=folder)
    return [
        Figure(f"checkpoint with memory of {MACHINES} machines", taken, "≤ 5 s", saved),
        Figure("revert to it → ssh of 1 machine", alone, "≤ 2 s"),
        Figure(f"revert to it → ssh of {MACHINES} machines", everything, "≤ 4 s", restored),
    ]


def _median(once: Callable[[], float]) -> float:
    return statistics.median(once() for _ in range(ROUNDS))


def _back(place: Place, folder: Path, names: list[str]) -> float:
    """Go back; return the seconds until `true` has run by ssh on the last machine."""
    started_s = time.perf_counter()
    place.lagotui("--run", "revert", "cp", *names, cwd=folder)
    _at_once(lambda name: place.lagotui("--run", "shell", name, "true", cwd=folder), names)
    return time.perf_counter() - started_s


def _raw(place: Place) -> tuple[float, float]:
    """Return the seconds that libvirt alone takes to save and to restore all machines."""
    socket = place.folder / "state" / "lagotui" / "private" / "run" / "libvirt-sock"
    virsh = ["virsh", "-q", "-c", f"qemu+unix:///system?socket={socket}"]
    listed = subprocess.run([*virsh, "list", "--name"], check=True, capture_output=True, text=True).stdout
    domains = listed.split()
    rounds = []
    for _ in range(ROUNDS):
        saved_s = _at_once(lambda name: place.run(*virsh, "save", name, str(place.folder / f"{name}.mem")), domains)
        restored_s = _at_once(lambda name: place.run(*virsh, "restore", str(place.folder / f"{name}.mem")), domains)
        rounds.append((saved_s, restored_s))
    return statistics.median(saved for saved, _ in rounds), statistics.median(restored for _, restored in rounds)


def _at_once(work: Callable[[str], object], names: Iterable[str]) -> float:
    started_s = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, names))
    return time.perf_counter() - started_s
