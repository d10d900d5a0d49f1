"""Checking and planning of large environments: nothing is made."""

from __future__ import annotations

import time
from functools import partial

from tests.benchmarks.measure import Figure, Place, init_file, median_s

MACHINES = 200
CHECKED = ((36, "500 lines", "≤ 0.015 s"), (1000, "1,000 machines", "≤ 0.25 s"))


def measure(place: Place) -> list[Figure]:
    folder = place.work("plan", init_file(MACHINES))
    seconds = median_s(lambda: place.lagotui("--run", "plan", cwd=folder), 5)
    checks = [
        Figure(f"check of {what}, with all positions", median_s(partial(_check_s, machines), 9), goal) for machines, what, goal in CHECKED
    ]
    return [*checks, Figure(f"plan of {MACHINES} machines", seconds, "≤ 1 s")]


def _check_s(machines: int) -> float:
    from engine.initfile import load_init_file
    from engine.initfile.facts import Facts
    from tests.engine.initfile.test_load import big_file

    text, facts = big_file(machines), Facts(templates={"tiny": ()})
    started_s = time.perf_counter()
    load_init_file("LagoInitFile", text, facts)
    return time.perf_counter() - started_s
