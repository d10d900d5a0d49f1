"""Makes the pages that are generated: `make docs`. The man page comes of the parsers, the page of the init file's keys of the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from argparse_manpage.manpage import Manpage

from engine.initfile.model import NAMED, TOP_KEYS, Section, Status
from engine.initfile.schema import key_schema
from lagotui.verbs.whole import manual_parser

DOCS = Path(__file__).resolve().parents[1] / "docs"
YES_OR_NO = "yes or no"
WORDS = {"string": "text", "integer": "number", "number": "number", "boolean": YES_OR_NO, "array": "list", "object": "mapping"}
TITLE = '.TH LAGOTUI 1 "" lagotui "User Commands"'
NAME = "lagotui \\- ad\\-hoc virtual environments from an init file"

INTRODUCTION = """\
# The keys of the init file

YAML or JSON. `lagotui --run check` says what is wrong with a file, with line and column; what each code means is in
[diagnostics.md](diagnostics.md). `lagotui --run schema` prints the JSON Schema for editors. Explained examples are in `sample_initfiles/`.
This page is made of the program's own model.

- Unknown keys are warnings, since anchors need a place to stand (`base: &base`), unless they look like a known key of their place: these
  are errors.
- Anchors, aliases and merge keys (`<<: *base`) work; `based-on` names a prototype, or is one.
- `$NAME`, `${NAME}` and `~` stand for variables and the home in paths, urls, scripts; nothing else is replaced, and no shell reads any of
  it. `$LAGO_INITFILE_PATH` is the folder of the init file, `$LAGO_PREFIX_PATH` and `$LAGO_WORKDIR_PATH` are where the environment is.
- Machines and nics are given addresses in the order of the file: the lowest that is free from .2 on, in the net's subnet; the order of keys
  inside a machine, and of nets, does not matter.
- Sizes take units (`512M`, `10GiB`); a bare number is MiB for memory, GB for disks.
"""


def man_page() -> str:
    """Return the man page, without anything that changes from day to day."""
    os.environ["COLUMNS"] = "80"  # argparse folds usage lines by it
    page = str(Manpage(manual_parser(), format="single-commands-section"))
    lines = [line.rstrip() for line in page.splitlines()]
    lines[0] = TITLE
    lines[lines.index(".SH NAME") + 1] = NAME
    return "\n".join(lines) + "\n"


def key_page() -> str:
    """Return the page of the init file's keys."""
    parts = [INTRODUCTION]
    for top, section in NAMED.items():
        parts.append(f"\n## `{top}.<name>`\n\n{TOP_KEYS[top]}\n\n")
        parts.append("As `domains.<name>`.\n" if top == "prototypes" else _tables(section, f"{top}.<name>"))
    return "".join(parts)


def _tables(section: type[Section], place: str) -> str:
    rows = [
        f"| `{key}` | {_kind(section, key)} | {_cell(info.description)} |"
        for key, info in section.keys().items()
        if _is_written(info.status)
    ]
    text = "\n".join(["| key | value | meaning |", "|---|---|---|", *rows]) + "\n"
    for key, (how, below) in section.nested.items():
        inside = f"{place}.{key}{'[]' if how == 'list' else ''}"
        text += f"\n### `{inside}`\n\n{_tables(below, inside)}"
    return text


def _is_written(status: Status) -> bool:
    return status not in (Status.GENERATED, Status.DEPRECATED)


def _kind(section: type[Section], key: str) -> str:
    about = key_schema(section, key)
    kinds = [about, *about.get("anyOf", ())]
    words = [word for each in kinds for word in _words(each)]
    if YES_OR_NO in words:  # and every word that YAML 1.1 takes for one
        words = [YES_OR_NO]
    if words == ["text", "number"]:  # a number is taken as the text that it is written as
        words = ["text"]
    default = about.get("default")
    said = " or ".join(dict.fromkeys(words)) or "mapping"
    return said if default in (None, [], {}) else f"{said} (`{str(default).lower() if isinstance(default, bool) else default}`)"


def _words(about: dict[str, Any]) -> list[str]:
    kinds = about.get("type", [])
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    if "enum" in about:
        return [f"`{value}`" for value in about["enum"]]
    if "const" in about:
        return [f"`{about['const']}`"]
    return [WORDS[kind] for kind in listed if kind in WORDS]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    (DOCS / "lagotui.1").write_text(man_page(), encoding="utf-8")
    (DOCS / "init-file.md").write_text(key_page(), encoding="utf-8")
