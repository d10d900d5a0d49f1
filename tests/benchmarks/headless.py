"""Start of the program, before any work begins."""

from __future__ import annotations

import sys

from tests.benchmarks.measure import Figure, Place, median_s


def measure(place: Place) -> list[Figure]:
    bare_s = median_s(lambda: place.run(sys.executable, "-c", "pass"), 9)
    return [
        Figure("lagotui --version", median_s(lambda: place.lagotui("--version"), 9), "≤ 0.10 s", bare_s),
        Figure("lagotui --run --help", median_s(lambda: place.lagotui("--run", "--help"), 9), "≤ 0.10 s", bare_s),
    ]
