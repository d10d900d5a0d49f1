"""Where things live that outlive an environment: state, data, cache. Each is a folder of our own below its XDG base directory."""

from __future__ import annotations

import os
from pathlib import Path

from ..config import xdg_dir

APP = "lagotui"


def state_home() -> Path:
    """Return the folder for locks, journals and the list of environments."""
    return xdg_dir("XDG_STATE_HOME", ".local/state", os.environ) / APP


def data_home() -> Path:
    """Return the folder for templates and leases of our own."""
    return xdg_dir("XDG_DATA_HOME", ".local/share", os.environ) / APP


def cache_home() -> Path:
    """Return the folder for what may be deleted at any time."""
    return xdg_dir("XDG_CACHE_HOME", ".cache", os.environ) / APP
