"""status, list, set-current: nothing but the result is written."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from ..exit_codes import ExitCode
from ..present.status import status_data
from . import Command
from .session import Session


def _no_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def _status(session: Session, _arguments: Namespace) -> int:
    env = session.env()
    state = session.engine.state(env)
    session.show(status_data(state))
    for sentence in state.pending:
        session.voice.note(sentence)
    return ExitCode.OK


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("workdir", nargs="?", metavar="WORKDIR_PATH", help="the workdir; without it the one of this folder")


def _list(session: Session, arguments: Namespace) -> int:
    session.show(session.workdir(Path(arguments.workdir) if arguments.workdir else None).names)
    return ExitCode.OK


def _set_current_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="PREFIX_NAME", help="environment of the workdir")


def _set_current(session: Session, arguments: Namespace) -> int:
    session.workdir().set_current(arguments.name)
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "status": Command(_status, _no_arguments),
    "list": Command(_list, _list_arguments),
    "set-current": Command(_set_current, _set_current_arguments),
}
