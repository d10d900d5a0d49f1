"""Log lines from a busy thread through the bus to a reader that takes batches, as the UI does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from engine.bus import Bus
from engine.events import TaskLog
from tests.benchmarks.measure import Figure, Place

LINES = 20_000


def measure(place: Place) -> list[Figure]:
    total_s, worst_s = asyncio.run(_flood())
    return [
        Figure(f"{LINES:,} log lines through the bus", total_s, "none"),
        Figure("longest stall of the reader's loop meanwhile", worst_s, "≤ 0.050 s"),
    ]


async def _flood() -> tuple[float, float]:
    bus = Bus()
    reader = bus.subscribe()
    writer = threading.Thread(target=_write, args=(bus,))
    started_s = last_s = time.perf_counter()
    worst_s, seen = 0.0, 0
    writer.start()
    while seen < LINES:
        await asyncio.sleep(1 / 60)
        seen += len(reader.take())
        now_s = time.perf_counter()
        worst_s = max(worst_s, now_s - last_s - 1 / 60)
        last_s = now_s
    writer.join()
    return time.perf_counter() - started_s, worst_s


def _write(bus: Bus) -> None:
    for number in range(LINES):
        bus.publish(TaskLog(task_id="t", level=logging.INFO, logger="bench", message=f"line {number}"))
