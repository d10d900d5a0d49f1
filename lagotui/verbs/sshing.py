"""ssh-config: what lets ssh, scp, rsync and editors find the machines by name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from ..exit_codes import ExitCode
from . import Command
from .session import Session


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machines", nargs="*", metavar="VM", help="machines; without any, all that have an address")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to a file that only you may read, at once or not at all")


def _ssh_config(session: Session, arguments: Namespace) -> int:
    from engine.errors import ConfigError
    from engine.state.atomic import write_text

    text = session.engine.ssh_config(session.env(), arguments.machines)
    if arguments.output is None:
        session.write(text)
        return ExitCode.OK
    path = Path(arguments.output).expanduser()
    try:
        write_text(path, text, mode=0o600)
    except OSError as failure:
        raise ConfigError(f"'{path}' cannot be written: {failure.strerror}", hint="choose another with --output") from failure
    session.voice.note(f"wrote '{path}'; use it with: ssh -F {path} MACHINE")
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {"ssh-config": Command(_ssh_config, _arguments)}
