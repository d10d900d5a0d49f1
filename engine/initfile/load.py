"""From a file to an `EnvSpec`. The only module here that looks at the world, and only to read the one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InitFileError
from ..spec import EnvSpec
from .diagnostics import FILE_START, Diagnostic, Severity, Span
from .facts import Facts

DEFAULT_NAME = "LagoInitFile"
"""The init file of a folder, when none is named."""

MAX_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    spec: EnvSpec | None
    """None when there are errors."""
    diagnostics: tuple[Diagnostic, ...]
    """All of them in the order of the file, warnings and infos too."""


def load_init_file(path: str | Path = DEFAULT_NAME, text: str | None = None, facts: Facts | None = None) -> Loaded:
    """Read and check an init file, and build its spec.

    Args:
        path: the file; messages name it as it is written here.
        text: its content where it is known already (an editor's buffer); else the file is read.
        facts: what is known of the world. Without them only the file itself is checked. `files_base` is always the file's folder,
            and `$LAGO_INITFILE_PATH` always means that folder.
    """
    if text is None:
        text, problem = _read_text(Path(path), str(path))
        if problem is not None:
            return Loaded(None, (problem,))
    from .build import build
    from .check import check_all
    from .source import parse
    from .tree import no_collection

    around = _facts_of(Path(path), facts)
    with no_collection():
        init, diagnostics = check_all(parse(text, str(path)), around)
        return Loaded(build(init, around) if init is not None else None, tuple(diagnostics))


def require_spec(
    path: str | Path = DEFAULT_NAME, text: str | None = None, facts: Facts | None = None
) -> tuple[EnvSpec, tuple[Diagnostic, ...]]:
    """Load an init file that must be free of errors; return its spec, and what is to be said all the same.

    Raises:
        InitFileError: it has errors; the message holds every one, one a line.
    """
    loaded = load_init_file(path, text, facts)
    if loaded.spec is None:
        errors = [str(each) for each in loaded.diagnostics if each.severity is Severity.ERROR]
        raise InitFileError("\n".join(errors), diagnostics=loaded.diagnostics)
    return loaded.spec, loaded.diagnostics


def _facts_of(path: Path, facts: Facts | None) -> Facts:
    folder = str(path.absolute().parent)
    known = facts or Facts(variables=_environment())
    return replace(known, files_base=folder, variables={**known.variables, "LAGO_INITFILE_PATH": folder})


def _environment() -> Mapping[str, str]:
    return dict(os.environ)


def _read_text(path: Path, shown: str) -> tuple[str, Diagnostic | None]:
    try:
        if path.is_dir():
            return "", _unreadable(shown, f"'{shown}' is a folder, not an init file", f"name the file: {shown.rstrip('/')}/{DEFAULT_NAME}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "name the init file, or make one from sample_initfiles/one_vm.yaml"
        return "", _unreadable(shown, f"there is no init file '{shown}'", hint)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return "", _unreadable(shown, f"cannot read the init file '{shown}': {reason}")
    if len(content) > MAX_BYTES:
        return "", Diagnostic.at("E007", shown, FILE_START, f"the file is longer than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8"), None
    except UnicodeDecodeError as error:
        return "", _not_utf8(shown, content, error)


def _unreadable(shown: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic.at("E001", shown, FILE_START, message, hint)


def _not_utf8(shown: str, content: bytes, error: UnicodeDecodeError) -> Diagnostic:
    before = content[: error.start].decode("utf-8", "replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    message = f"the byte {content[error.start]:#04x} is not UTF-8"
    return Diagnostic.at("E002", shown, Span(line, column, line, column + 1), message, "save the file as UTF-8")
