"""logs: what was done with an environment, or what a machine printed on its serial console."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from contextlib import suppress

from ..exit_codes import ExitCode
from . import Command
from .session import Session

LINES = 200


def _count(word: str) -> int:
    """Raises: ValueError: it is no number; ArgumentTypeError: it is below zero."""
    number = int(word)
    if number < 0:
        raise ArgumentTypeError(f"{number} lines cannot be shown")
    return number


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machine", nargs="?", metavar="VM", help="a machine: its serial console; without it, the log of the environment")
    parser.add_argument("-n", "--lines", type=_count, default=LINES, metavar="N", help=f"how many of the last lines ({LINES})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")


def _logs(session: Session, arguments: Namespace) -> int:
    from engine.tasks.logs import log_follow, log_path, log_tail

    env = session.env(damaged=True)
    machine: str = arguments.machine or ""
    _write(session, log_tail(env, machine, arguments.lines))
    if arguments.follow:
        with suppress(KeyboardInterrupt):
            for lines in log_follow(log_path(env, machine)):
                _write(session, lines)
    return ExitCode.OK


def _write(session: Session, lines: list[str]) -> None:
    session.write("".join(f"{line}\n" for line in lines))


COMMANDS: Mapping[str, Command] = {"logs": Command(_logs, _arguments)}
