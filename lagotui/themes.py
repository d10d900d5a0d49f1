"""Theme files → the toolkit's themes. A theme is a YAML file with semantic colours; `themes/dark.yaml` shows them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from textual.color import Color, ColorParseError
from textual.theme import Theme

SHIPPED = Path(__file__).resolve().parent.parent / "themes"
"""Beside the package in a checkout and when installed."""

BASE_COLOURS = ("primary", "secondary", "accent", "success", "warning", "error", "foreground", "background", "surface", "panel")

SEMANTIC_COLOURS: Mapping[str, str] = {
    "title": "$foreground",
    "dim": "$secondary",
    "key": "$accent",
    "command": "$secondary",
    "mark": "$accent",
    "bar": "$panel",
    "line": "$panel",
    "line-focus": "$primary",
    "cursor": "$panel",
    "cursor-blurred": "$surface",
    "danger": "$error",
    "vm-running": "$success",
    "vm-changing": "$warning",
    "vm-down": "$secondary",
    "vm-failed": "$error",
    "net-up": "$primary",
    "net-down": "$secondary",
    "task-running": "$primary",
    "task-done": "$success",
    "task-failed": "$error",
    "task-cancelled": "$warning",
    "meter-low": "$success",
    "meter-mid": "$warning",
    "meter-high": "$error",
    "meter-rest": "$panel",
    "log-debug": "$secondary",
    "log-info": "$foreground",
    "log-warning": "$warning",
    "log-error": "$error",
}
"""Name → the base colour that it is in a theme that does not say."""


class ThemeFileError(ValueError):
    """A theme file that cannot be used; the message names the file and the cause."""


def load_theme(path: Path) -> Theme:
    """Read one theme file.

    Raises:
        ThemeFileError: the file cannot be read, is not YAML, or has unknown or wrong keys.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ThemeFileError(f"theme '{path}' cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ThemeFileError(f"theme '{path}' must be a mapping with 'dark', 'base' and 'colours'")
    unknown = set(data) - {"dark", "base", "colours"}
    if unknown:
        raise ThemeFileError(f"theme '{path}' has the unknown key '{min(map(str, unknown))}'")
    base = _colours(path, data, "base", BASE_COLOURS)
    missing = [name for name in BASE_COLOURS if name not in base]
    if missing:
        raise ThemeFileError(f"theme '{path}' lacks the base colour '{missing[0]}'")
    colours = {**semantic_defaults(base), **_colours(path, data, "colours", SEMANTIC_COLOURS)}
    variables = {**colours, **_toolkit_variables(base, colours)}
    return Theme(
        name=path.stem,
        primary=base["primary"],
        secondary=base["secondary"],
        accent=base["accent"],
        success=base["success"],
        warning=base["warning"],
        error=base["error"],
        foreground=base["foreground"],
        background=base["background"],
        surface=base["surface"],
        panel=base["panel"],
        dark=data.get("dark", True) is True,
        variables=variables,
    )


def load_themes(folder: Path) -> tuple[list[Theme], list[str]]:
    """Read every theme file of `folder`; return the themes, and one sentence for each file that cannot be used."""
    themes: list[Theme] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
        try:
            themes.append(load_theme(path))
        except ThemeFileError as error:
            problems.append(str(error))
    return themes, problems


def semantic_defaults(base: Mapping[str, str]) -> dict[str, str]:
    """Return every semantic colour, made from base colours."""
    return {name: base[value.removeprefix("$")] for name, value in SEMANTIC_COLOURS.items()}


def _colours(path: Path, data: Mapping[str, Any], key: str, known: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    section = data.get(key) or {}
    if not isinstance(section, dict):
        raise ThemeFileError(f"theme '{path}': '{key}' must be a mapping of names to colours")
    for name, value in section.items():
        if name not in known:
            raise ThemeFileError(f"theme '{path}': '{key}' has the unknown colour '{name}'")
        try:
            Color.parse(str(value))
        except ColorParseError as error:
            raise ThemeFileError(f"theme '{path}': '{value}' is no colour (at '{key}', '{name}')") from error
    return {name: str(value) for name, value in section.items()}


def _toolkit_variables(base: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, str]:
    """Return the toolkit's own variables, so that its widgets look like ours."""
    return {
        "block-cursor-background": colours["cursor"],
        "block-cursor-foreground": base["foreground"],
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": colours["cursor-blurred"],
        "border": colours["line-focus"],
        "border-blurred": colours["line"],
        "input-selection-background": colours["cursor"],
        "scrollbar": colours["line"],
        "scrollbar-hover": colours["line-focus"],
        "scrollbar-active": colours["line-focus"],
        "scrollbar-background": base["background"],
        "scrollbar-background-hover": base["background"],
        "scrollbar-background-active": base["background"],
        "scrollbar-corner-color": base["background"],
    }
