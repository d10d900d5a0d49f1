"""Draw the picture of the README: `python -m tests.tui.picture` writes docs/screenshot.svg."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from lagotui.app import LagoTuiApp
from lagotui.preferences import Preferences
from tests.tui.desk import Desk
from tests.tui.fake_engine import NOW_S, WEB, FakeEngine, a_busy_run, an_env

PICTURE = Path(__file__).parents[2] / "docs" / "screenshot.svg"
READINGS = 40


async def draw(picture: Path) -> None:
    """Open an environment in the middle of its work, and draw it."""
    engine = FakeEngine([an_env()], hold=True)
    engine.publish(*a_busy_run())
    engine.readings_left = READINGS
    with tempfile.TemporaryDirectory() as folder:
        app = LagoTuiApp(lambda: engine, Preferences(Path(folder)), env=WEB, clock=lambda: NOW_S)  # type: ignore[arg-type,return-value]
        async with Desk(app, engine, []).open((120, 40)) as desk:
            await desk.until_rows("#machines")
            for count in range(1, READINGS + 1):
                app.bridge.look_stats(WEB)
                await desk.until(lambda count=count: len(app.store.state.desk(WEB).readings.get("db01", ())) >= count)  # type: ignore[misc]
            await desk.until(lambda: app.store.state.desk(WEB).host and app.store.tasks.nodes)
            await desk.settle()
            svg = app.export_screenshot()
    picture.parent.mkdir(exist_ok=True)
    # some programs swallow blanks at the ends of a text, unless they are told not to
    picture.write_text(svg.replace("<svg ", '<svg xml:space="preserve" ', 1), encoding="utf-8")


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    asyncio.run(draw(PICTURE))
