"""What the specs share to read and write JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any
"""Whatever `json` reads and writes."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text: key names, mostly."""
    return frozenset(text.split())


def beyond(data: Mapping[str, Json], known: frozenset[str]) -> dict[str, Json]:
    """Return what is in `data` under keys that are not known."""
    return {key: value for key, value in data.items() if key not in known}


def without_none(data: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in data.items() if value is not None}


def text_or_none(value: Json) -> str | None:
    return None if value is None else str(value)
