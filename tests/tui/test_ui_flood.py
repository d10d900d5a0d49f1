"""The UI answers while the engine talks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable

from engine.events import TaskLog, TaskStarted
from tests.tui.desk import Desk
from tests.tui.fake_engine import NOW_S, WEB, FakeEngine, an_env

LINES = 20_000
GIVE_UP_S = 120.0
LONGEST_TURN_S = 0.1
"""Of the UI's loop, in time of the processor: on a busy machine it stalls for reasons that are not ours."""
TRIES = 5
"""The best one counts: processors are not always equally quick."""


async def test_twenty_thousand_log_lines_do_not_stop_the_screen(open_desk: Callable[..., Desk]) -> None:
    engine = FakeEngine([an_env()], hold=True)
    async with open_desk(engine, WEB).open() as desk:
        await desk.until_rows("#machines")
        gc.disable()  # what it collects is of all the tests before
        try:
            turns_s = [await longest_turn_s(desk, f"t{number}") for number in range(TRIES)]
        finally:
            gc.enable()
        assert min(turns_s) < LONGEST_TURN_S


async def longest_turn_s(desk: Desk, task: str) -> float:
    """Return how long the UI's loop worked at most before it came round, while a task talked on a thread."""
    started = TaskStarted(at_s=NOW_S, task_id=task, parent_id=None, name="talk", run_id=task, env=WEB)
    desk.engine.publish(started)
    await desk.until(lambda: task in desk.app.store.tasks.nodes, "the task")
    lines = [TaskLog(at_s=NOW_S, task_id=task, level=20, logger="x", message=f"line {number}") for number in range(LINES)]
    loop = asyncio.get_running_loop()
    longest_s = 0.0
    flooder = threading.Thread(target=lambda: desk.engine.publish(*lines))
    flooder.start()
    end_s = loop.time() + GIVE_UP_S
    while loop.time() < end_s:
        before_s = time.thread_time()
        await asyncio.sleep(0.001)
        longest_s = max(longest_s, time.thread_time() - before_s)
        logs = desk.app.store.tasks.nodes[task].logs
        if logs and logs[-1] is lines[-1]:
            flooder.join()
            return longest_s
    raise AssertionError("the last line never came")
