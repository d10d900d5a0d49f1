"""How long steps took on this machine: a small file that makes the forecast of a plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from ..errors import DiskFull, WorkdirError
from .atomic import write_json
from .home import state_home
from .locks import file_lock

KEPT = 25
"""Samples of each kind of step."""

logger = logging.getLogger(__name__)


def record(samples: Mapping[str, Sequence[float]]) -> None:
    """Add what a run measured, in seconds; the oldest samples go. A machine that cannot keep them only loses its forecast."""
    if not samples:
        return
    try:
        with file_lock(state_home() / "locks" / "durations.lock"):
            known = _read()
            kept = {kind: [*known.get(kind, ()), *(round(each, 3) for each in new)][-KEPT:] for kind, new in samples.items()}
            _file().parent.mkdir(parents=True, exist_ok=True)
            write_json(_file(), {**known, **kept})
    except (OSError, DiskFull, WorkdirError) as failure:
        logger.debug("durations were not recorded: %s", failure)


def medians() -> Mapping[str, float]:
    """Return kind of step → seconds that it usually takes here."""
    return {kind: median(samples) for kind, samples in _read().items() if samples}


def _file() -> Path:
    return state_home() / "durations.json"


def _read() -> dict[str, list[float]]:
    try:
        data = json.loads(_file().read_bytes())
        return {str(kind): [float(each) for each in samples] for kind, samples in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # never written, or damaged: it fills again
        return {}
