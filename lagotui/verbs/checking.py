"""check, schema: what is to be said about an init file, and what an editor must know to say it as well."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.initfile import Diagnostic


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default="LagoInitFile", metavar="FILE", help="the init file (LagoInitFile)")


def _check(session: Session, arguments: Namespace) -> int:
    from engine.tasks.checking import check_file

    found = check_file(session.settings, arguments.file)
    if session.settings.out_format == "default":
        session.write("".join(f"{each}\n" for each in found))
        session.voice.note(_summary(arguments.file, found))
    else:
        session.show([each.to_json() for each in found])
    return ExitCode.USER_ERROR if any(each.severity == "error" for each in found) else ExitCode.OK


def _summary(file: str, found: Sequence[Diagnostic]) -> str:
    counts = Counter(str(each.severity) for each in found)
    said = [f"{counts[word]} {word}{'s' if counts[word] > 1 else ''}" for word in ("error", "warning", "info") if counts[word]]
    return f"{file}: {', '.join(said) or 'nothing to complain about'}"


def _no_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def _schema(session: Session, _arguments: Namespace) -> int:
    from engine.initfile.schema import schema_text

    session.write(schema_text())
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "check": Command(_check, _check_arguments),
    "schema": Command(_schema, _no_arguments),
}
