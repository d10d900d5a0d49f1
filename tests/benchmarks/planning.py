"""Planning of large environments: nothing is made."""

from __future__ import annotations

from tests.benchmarks.measure import Figure, Place, init_file, median_s

MACHINES = 200


def measure(place: Place) -> list[Figure]:
    folder = place.work("plan", init_file(MACHINES))
    seconds = median_s(lambda: place.lagotui("--run", "plan", cwd=folder), 5)
    return [Figure(f"plan of {MACHINES} machines", seconds, "≤ 1 s")]
