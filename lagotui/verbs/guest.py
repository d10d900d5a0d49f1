"""copy-to-vm, copy-from-vm, collect, deploy, service: what is done inside machines."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path

from ..exit_codes import ExitCode
from . import Command
from .session import Session


def _local(word: str) -> Path:
    """Return a path of this computer. Raises: as `_named`."""
    return Path(_named(word))


def _named(word: str) -> str:
    """Return a path.

    Raises:
        ArgumentTypeError: it is empty, as a script's variable that was never set; the current folder is not meant.
    """
    if not word:
        raise ArgumentTypeError("the path is empty")
    return word


def _copy_to_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machine", metavar="HOST", help="the machine")
    parser.add_argument("local", metavar="LOCAL", type=_local, help="file or folder of this machine")
    parser.add_argument("remote", metavar="REMOTE", type=_named, help="where it goes; into it, where that is a folder")


def _copy_to(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.copy_to(env, arguments.machine, arguments.local, arguments.remote))
    return ExitCode.OK


def _copy_from_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machine", metavar="HOST", help="the machine")
    parser.add_argument("remote", metavar="REMOTE", type=_named, help="file or folder of the machine")
    parser.add_argument("local", metavar="LOCAL", type=_local, help="where it goes; into it, where that is a folder")


def _copy_from(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.copy_from(env, arguments.machine, arguments.remote, arguments.local))
    return ExitCode.OK


def _collect_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", type=_local, required=True, help="where it goes; what is there is renamed")
    parser.add_argument("--no-skip", action="store_true", help="fail where an artifact is not there, instead of leaving it out")


def _collect(session: Session, arguments: Namespace) -> int:
    env = session.env()
    output = Path.cwd() / arguments.output.expanduser()
    session.follow(lambda engine: engine.collect(env, output, skip_missing=not arguments.no_skip))
    return ExitCode.OK


def _deploy_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machines", nargs="*", metavar="VM", help="machines; without any, all that have deploy scripts")


def _deploy(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.deploy(env, arguments.machines))
    return ExitCode.OK


def _service_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("machine", metavar="VM", help="the machine")
    parser.add_argument("name", metavar="NAME", help="the service")
    parser.add_argument("action", nargs="?", choices=("state", "start", "stop"), default="state", help="what to do (state)")


def _service(session: Session, arguments: Namespace) -> int:
    env, machine, name = session.env(), arguments.machine, arguments.name
    if arguments.action == "start":
        session.follow(lambda engine: engine.service_start(env, machine, name))
    elif arguments.action == "stop":
        session.follow(lambda engine: engine.service_stop(env, machine, name))
    else:
        session.show(session.follow(lambda engine: engine.service_state(env, machine, name), quiet=True).name.lower())
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "copy-to-vm": Command(_copy_to, _copy_to_arguments),
    "copy-from-vm": Command(_copy_from, _copy_from_arguments),
    "collect": Command(_collect, _collect_arguments),
    "deploy": Command(_deploy, _deploy_arguments),
    "service": Command(_service, _service_arguments),
}
