"""The UI answers while the engine talks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from engine.events import TaskLog, TaskStarted
from tests.tui.desk import Desk
from tests.tui.fake_engine import NOW_S, WEB, FakeEngine, an_env

LINES = 20_000
GIVE_UP_S = 30.0
LONGEST_STALL_S = 0.25
"""Far above what is measured (see the benchmarks), far below what a message for every line costs: seconds."""


async def test_twenty_thousand_log_lines_do_not_stop_the_screen(open_desk: Callable[..., Desk]) -> None:
    engine = FakeEngine([an_env()], hold=True)
    async with open_desk(engine, WEB).open() as desk:
        await desk.until_rows("#machines")
        engine.publish(TaskStarted(at_s=NOW_S, task_id="t", parent_id=None, name="talk", run_id="r", env=WEB))
        await desk.until(lambda: "t" in desk.app.store.tasks.nodes, "the task")
        stall_s = await longest_stall_s(desk, lambda: engine.publish(*_lines()))
        assert stall_s < LONGEST_STALL_S


async def longest_stall_s(desk: Desk, flood: Callable[[], None]) -> float:
    """Return the longest time that the UI's loop did not come round while `flood` ran on a thread and was taken in."""
    loop = asyncio.get_running_loop()
    longest_s = 0.0
    flooder = threading.Thread(target=flood)
    flooder.start()
    last = f"line {LINES - 1}"
    end_s = loop.time() + GIVE_UP_S
    while loop.time() < end_s:
        before_s = loop.time()
        await asyncio.sleep(0.001)
        longest_s = max(longest_s, loop.time() - before_s - 0.001)
        node = desk.app.store.tasks.nodes.get("t")
        if node is not None and node.logs and node.logs[-1].message == last:
            flooder.join()
            return longest_s
    raise AssertionError("the last line never came")


def _lines() -> list[TaskLog]:
    return [TaskLog(at_s=NOW_S, task_id="t", level=20, logger="x", message=f"line {number}") for number in range(LINES)]
