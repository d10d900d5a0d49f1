"""snapshot, revert."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from ..exit_codes import ExitCode
from ..present.status import snapshot_data
from . import Command
from .session import Session


def _snapshot_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-l", "--list", action="store_true", dest="listed", help="list the snapshots instead of taking one")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the new snapshot")


def _snapshot(session: Session, arguments: Namespace) -> int:
    from engine.errors import SnapshotError

    if not arguments.listed and arguments.name is None:
        raise SnapshotError("snapshot needs a name", hint="lagotui --run snapshot NAME, or snapshot --list to see what there is")
    env = session.env()
    if arguments.listed:
        session.show(snapshot_data(env.load_env().machines))
        return ExitCode.OK
    session.follow(lambda engine: engine.snapshot(env, arguments.name))
    return ExitCode.OK


def _revert_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the snapshot to go back to")


def _revert(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.revert(env, arguments.name))
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "snapshot": Command(_snapshot, _snapshot_arguments),
    "revert": Command(_revert, _revert_arguments),
}
