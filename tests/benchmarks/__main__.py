"""Run every benchmark and print a table: `python -m tests.benchmarks [NAME…]`. Needs what live tests need; writes only to /tmp."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import bus, checkpoint, exporting, headless, machines, planning, screen, templates
from tests.benchmarks.measure import Figure, Place

BENCHMARKS: dict[str, Callable[[Place], list[Figure]]] = {
    "headless": headless.measure,
    "init": machines.measure_init,
    "many": machines.measure_many,
    "ends": machines.measure_ends,
    "boot": machines.measure_boot,
    "status": machines.measure_status,
    "export": exporting.measure,
    "checkpoint": checkpoint.measure,
    "bus": bus.measure,
    "plan": planning.measure,
    "screen": screen.measure,
    "templates": templates.measure,
}


def main(names: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="lb-", dir="/tmp"))
    try:
        place = Place(folder)
        for name in names or list(BENCHMARKS):
            for figure in BENCHMARKS[name](place):
                sys.stdout.write(f"{figure}\n")
                sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
