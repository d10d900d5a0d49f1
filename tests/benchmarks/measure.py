"""What the benchmarks share: a place of their own, a clock, a figure."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Figure:
    what: str
    seconds: float
    goal: str
    raw_s: float | None = None
    """The raw tool in the same run."""

    def __str__(self) -> str:
        ratio = f"  = {self.seconds / self.raw_s:.2f} × {self.raw_s:.3f} s raw" if self.raw_s else ""
        return f"{self.what:<58} {self.seconds:8.3f} s{ratio}   (goal {self.goal})"


@dataclass(frozen=True)
class Place:
    """A home that belongs to one run of the benchmarks; templates are kept in a store that may be given."""

    folder: Path

    @property
    def store(self) -> Path:
        cache = os.environ.get("LAGOTUI_TEST_CACHE")
        return Path(cache) / "store" if cache else self.folder / "store"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "LAGO_LIBVIRT_URL": "private",
            "LAGO_TEMPLATE_STORE": str(self.store),
            "LAGO_LEASE_DIR": str(self.folder / "subnets"),
            "PYTHONPATH": str(REPO),
        }

    def lagotui(self, *words: str, cwd: Path | None = None) -> float:
        """Run the program; return the seconds it took."""
        return self.run(sys.executable, "-m", "lagotui", *words, cwd=cwd)

    def run(self, *argv: str, cwd: Path | None = None) -> float:
        started_s = time.perf_counter()
        subprocess.run(argv, check=True, env=self.environ, cwd=cwd or self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return time.perf_counter() - started_s

    def work(self, name: str, init_file: str) -> Path:
        """Make a folder with an init file."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "LagoInitFile").write_text(init_file)
        return folder


def median_s(measure: Callable[[], float], times: int) -> float:
    """Return the median of some runs, after one that warms the caches."""
    measure()
    return statistics.median(measure() for _ in range(times))


def init_file(machines: int) -> str:
    """Return an environment of tiny machines on one net."""
    machine = "{memory: 128, vcpu: 1, nics: [{net: n}], disks: [{template_name: tiny, type: template, name: root, dev: vda}]}"
    domains = "".join(f"  vm{number}: {machine}\n" for number in range(machines))
    return f"domains:\n{domains}nets:\n  n: {{type: nat, management: true, dhcp: {{start: 100, end: 254}}}}\n"
