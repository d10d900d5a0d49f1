"""Settings → the text of a configuration file, as the predecessor's `generate-config` writes it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

WIDTH = 79
SECRETS = frozenset({"ssh_password", "root_password", "libvirt_password"})


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    section: str
    value: object
    """None or "": it is not set."""
    help: str
    source: str
    """Where the value came from: `default`, `env LAGO_LOGLEVEL` …"""


def config_text(entries: list[Entry], *, made: str, verbose: bool) -> str:
    """Return a whole file.

    Args:
        entries: every setting.
        made: when and by what, for the first line.
        verbose: also name what is not set, and say where each value came from.
    """
    lines = [f"# {made}"]
    for section, its in _by_section(entries).items():
        body = [line for entry in its for line in _entry_lines(entry, verbose)]
        if body:
            lines += ["", f"[{section}]", *body]
    return "\n".join(lines) + "\n"


def _by_section(entries: list[Entry]) -> Mapping[str, list[Entry]]:
    sections: dict[str, list[Entry]] = {}
    for entry in entries:
        sections.setdefault(entry.section, []).append(entry)
    return sections


def _entry_lines(entry: Entry, verbose: bool) -> list[str]:
    is_set = entry.value not in (None, "")
    if not is_set and not verbose:
        return []
    lines = textwrap.wrap(entry.help, WIDTH, initial_indent="# ", subsequent_indent="# ")
    if verbose:
        lines.append(f"# from: {entry.source}")
    if not is_set:
        return [*lines, f"#{entry.name} = None"]
    if entry.name in SECRETS:
        return [*lines, f"#{entry.name} = (set, and not shown)"]
    return [*lines, f"{entry.name} = {_text(entry.value)}"]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
