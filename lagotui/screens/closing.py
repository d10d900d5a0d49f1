"""How screens end."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import Screen

T = TypeVar("T")


class ClosingOnce(Screen[T]):
    """A screen that closes itself only: a second key, or a timer, that still reaches it would close the screen below."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        if self.app.screen_stack[-1:] != [self]:
            return AwaitComplete()
        return super().dismiss(result)
