"""A person at the screen: presses keys, waits until something is so, reads what is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from lagotui.app import LagoTuiApp
from lagotui.present.cells import text_of
from lagotui.widgets.lines_pane import LinesPane
from lagotui.widgets.table import Table
from tests.tui.fake_engine import FakeEngine, FakeHandle

PATIENCE_S = 60.0
"""Only a test that fails waits so long."""

ROUNDS = 4
"""A key goes from the app to a widget, whose message goes to the screen, which changes another widget."""

STEADY_LOOKS = 4


@dataclass
class Desk:
    app: LagoTuiApp
    engine: FakeEngine
    shells: list[list[str]]
    """Programs that got the terminal."""
    pilot: Pilot[Any] | None = None

    @asynccontextmanager
    async def open(self, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Desk]:
        async with self.app.run_test(size=size) as pilot:
            self.pilot = pilot
            yield self
            self.app.bridge.close()

    async def press(self, *keys: str) -> None:
        """Press keys, each when everything that the one before set off is done."""
        assert self.pilot is not None
        for key in keys:
            await self.pilot.press(key)
            for _ in range(ROUNDS):
                if not self.app._exit:
                    await self.pilot._wait_for_screen()

    async def settle(self) -> None:
        """Wait until the picture stays as it is."""
        assert self.pilot is not None
        for field in self.app.screen.query(Input):
            field.cursor_blink = False
        pictures: list[str] = []
        loop = asyncio.get_running_loop()
        end_s = loop.time() + PATIENCE_S
        while len(pictures) < STEADY_LOOKS or len(set(pictures[-STEADY_LOOKS:])) > 1:
            assert loop.time() < end_s, "the picture never stood still"
            await self.pilot.pause()
            pictures.append(self.app.export_screenshot())

    async def until(self, so: Callable[[], object], what: str = "") -> None:
        """Wait until `so()` holds."""
        assert self.pilot is not None
        loop = asyncio.get_running_loop()
        end_s = loop.time() + PATIENCE_S
        while not so():
            if loop.time() > end_s:
                raise AssertionError(f"it never came: {what or so}")
            await self.pilot.pause(0.01)

    async def until_run(self, number: int = 1) -> FakeHandle:
        """Wait for the engine's `number`th run, return it."""
        await self.until(lambda: len(self.engine.handles) >= number, "a run")
        return self.engine.handles[number - 1]

    async def until_toast(self, words: str) -> None:
        await self.until(lambda: any(words in toast for toast in self.toasts), f"toast '{words}' in {self.toasts}")

    async def until_rows(self, table: str) -> None:
        """Wait until a table has rows."""
        await self.until(lambda: self.rows(table), f"rows of {table}")

    async def until_screen(self, name: str) -> None:
        """Wait until a screen is there and takes keys."""
        await self.until(lambda: type(self.app.screen).__name__ == name and self.app.screen.focused, f"screen {name}")

    def rows(self, table: str) -> list[str]:
        """Return the rows of a table as text."""
        return [" ".join(text_of(cell).strip() for cell in row.cells) for row in self.app.screen.query_one(table, Table).rows]

    def lines(self, pane: str) -> str:
        """Return the text of a pane."""
        return "\n".join(text_of(line) for line in self.app.screen.query_one(pane, LinesPane).lines)

    @property
    def toasts(self) -> list[str]:
        return [f"{note.title} {note.message}" for note in self.app._notifications]
