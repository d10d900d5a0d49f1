"""File names in the folders of a prefix: each is given to one file only."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from itertools import count
from pathlib import PurePath

MAX_NAME_BYTES = 200
"""Of the 255 that file systems take, so that there is room for the names of temporary files and snapshots."""


class Names:
    """Hands out file names of one folder."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def claim(self, wanted: str) -> str:
        """Return the wanted name, or the nearest one that nobody has."""
        short = _shortened(wanted)
        path = PurePath(short)
        numbered = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
        name = short
        while name in self._taken:
            name = next(numbered)
        self._taken.add(name)
        return name


def _shortened(name: str) -> str:
    content = name.encode(errors="surrogateescape")
    if len(content) <= MAX_NAME_BYTES:
        return name
    return f"{sha1(content).hexdigest()[:12]}…{content[20 - MAX_NAME_BYTES :].decode(errors='ignore')}"
