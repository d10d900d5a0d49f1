"""init, up, start, stop, shutdown."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode
from ..present.plan import diff_lines
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.api import InitRequest


DEFAULT_INIT_FILE = "LagoInitFile"


def init_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="*", metavar="[WORKDIR] [VIRT_CONFIG]", help="where to make it (.lago), and the init file (LagoInitFile)")
    add("--template-repo-path", metavar="PATH", help="catalogue of templates: a file or a URL")
    add("--template-repo-name", metavar="NAME", help="catalogue of that name among those of --template-repos")
    add("--template-store", metavar="DIR", help="where images of templates are kept")
    add("--template-repos", metavar="DIR", help="where catalogues are kept")
    add("--set-current", action="store_true", help="make it the environment that verbs work on")
    add("--skip-bootstrap", action="store_true", help="leave the guests' disks as the template has them")
    add("--skip-build", action="store_true", help="leave out the build commands of disks")


def _up_arguments(parser: ArgumentParser) -> None:
    init_arguments(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="lose what a changed init file asks to make anew, without being asked")


def _init(session: Session, arguments: Namespace) -> int:
    request = _request(session, arguments)
    session.follow(lambda engine: engine.init(request))
    return ExitCode.OK


def _up(session: Session, arguments: Namespace) -> int:
    request = _agreed(session, request_of(session, arguments))
    if request is None:
        session.voice.note("nothing was changed")
        return ExitCode.OK
    session.follow(lambda engine: engine.up(request))
    return ExitCode.OK


def _agreed(session: Session, request: InitRequest) -> InitRequest | None:
    """Return the request, agreed to where a changed init file would lose something; None when the user would rather not.

    Without a terminal nobody is asked: the engine refuses.
    """
    from engine.state.prefix import is_prefix

    if request.agreed or not sys.stdin.isatty() or not is_prefix(request.prefix):
        return request
    changes, lost = session.engine.changes(request)
    if not lost:
        return request
    for line in (*diff_lines(changes), "This would be lost:", *(f"  {sentence}" for sentence in lost), "Go on? [y/N]"):
        session.voice.note(line)
    return replace(request, agreed=True) if sys.stdin.readline().strip().lower() in ("y", "yes") else None


def request_of(session: Session, arguments: Namespace) -> InitRequest:
    """Return what `up` is asked for: an environment that is there, by default with the init file that it was made from, or a new one."""
    from engine.state.prefix import Prefix

    request = _of_existing(_request(session, arguments), session.settings.prefix_name)
    known = None if arguments.paths else Prefix.at(request.prefix).init_file
    if known is not None and Path(known[0]).is_file():
        request = replace(request, init_file=Path(known[0]))
    return replace(request, named=bool(arguments.paths), agreed=getattr(arguments, "yes", False))


def _request(session: Session, arguments: Namespace) -> InitRequest:
    """Return what is asked for; of the paths, a single one is the init file."""
    from engine.api import InitRequest
    from engine.errors import ConfigError
    from engine.state.workdir import CURRENT, DEFAULT_PREFIX, DEFAULT_WORKDIR

    paths: list[str] = arguments.paths
    if len(paths) > 2:
        raise ConfigError(f"'{paths[2]}' is one path too many", hint="give [WORKDIR] [VIRT_CONFIG]")
    _take_settings(session, arguments)
    settings = session.settings
    workdir = Path(paths[0]) if len(paths) == 2 else settings.workdir_path or Path(DEFAULT_WORKDIR)
    init_file = Path(paths[-1]) if paths else Path(DEFAULT_INIT_FILE)
    return InitRequest(
        workdir=Path.cwd() / workdir.expanduser(),
        prefix_name=DEFAULT_PREFIX if settings.prefix_name == CURRENT else settings.prefix_name,
        init_file=Path.cwd() / init_file.expanduser(),
        set_current=arguments.set_current,
        skip_bootstrap=arguments.skip_bootstrap,
        skip_build=arguments.skip_build,
    )


def _take_settings(session: Session, arguments: Namespace) -> None:
    """Let those options of the verb that are settings win."""
    if arguments.template_repo_path:
        session.settings = replace(session.settings, template_repo_path=arguments.template_repo_path)
    elif arguments.template_repo_name:
        session.settings = replace(session.settings, template_repo_path=f"name:{arguments.template_repo_name}")
    if arguments.template_store:
        session.settings = replace(session.settings, template_store=Path(arguments.template_store).expanduser().absolute())
    if arguments.template_repos:
        session.settings = replace(session.settings, template_repos=Path(arguments.template_repos).expanduser().absolute())


def _of_existing(request: InitRequest, prefix_name: str) -> InitRequest:
    """Return the request for an environment that is there already, where `request` means that one."""
    from engine.state.workdir import CURRENT, DEFAULT_WORKDIR, Workdir, is_workdir

    inside = request.workdir / DEFAULT_WORKDIR
    workdir = inside if not is_workdir(request.workdir) and is_workdir(inside) else request.workdir
    name = Workdir.at(workdir).current if prefix_name == CURRENT else ""
    return replace(request, workdir=workdir, prefix_name=name or request.prefix_name)


def _machines_argument(parser: ArgumentParser) -> None:
    parser.add_argument("machines", nargs="*", metavar="VM", help="machines; without any, the whole environment")


def _start(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.start(env, arguments.machines))
    return ExitCode.OK


def _stop(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.stop(env, arguments.machines))
    return ExitCode.OK


def _shutdown_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-r", "--reboot", action="store_true", help="let them restart instead, without waiting for it")
    _machines_argument(parser)


def _shutdown(session: Session, arguments: Namespace) -> int:
    env = session.env()
    session.follow(lambda engine: engine.shutdown(env, arguments.machines, reboot=arguments.reboot))
    return ExitCode.OK


COMMANDS: Mapping[str, Command] = {
    "init": Command(_init, init_arguments),
    "up": Command(_up, _up_arguments),
    "start": Command(_start, _machines_argument),
    "stop": Command(_stop, _machines_argument),
    "shutdown": Command(_shutdown, _shutdown_arguments),
}
