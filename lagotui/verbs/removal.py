"""destroy, cleanup, recover."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.state.prefix import Prefix


def _destroy_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--all-prefixes", action="store_true", help="destroy every environment of the workdir")


def _destroy(session: Session, arguments: Namespace) -> int:
    doomed = session.workdir(damaged=True).prefixes if arguments.all_prefixes else (session.env(damaged=True),)
    if not arguments.yes and not _agreed(session, doomed):
        session.voice.note("nothing was destroyed")
        return ExitCode.OK
    for env in doomed:
        _destroy_one(session, env)
    return ExitCode.OK


def _destroy_one(session: Session, env: Prefix) -> None:
    session.follow(lambda engine: engine.destroy(env))


def _agreed(session: Session, doomed: Iterable[Prefix]) -> bool:
    """Say what is lost and ask; "no" is the default.

    Raises:
        ConfigError: there is nobody to ask.
    """
    from engine.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("destroy asks first, and there is no terminal to ask at", hint="lagotui --run destroy -y")
    for env in doomed:
        session.voice.note(f"'{env.name}' ({env.path}) will be destroyed:")
        for sentence in session.engine.losses(env):
            session.voice.note(f"  {sentence}")
    session.voice.note("Destroy? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _no_arguments(parser: ArgumentParser) -> None:
    """Takes none."""


def _cleanup(session: Session, _arguments: Namespace) -> int:
    env = session.env(damaged=True)
    session.follow(lambda engine: engine.cleanup(env))
    return ExitCode.OK


def _recover(session: Session, _arguments: Namespace) -> int:
    env = session.env()
    sentences = session.follow(lambda engine: engine.recover(env))
    session.show(sentences)
    if not sentences:
        session.voice.note("nothing to recover")
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "destroy": Command(_destroy, _destroy_arguments),
    "cleanup": Command(_cleanup, _no_arguments),
    "recover": Command(_recover, _no_arguments),
}
