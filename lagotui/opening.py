"""Where the UI begins: the engine it talks to, the environment it opens on, the folder of the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import WorkdirError

if TYPE_CHECKING:
    from engine.api import Engine
    from engine.config import Settings


def open_engine(settings: Settings) -> Engine:
    from engine.api import Engine

    return Engine(settings)


def env_here(settings: Settings) -> str:
    """Return the path of the prefix that the settings and the current folder mean; "" when there is none."""
    from engine.state.workdir import resolve

    try:
        return str(resolve(settings.workdir_path, settings.prefix_path, settings.prefix_name).path)
    except WorkdirError:  # the list of environments is the place to begin
        return ""


def config_folder() -> Path:
    from platformdirs import user_config_path

    return user_config_path("lagotui")
